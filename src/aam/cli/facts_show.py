"""``aam-facts show``: one run on one screen."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from aam.cli import printing
from aam.cli.words import read_words

HELP = """\
aam-facts show RUN [--json]: tell all of one run on one screen.

  aam-facts show latest
  aam-facts show run_20261121-140953_pretrain
  aam-facts show 140953                        any part of the name that no other run has

What ran, on which files and samples, the first, best and last epoch, the test beside its baselines,
what the diagnostics say, the files that it left, and how to go on. Epochs count from 1 here, from 0
with --json, as in the facts."""
_WIDTH = 98


def show(words: Sequence[str]) -> None:
    """Print it.

    Raises
    ------
    UserError
        If a word is wrong, or there is no such run.
    """
    given = read_words("show", words, named="RUN")
    from aam.facts.finding import find_run
    from aam.monitoring.runs.telling import tell

    told = tell(find_run(given.only_named()))
    if given.is_json:
        printing.show_json(told)
    else:
        printing.show("\n".join(_lines(told)))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    from aam.monitoring.runs.listing import EMPTY

    yield f"{told['name']}: {_outcome(told)}"
    yield told["run_dir"]
    yield from _wrapped(_why(told))
    if told["state"] == EMPTY:
        yield "Its facts hold no start (yet): aam-facts tail waits for it, doctor looks into it."
    for title, lines in (
        ("What ran", _ran(told)),
        ("Data", _data(told["meta"])),
        ("Epochs", _curve(told["curve"])),
        ("Test", _test(told)),
        ("Diagnosis", _diagnosis(told["diagnostics"])),
        ("Files", _files(told)),
        ("Next", _steps(told["next"])),
    ):
        listed = list(lines)
        if listed:
            yield from ("", title, *(f"  {line}" for line in listed))


def _outcome(told: Mapping[str, Any]) -> str:
    from aam.cli.facts_ls import ago
    from aam.monitoring.wording import duration

    if told["num_done"] is None:
        return str(told["state"])
    planned = f" of {told['num_epochs']}" if told["num_epochs"] else ""
    parts = [f"{told['num_done']}{planned} epoch{'' if told['num_done'] == 1 else 's'}"]
    if told["total_time_s"] is not None:
        parts.append(f"{duration(told['total_time_s'])} of training")
    parts.append(f"last fact {ago(told['age_s'])} ago")
    return f"{told['loop']}, {told['state']} ({', '.join(parts)})"


def _why(told: Mapping[str, Any]) -> str:
    from aam.monitoring.style import shortened

    if told["error"]:
        return f"Failed by {told['error']['type']}: {shortened(told['error']['message'], 400)}"
    return f"Stopped by {told['reason']}" if told["reason"] else ""


def _ran(told: Mapping[str, Any]) -> Iterator[str]:
    meta = told["meta"]
    if meta:
        yield f"command    {meta.get('command')}"
        yield f"in         {meta.get('working_dir')}"
        yield f"started    {told['started']} on {meta.get('hostname')} ({meta.get('device')})"
        versions = ", ".join(f"{name} {of}" for name, of in meta.get("versions", {}).items())
        yield f"versions   {versions}; {git_text(meta.get('git', {}))}"
    for resume in told["resumes"]:
        yield f"resumed    {resume['timestamp']} at epoch {resume['epoch'] + 1}"
        yield f"           {resume['command']}"


def git_text(git: Mapping[str, Any]) -> str:
    """The state of the checkout in words."""
    if git.get("commit") is None:
        return "no git checkout"
    return f"git {git['commit'][:12]}" + (" with changes" if git.get("dirty") else "")


def _data(meta: Mapping[str, Any]) -> list[str]:
    rows = [
        [name, file["path"], f"sha256 {file['sha256'][:12]}…"]
        for name, file in meta.get("inputs", {}).items()
    ]
    samples = meta.get("num_samples")
    if samples:
        listed = ", ".join(f"{number} {split}" for split, number in samples.items())
        rows.append(["samples", listed, ""])
    target = meta.get("target")
    if target:
        rows.append(["target", f"{', '.join(target['columns'])} ({target['task']})", ""])
        rows.append(["split", _split(target), ""])
    return printing.table(rows[0], rows[1:]) if rows else []


def _split(target: Mapping[str, Any]) -> str:
    split, group = target["split"], target.get("group_column")
    text = str(split["kind"])
    if split["kind"] == "kfold":
        text += f", fold {split['fold']} (from 0) of {split['folds'] * split['repeats']}"
    return f"{text}, groups of {group} kept together" if group else text


def _curve(curve: Mapping[str, Mapping[str, Any]]) -> list[str]:
    from aam.monitoring.wording import number

    if not curve:
        return []
    if curve["first"]["epoch"] == curve["last"]["epoch"]:
        curve = {"last": curve["last"]}
    last = curve["last"]["metrics"]
    shown = [("", "train_loss"), ("", "val_loss"), ("", "lr")]
    shown += [("val", name) for name in last["val"] if name != "total_loss"]
    of_training = ("grad_norm", "suggested_lr", "steepest_lr", "tenth_lr")
    shown += [("train", name) for name in of_training if name in last["train"]]
    rows = [["epoch", *(str(point["epoch"] + 1) for point in curve.values())]]
    for split, name in shown:
        values = [_value(point, split, name) for point in curve.values()]
        if any(value is not None for value in values):
            cells = ["" if value is None else number(value) for value in values]
            rows.append([f"{split} {name}".lstrip(), *cells])
    return printing.table(["", *curve], rows, right=list(curve))


def _value(point: Mapping[str, Any], split: str, name: str) -> float | None:
    value: float | None = point["metrics"][split].get(name) if split else point[name]
    return value


def _test(told: Mapping[str, Any]) -> list[str]:
    from aam.monitoring.scores import of_model
    from aam.monitoring.verdict import COLUMNS, verdict
    from aam.monitoring.wording import number

    metrics, meta = told["test_metrics"], told["meta"]
    if not metrics:
        return []
    target = meta.get("target")
    if target and target["task"] in COLUMNS:
        event = {"metrics": {"test": metrics}}
        size = meta.get("num_samples", {}).get("test")
        lines = verdict(event, target, told["loop"] or "", size)
        return [
            part for line in lines for part in (_wrapped(line) if len(line) > _WIDTH else [line])
        ]
    return [f"{name:18} {number(value)}" for name, value in of_model(metrics).items()]


def _diagnosis(spells: Sequence[Mapping[str, Any]]) -> list[str]:
    """As the console says it after the training; commands stay in one line."""
    from aam.monitoring.diagnostics import Spell
    from aam.monitoring.end_report import diagnosis

    lines = diagnosis([Spell(**spell) for spell in spells])
    return [line.removeprefix("  ") for line in lines if line != "Diagnosis:"]


def _files(told: Mapping[str, Any]) -> Iterator[str]:
    gone = {told["artifacts"][name] for name in told["missing"]}
    tables = {path for path in told["artifacts"].values() if path.startswith("predictions/")}
    for paths in (told["checkpoints"], sorted(tables - gone), told["figures"]):
        yield from _wrapped(", ".join(paths))
    if gone:
        yield from _wrapped(f"gone: {', '.join(sorted(gone))}")


def _steps(steps: Sequence[Mapping[str, str]]) -> list[str]:
    width = max(len(step["to"]) for step in steps)
    return [f"{step['to'].ljust(width)}  {step['command']}" for step in steps]


def _wrapped(text: str) -> list[str]:
    return wrap(text, _WIDTH, break_on_hyphens=False, break_long_words=False)
