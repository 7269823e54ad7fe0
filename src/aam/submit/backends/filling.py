"""Submit files for sweeps are those in ``hpc/``, with their settings filled in."""

from collections.abc import Mapping

from aam.composing.config_files import hpc_dir


def fill(template: str, values: Mapping[str, str | None], mark: str = "") -> list[str]:
    """The lines of a file in ``hpc/`` after its first comment, with other values for some keys.

    Parameters
    ----------
    values
        What stands before the sign = → what comes after it, or None to leave the line out. All of
        them must be in the file, so that none is lost.
    mark
        What a line begins with before its key, such as ``#SBATCH --``; lines without it may have
        a key too.
    """
    text = (hpc_dir() / template).read_text(encoding="utf-8")
    _, _, body = text.partition("\n\n")
    lines, missing = [], set(values)
    for line in body.splitlines():
        name, sign, _ = line.removeprefix(mark).partition("=")
        key = name.strip()
        if not sign or key not in values:
            lines.append(line)
            continue
        missing.discard(key)
        if (value := values[key]) is not None:
            space = " " if name.endswith(" ") else ""
            lines.append(f"{line.partition('=')[0]}={space}{value}")
    assert not missing, f"{template} has no {missing}"
    return lines
