"""``aam-facts doctor``: are run folders whole?"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aam.cli.printing import show, show_json
from aam.cli.words import read_words
from aam.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from aam.monitoring.runs.doctor.findings import Finding

HELP = """\
aam-facts doctor [RUN or FOLDER …] [--json]: check whether runs are whole. Changes nothing.

  aam-facts doctor latest
  aam-facts doctor outputs/multiruns/exp_…     each run of a sweep
  aam-facts doctor                             all runs below $AAM_OUTPUTS (default: outputs)

Checks the facts (torn and foreign lines, a missing end, NaN, two writers), what is made from them
(scalars.csv, training_metrics.json), checkpoints by their checksums, the files that the facts name,
figures, and what a killed process left behind. No checkpoint is loaded.

  error     facts or files are damaged
  warning   something is missing or incomplete: the run died, a table is gone
  note      nothing is wrong, but it may surprise: it is still running, a temporary file is left

Exit codes
  0 every run is whole (there may be notes)   1 a run is not   2 the input is wrong"""


def doctor(words: Sequence[str]) -> int:
    """Print what is found; 1 if a run is not whole.

    Raises
    ------
    UserError
        If a word is wrong, or no run is found.
    """
    given = read_words("doctor", words, named="RUN or FOLDER …")
    from aam.monitoring.runs.doctor.checkup import examine
    from aam.monitoring.runs.listing import names_of

    runs = list({run.resolve(): run for run in _runs(given.named)}.values())
    found = {run: examine(run) for run in runs}
    names = names_of(runs)
    if given.is_json:
        show_json([_document(*one) for one in zip(names, runs, found.values(), strict=True)])
    else:
        show("\n".join(_lines(dict(zip(names, found.values(), strict=True)))))
    return EXIT_OK if all(map(_is_whole, found.values())) else EXIT_FAILED


def _runs(named: Sequence[str]) -> Iterator[Path]:
    """The run folders; one that died before its first fact holds settings only."""
    from aam.facts.finding import find_all

    if not named:
        yield from find_all([])
    for word in named:
        folder = Path(word).expanduser()
        yield from [folder] if (folder / ".hydra").is_dir() else find_all([word])


def _is_whole(findings: Sequence["Finding"]) -> bool:
    from aam.monitoring.runs.doctor.findings import NOTE

    return all(one.level == NOTE for one in findings)


def _document(name: str, run: Path, findings: Sequence["Finding"]) -> dict[str, Any]:
    return {
        "name": name,
        "run_dir": str(run),
        "is_whole": _is_whole(findings),
        "findings": [asdict(one) for one in findings],
    }


def _lines(found: dict[str, list["Finding"]]) -> Iterator[str]:
    for name, findings in found.items():
        yield f"{name}: {'whole' if _is_whole(findings) else 'not whole'}"
        for one in findings:
            yield f"  {one.level.ljust(7)}  {one.where}: {one.what}"
            yield f"           {one.advice}"
    if len(found) > 1:
        whole = sum(map(_is_whole, found.values()))
        yield f"{whole} of {len(found)} runs are whole."
