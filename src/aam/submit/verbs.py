"""What ``aam-submit`` does: submit a sweep, submit anew what came to nothing."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from omegaconf import OmegaConf

from aam.composing.compose import value_of
from aam.config import SubmitConfig
from aam.errors import UserError
from aam.monitoring.runs.jobs import HELD
from aam.submit.backends import find_backend
from aam.submit.experiment import Experiment, Job, create, save_settings
from aam.submit.planning import plan
from aam.submit.status import AGAIN, standings

# The command lines are made for these.
_FIXED = ("submit.backend", "submit.shared_filesystem")


@dataclass(frozen=True)
class Submission:
    """Jobs that were handed over, or would be."""

    experiment: Experiment
    jobs: list[Job]
    command: list[str]
    """Submits them by hand, from ``started_in``."""
    said: str
    """What to tell of it; empty where nothing was submitted."""


def submit(words: Sequence[str], *, is_dry: bool) -> Submission:
    """Write the sweep that a command line stands for, and submit it unless ``is_dry``.

    Raises
    ------
    UserError
        If a job is one that ``aam-train`` would refuse, or the scheduler refuses.
    """
    experiment = create(plan(words))
    prepared = _prepared(experiment, experiment.jobs(), "jobs")
    return prepared if is_dry else _submitted(prepared)


def requeue(experiment: Experiment, words: Sequence[str], *, is_dry: bool) -> Submission | None:
    """Submit those jobs anew that failed, vanished, or are held; None if there is none.

    ``words`` are ``submit.KEY=VALUE`` that hold from now on, such as more memory.

    Raises
    ------
    UserError
        If a word is another one, or the scheduler refuses.
    """
    experiment = _changed(experiment, words)
    again = [one for one in standings(experiment) if one.state in AGAIN]
    if not again:
        return None
    names = (f"requeue-{number}" for number in count(1))
    name = next(one for one in names if not list(experiment.folder.glob(f"{one}.*")))
    prepared = _prepared(experiment, [one.job for one in again], name)
    if is_dry:
        return prepared
    save_settings(experiment)
    if held := [one.id for one in again if one.state == HELD]:
        find_backend(experiment.settings.backend).remove(held)
    return _submitted(prepared)


def _prepared(experiment: Experiment, jobs: Sequence[Job], name: str) -> Submission:
    command = find_backend(experiment.settings.backend).prepare(experiment, jobs, name)
    return Submission(experiment, list(jobs), command, said="")


def _submitted(prepared: Submission) -> Submission:
    experiment = prepared.experiment
    backend = find_backend(experiment.settings.backend)
    try:
        said = backend.submit(experiment, prepared.jobs, prepared.command)
    except UserError as error:
        folder = shlex.quote(str(experiment.folder))
        raise UserError(
            f"{error}; all is written, so when that is mended: aam-submit requeue {folder}"
        ) from None
    return replace(prepared, said=said)


def _changed(experiment: Experiment, words: Sequence[str]) -> Experiment:
    """With other settings; what a job was told already cannot be another for its next stretch."""
    node = OmegaConf.create({"submit": OmegaConf.structured(experiment.settings)})
    for word in words:
        key = word.partition("=")[0]
        if not key.startswith("submit.") or key in _FIXED:
            raise UserError(
                f"aam-submit requeue takes no {word}: there is EXP, dry_run=true, and settings of "
                "the submission, such as submit.memory_gib=8"
            )
        OmegaConf.update(node, key, value_of(word))
    settings = OmegaConf.to_object(node.submit)
    assert isinstance(settings, SubmitConfig)
    return replace(experiment, settings=settings)
