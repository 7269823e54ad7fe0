"""``aam-facts plot``: draw the figures of a run anew, from its folder alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aam.cli.printing import show, show_json
from aam.cli.words import Words, read_words
from aam.errors import EXIT_FAILED, EXIT_OK, UserError

if TYPE_CHECKING:
    from aam.monitoring.drawing import Drawn

HELP = """\
aam-facts plot RUN … [families=…] [format=…] [dpi=…] [output=FOLDER] [--json]: draw the figures of
runs anew, also of one that died or was trained without figures.

  aam-facts plot latest
  aam-facts plot RUN families=losses,metrics format=pdf output=talk
  aam-facts plot outputs/multiruns/exp_… dpi=300

RUN is a run, or a folder of several. Without families= there are the figures that the run draws
itself, by its own settings and byte for byte the same; what is left out is named with the reason.

families=  all figures of these, whatever the settings of the run: losses, metrics, training_curves,
           unifrac, pred_vs_actual, residuals, confusion_matrix, roc_pr
format=    png, or pdf and svg for print
dpi=       10 to 600; 300 is usual for print
output=    a folder; that of several runs gets one inside for each (default: figures of the run)
--json     what was written, and why other figures were not

Exit code 1 if a figure failed to be drawn."""
_KEYS = {"families": "NAME,…", "format": "FORMAT", "dpi": "NUMBER", "output": "FOLDER"}


def plot(words: Sequence[str]) -> int:
    """Draw, say what was written and what was not, and return the exit code.

    Raises
    ------
    UserError
        If a word is wrong, a run is not there, or the folder cannot be written to.
    """
    given = read_words("plot", words, named="RUN …", keys=_KEYS)
    if not given.named:
        raise UserError(
            "aam-facts plot needs a RUN: give its folder, a part of its name, or latest"
        )
    from aam.facts.finding import find_all
    from aam.monitoring.plan import FAMILY_NAMES
    from aam.monitoring.settings import in_look, logging_of_run

    families, look = given.choices("families", FAMILY_NAMES), _look(given)
    runs = find_all(given.named)
    folders = _folders(runs, given.values.get("output"))
    # All settings before the first figure: what is wrong is said at once.
    settings = [
        in_look(logging_of_run(run), **look) if look else logging_of_run(run) for run in runs
    ]
    drawn = [
        _draw(run, one, families, folder)
        for run, one, folder in zip(runs, settings, folders, strict=True)
    ]
    if given.is_json:
        show_json([{"run_dir": run, **one._asdict()} for run, one in zip(runs, drawn, strict=True)])
    else:
        lines = [_told(run, one, len(runs) > 1) for run, one in zip(runs, drawn, strict=True)]
        show("\n\n".join(lines))
    return EXIT_FAILED if any(one.failed for one in drawn) else EXIT_OK


def _look(given: Words) -> dict[str, Any]:
    """The ``format`` and ``dpi`` that were asked for."""
    from aam.config.logging import DPI, FORMATS

    look: dict[str, Any] = {}
    if "format" in given.values:
        look["format"] = given.choice("format", FORMATS, FORMATS[0])
    if "dpi" in given.values:
        text = given.values["dpi"]
        if not (text.isascii() and text.isdigit() and DPI[0] <= int(text) <= DPI[1]):
            raise UserError(f"dpi={text} must be a whole number from {DPI[0]} to {DPI[1]}")
        look["dpi"] = int(text)
    return look


def _folders(runs: Sequence[Path], output: str | None) -> list[Path | None]:
    """Where the figures of each run go; None is its own folder of figures."""
    if output is None:
        return [None] * len(runs)
    folder = Path(output).expanduser()
    if len(runs) == 1:
        return [folder]
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise UserError(f"output={output} cannot hold runs of one name: draw them one by one")
    return [folder / name for name in names]


def _draw(run: Path, logging: Any, families: Sequence[str], folder: Path | None) -> "Drawn":
    from aam.monitoring.drawing import draw_all

    try:
        return draw_all(run, logging, families=families, folder=folder)
    except OSError as error:
        raise UserError(
            f"the figures of {run} cannot be written ({error}): give output=FOLDER"
        ) from None


def _told(run: Path, drawn: "Drawn", is_one_of_several: bool) -> str:
    lines = [f"{run}:"] if is_one_of_several else []
    if drawn.written:
        lines.append(f"Written to {drawn.written[0].parent}:")
    lines += [f"  {path.name}" for path in drawn.written]
    lines += _grouped("Failed:", drawn.failed)
    lines += _grouped("Left out:", drawn.left_out)
    return "\n".join(lines)


def _grouped(head: str, files: dict[str, str]) -> Iterable[str]:
    """Files of one reason in one line."""
    by_reason: dict[str, list[str]] = {}
    for file, reason in files.items():
        by_reason.setdefault(reason, []).append(file)
    return [head, *(f"  {', '.join(of)}: {why}" for why, of in by_reason.items())] if files else []
