"""The schedulers, behind one interface."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol

from aam.submit.experiment import Experiment, Job

_MODULES = {
    "htcondor": "aam.submit.backends.htcondor",
    "slurm": "aam.submit.backends.slurm",
    "local": "aam.submit.backends.local",
}


class Backend(Protocol):
    """What is asked of a scheduler. A module has these as functions."""

    def prepare(self, experiment: Experiment, jobs: Sequence[Job], name: str) -> list[str]:
        """Write what the scheduler wants to read, in the folder of the experiment.

        Gives the command that submits these jobs, to be called in ``started_in``. ``name`` is what
        a file is to be called, without an ending.
        """

    def submit(self, experiment: Experiment, jobs: Sequence[Job], command: Sequence[str]) -> str:
        """Submit them and return at once; gives what to tell of it.

        The log of each job tells of its submission from now on.

        Raises
        ------
        UserError
            If the scheduler refuses.
        """

    def live(self, experiment: Experiment, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Name of a job → its state, for those that the scheduler still has.

        Raises
        ------
        UserError
            If the scheduler does not answer.
        """

    def remove(self, ids: Sequence[str]) -> None:
        """Take jobs that are held out of the queue."""


def find_backend(name: str) -> Backend:
    """The module of ``submit.backend=NAME``."""
    module: Backend = import_module(_MODULES[name])
    return module
