"""What ``aam-submit`` asks of a cluster for each job."""

from dataclasses import dataclass, field, fields

from aam.config.checks import above_zero, at_least, one_of
from aam.errors import UserError

BACKENDS = ("local", "htcondor", "slurm")
# Setting → the back ends that read it; a setting that is not here is read by all.
_READ_BY = {
    "jobs_at_once": ("local", "slurm"),
    "memory_gib": ("htcondor", "slurm"),
    "disk_gib": ("htcondor",),
    "gpus": ("htcondor", "slurm"),
    "max_hours": ("htcondor", "slurm"),
    "requirements": ("htcondor",),
    "attributes": ("htcondor",),
    "image": ("htcondor",),
    "shared_filesystem": ("htcondor",),
    "venv": ("htcondor", "slurm"),
    "partition": ("slurm",),
    "account": ("htcondor", "slurm"),
    "extra": ("htcondor", "slurm"),
}


@dataclass(kw_only=True)
class SubmitConfig:
    """Where jobs run, and what each of them gets.

    ``max_hours`` is the longest stretch at a time: the job then saves, and goes on in a new one.
    ``max_retries`` counts failures (exit code 1) only. ``attributes`` are the names and texts that
    a site wants in HTCondor's job description (``+JobCategory``); ``extra`` are further lines of
    the submit file, or ``#SBATCH --KEY=VALUE`` for Slurm.
    """

    backend: str = "local"
    cpus: int = 1
    memory_gib: float = 4.0
    disk_gib: float = 2.0
    gpus: int = 0
    max_hours: float | None = None
    max_retries: int = 2
    jobs_at_once: int | None = None
    requirements: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    shared_filesystem: bool = True
    venv: str | None = None
    partition: str | None = None
    account: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("submit.backend", self.backend, BACKENDS)
        at_least("submit", self, cpus=1, gpus=0, max_retries=0, jobs_at_once=1)
        above_zero("submit", self, "memory_gib", "disk_gib", "max_hours")
        self._refuse_unread()

    def _refuse_unread(self) -> None:
        default = {key.name: key.default for key in fields(self)} | {"attributes": {}, "extra": {}}
        for name, backends in _READ_BY.items():
            if self.backend not in backends and getattr(self, name) != default[name]:
                raise UserError(
                    f"submit.backend={self.backend} reads no submit.{name}: leave it out, or "
                    f"choose env={' or env='.join(backends)}"
                )
