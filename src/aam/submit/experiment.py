"""A sweep that was handed to a scheduler: its folder, its command lines, what was asked for.

``jobs.txt`` is the one place of the command lines, ``submit.yaml`` of everything else. Both may be
edited by hand. What became of the jobs is in ``jobs/``, and in their run folders.
"""

import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from aam.composing.compose import quoted, value_of
from aam.composing.config_files import hpc_dir
from aam.config import SubmitConfig
from aam.errors import UserError, shown
from aam.facts.files import write_atomically
from aam.facts.folders import new_folder, outputs_folder
from aam.facts.settings import read_yaml
from aam.monitoring.runs.jobs import JobState, log_path, read_log
from aam.submit.planning import Plan
from aam.submit.sandbox import JOBS, by_name, files_of, in_sandbox, names_in

SETTINGS, RUN_SH = "submit.yaml", "run.sh"
_RUN_DIR = "hydra.run.dir="
_LINE = re.compile(r"aam-train (.+)  # (job\w+)", re.ASCII)  # as run.sh looks for it
_LONGEST = 2**17  # letters: what Linux gives one argument of a command
_HEAD = """\
# One job a line, named after the #. Edit them here; what is done is left alone when they are
# submitted again.
"""
_SETTINGS_HEAD = """\
# What aam-submit was asked. status and requeue read it.
"""


@dataclass(frozen=True)
class Job:
    """One command line of ``jobs.txt``."""

    name: str
    """``job003``: its log is ``jobs/job003.log``, its run folder ``run_…_job003``."""
    arguments: tuple[str, ...]
    """Those of ``aam-train``."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the user gave of them."""
        ours = (_RUN_DIR, "resume=")
        return tuple(one for one in self.arguments if not one.startswith(ours))

    @property
    def run_dir(self) -> Path:
        """As the command line has it."""
        given = [one for one in self.arguments if one.startswith(_RUN_DIR)]
        return Path(str(value_of(given[-1])))


@dataclass(frozen=True)
class Experiment:
    """The folder of a sweep."""

    folder: Path
    started_in: Path
    """Where ``aam-submit`` was called: relative paths of the command lines begin there."""
    settings: SubmitConfig
    files: dict[str, str]
    """Bare name → path of the files that jobs read; none where the file system is shared."""

    def jobs(self) -> list[Job]:
        """The command lines, as they stand in ``jobs.txt`` now.

        Raises
        ------
        UserError
            If a line is none, or two have one name.
        """
        path = self.folder / JOBS
        jobs = list(_read_jobs(path))
        names = [job.name for job in jobs]
        if len(set(names)) < len(names):
            raise UserError(f"{path} has two lines of one name: let each end in another # jobNNN")
        return jobs

    def run_dir(self, job: Job) -> Path:
        """Where the run of a job is found from here."""
        return self.folder / job.run_dir

    def files_of(self, job: Job) -> list[str]:
        """Paths of the files that a job is brought."""
        return [self.files[name] for name in names_in(job.arguments) if name in self.files]

    def logged(self, job: Job) -> JobState | None:
        """What the log of a job tells; None if it was never submitted."""
        return read_log(log_path(self.folder, job.name))

    def last_error(self, job: Job) -> str:
        """The last line that a job wrote to its errors."""
        try:
            errors = self.folder / "jobs" / f"{job.name}.err"
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    def note(self, job: Job, line: str) -> None:
        """Add to the log of a job, where no scheduler writes one."""
        with log_path(self.folder, job.name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def create(plan: Plan) -> Experiment:
    """Make the folder of a plan and write its command lines.

    Where the machines share no file system, runs and files are named as they lie in the folder that
    a job is given there.
    """
    is_shared = plan.settings.shared_filesystem
    files_of_jobs = [{} if is_shared else files_of(one.config) for one in plan.jobs]
    files = by_name(path for of_job in files_of_jobs for path in of_job.values())
    folder = new_folder(plan.folder)
    (folder / "jobs").mkdir()
    jobs = [
        _job(in_sandbox(one.overrides, of_job), one.run_name, folder if is_shared else Path())
        for one, of_job in zip(plan.jobs, files_of_jobs, strict=True)
    ]
    write_atomically(folder / JOBS, _HEAD + "".join(map(_line, jobs)))
    experiment = Experiment(folder, Path.cwd(), plan.settings, files)
    save_settings(experiment)
    shutil.copy(hpc_dir() / RUN_SH, folder / RUN_SH)
    return experiment


def _job(overrides: Sequence[str], run_name: str, above: Path) -> Job:
    run_dir = quoted(str(above / run_name))
    return Job(run_name.rpartition("_")[2], (*overrides, _RUN_DIR + run_dir, "resume=auto"))


def save_settings(experiment: Experiment) -> None:
    """Write ``submit.yaml``."""
    content = {
        "started_in": str(experiment.started_in),
        "submit": asdict(experiment.settings),
        "files": experiment.files,
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_atomically(experiment.folder / SETTINGS, _SETTINGS_HEAD + text)


def load(folder: Path) -> Experiment:
    """Read an experiment from its folder.

    Raises
    ------
    UserError
        If it has no ``submit.yaml``, or one that cannot be read.
    """
    path = folder / SETTINGS
    if not path.exists():
        raise UserError(f"{folder} has no {SETTINGS}: give a folder of aam-submit")
    content = read_yaml(path)
    try:
        settings = SubmitConfig(**content["submit"])
        started_in, files = Path(content["started_in"]), dict(content["files"])
        return Experiment(folder.absolute(), started_in, settings, files)
    except (ValueError, TypeError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{path} cannot be read: {reason}") from None


def find(word: str) -> Experiment:
    """The experiment of a folder, of a part of its name that no other has, or ``latest``.

    Raises
    ------
    UserError
        If there is none, or several.
    """
    if Path(word).expanduser().is_dir():
        return load(Path(word).expanduser())
    above = outputs_folder() / "multiruns"
    known = sorted(path.parent for path in above.glob(f"*/{SETTINGS}"))
    found = known[-1:] if word == "latest" else [one for one in known if word in one.name]
    if len(found) == 1:
        return load(found[0])
    if found:
        names = shown([one.name for one in found])
        raise UserError(f"{word} is a part of several names, {names}: give more of it")
    raise UserError(f"there is no {word} in {above}: give the folder that aam-submit has named")


def _line(job: Job) -> str:
    return f"{shlex.join(['aam-train', *job.arguments])}  # {job.name}\n"


def _read_jobs(path: Path) -> Iterator[Job]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        job = _job_of(line)
        if job is None:
            raise UserError(
                f"line {number} of {path} is no job: write "
                f"aam-train KEY=VALUE … {_RUN_DIR}FOLDER resume=auto  # jobNNN"
            )
        yield job


def _job_of(line: str) -> Job | None:
    """The job of a line of ``jobs.txt``; None if it is none."""
    from hydra.errors import HydraException

    if len(line) > _LONGEST:  # which would take its reader long
        return None
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    try:
        job = Job(found[2], tuple(shlex.split(found[1])))
        has_run_dir = job.run_dir.name != ""
    except (ValueError, IndexError, HydraException):
        return None
    return job if has_run_dir else None
