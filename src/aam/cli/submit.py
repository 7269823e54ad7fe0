"""``aam-submit``: hand a sweep to a cluster. Imports nothing until it has read the arguments."""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aam.submit.verbs import Submission

HELP = """\
aam-submit: hand runs to a cluster, one job each, and return at once.

  aam-submit env=htcondor loop=pretrain scheduler=cosine,plateau trainer.seed=0,1,2
  aam-submit … dry_run=true                 write the files, submit nothing
  aam-submit status EXP                     what became of the jobs
  aam-submit requeue EXP [submit.KEY=…]     submit anew what failed, vanished, or is held

Keys are those of aam-train, and every combination of values is a job. Each is checked as aam-train
would check it, before any is submitted. A job is a plain command line, aam-train … resume=auto, in
a folder of its own: run again, it goes on where it was interrupted.

Where to (submit.* of aam-train --help are what each job gets)
  env=local      this machine, submit.jobs_at_once at a time, in the background (default)
  env=htcondor   HTCondor, by condor_submit
  env=slurm      Slurm, by sbatch
  env=stoomboot  an example of a site's own settings

EXP is the folder that aam-submit names, a part of its name, or latest. It holds
  jobs.txt       the command lines, to be read and edited
  jobs.sub, jobs.sbatch   what the scheduler was given; may be submitted again by hand
  submit.yaml    the settings
  jobs/          logs, output and errors of each job
  run_…_jobNNN/  the runs

Exit codes
  0 done   1 failed   2 the input or a setting is wrong, or the scheduler refused"""
_DRY = "dry_run="


def main() -> int:
    """Run the command line; returns its exit code."""
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that the terminal does not know
    if not arguments or {"--help", "-h"} & set(arguments):
        from aam.cli.printing import show

        show(HELP)
        return 0
    from aam.cli.logs import console
    from aam.cli.outcome import attempt

    with console(tracebacks=os.environ.get("HYDRA_FULL_ERROR") == "1"):
        return attempt(lambda: _do(arguments), arguments)


def _do(arguments: list[str]) -> None:
    from aam.cli.printing import show
    from aam.submit.verbs import requeue, submit

    words = [word for word in arguments if not word.startswith(_DRY)]
    is_dry = _is_dry(arguments)
    if words[:1] not in (["status"], ["requeue"]):
        show(_told(submit(words, is_dry=is_dry)))
        return
    from aam.submit.experiment import find
    from aam.submit.status import standings, told

    experiment = find(_experiment(words))
    if words[0] == "status":
        show("\n".join(told(standings(experiment))))
        return
    again = requeue(experiment, words[2:], is_dry=is_dry)
    show("No job has failed or vanished." if again is None else _told(again))


def _is_dry(arguments: list[str]) -> bool:
    from aam.errors import UserError

    given = [word.removeprefix(_DRY) for word in arguments if word.startswith(_DRY)]
    if any(value not in ("true", "false") for value in given):
        raise UserError(f"{_DRY}{given[0]} is neither true nor false")
    return given[-1:] == ["true"]


def _experiment(words: list[str]) -> str:
    from aam.errors import UserError

    verb, *rest = words
    if not rest or (verb == "status" and len(rest) > 1):
        raise UserError(
            f"aam-submit {verb} takes one EXP, and {len(rest)} are given: give the folder that "
            "aam-submit has named, a part of its name, or latest"
        )
    return rest[0]


def _told(submission: "Submission") -> str:
    """What was done, where it lies, and how to ask after it."""
    import shlex

    folder = submission.experiment.folder
    backend = submission.experiment.settings.backend
    jobs = "1 job" if len(submission.jobs) == 1 else f"{len(submission.jobs)} jobs"
    if not submission.said:
        return f"{jobs} for {backend}, not submitted: {folder}\n{shlex.join(submission.command)}"
    status = shlex.join(["aam-submit", "status", str(folder)])
    return f"{jobs} submitted to {backend} ({submission.said}): {folder}\n{status}"


if __name__ == "__main__":
    sys.exit(main())
