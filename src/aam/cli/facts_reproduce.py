"""``aam-facts reproduce``: how to run a run again."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aam.cli.printing import show, show_json, table
from aam.cli.words import read_words

HELP = """\
aam-facts reproduce RUN [--json]: say how to run it again, and what may differ. Runs nothing.

  aam-facts reproduce latest
  aam-facts reproduce RUN --json | jq -r .command

Gives the command for just this run, also if it was a job of a sweep, and the folder to give it in;
the commit that it ran; its data by SHA-256, and whether the files on disk are the same; versions
then and now. A resume that changed nothing is left out: a run that goes on ends as one that was
never stopped."""


def reproduce(words: Sequence[str]) -> None:
    """Print it.

    Raises
    ------
    UserError
        If a word is wrong, or there is no such run.
    """
    given = read_words("reproduce", words, named="RUN")
    from aam.facts.finding import find_run
    from aam.monitoring.runs.repeating import how_to_repeat

    told = how_to_repeat(find_run(given.only_named()))
    if given.is_json:
        show_json(told)
    else:
        show("\n".join(_lines(told)))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield from _commands(told)
    if told["data"]:
        rows = [
            [f"  {name}", file["state"], file["sha256"], file["path"]]
            for name, file in told["data"].items()
        ]
        yield from ("", *table(["Data", "now", "SHA-256 then", "file"], rows))
    if told["versions"]:
        rows = [
            [f"  {name}", str(version["then"]), str(version["now"])]
            for name, version in told["versions"].items()
        ]
        yield from ("", *table(["Versions", "then", "now"], rows))
    if told["may_differ"]:
        yield from ("", "What may differ", *(f"  {one}" for one in told["may_differ"]))
    else:
        yield from (
            "",
            "Code, data, versions and machine are those of then: it comes out the same.",
        )


def _commands(told: Mapping[str, Any]) -> Iterator[str]:
    then, now = told["git"]["then"].get("commit"), told["git"]["now"].get("commit")
    if then and then != now:
        yield f"git checkout {then}   # in the checkout of aam"
    if told["working_dir"]:
        yield f"cd {shlex.quote(told['working_dir'])}"
    if told["command"]:
        yield told["command"]
    for resume in told["resumes"]:
        if resume["changes"]:
            changes = shlex.join(resume["changes"])
            when = f"after epoch {resume['epoch']}; RUN is its folder"
            yield f"aam-train resume=RUN {changes}   # {when}"
