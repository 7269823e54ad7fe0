"""A real pool of HTCondor: a sweep, an eviction, a hold that says why, with and without sharing."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from aam.composing.compose import quoted
from aam.data.demo import write_demo
from aam.facts.reader import read_events
from aam.monitoring.runs.jobs import JobState, job_of

from .condor_pool import ROOT, SYSTEM, Pool, condor_pool, why_not
from .sweeps import BIN, EPOCHS, ONE_RUN, SWEEP, check_went_on, num_epochs, run_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]
GOLDEN = Path(__file__).with_name("golden")
SMALL = ("submit.memory_gib=1", "submit.disk_gib=0.1")
# What differs from one version of HTCondor, machine or minute to the next.
VOLATILE = re.compile(
    r"^(QDate|EnteredCurrentStatus|Condor\w+|FileSystemDomain|Requirements|JobSubmitMethod|"
    r"JobSubmitFile|DiskUsage|ImageSize|ExecutableSize|TargetType|MyType|\w*(Suspension|CommittedTime|Remote|"
    r"Cumulative|SlotTime)\w*)=.*\n",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with condor_pool(tmp_path_factory.mktemp("my pool")) as pool:
        yield pool


def submit(pool: Pool, *words: str, outputs: str = "outputs") -> Path:
    """Submit a sweep; the folder of it."""
    where = ("env", f"AAM_OUTPUTS={pool.folder}/{outputs}")
    said = pool.call(*where, BIN / "aam-submit", "env=htcondor", *SMALL, *words)
    return Path(said.splitlines()[0].rpartition(": ")[2])


def evict_after_two_epochs(pool: Pool, folder: Path, name: str, *how: str) -> str:
    """The id of the job."""
    wait_for(lambda: num_epochs(run_of(folder, name)) >= 2, 240)
    job = job_of(run_of(folder, name))
    assert job is not None
    pool.call("condor_vacate_job", *how, job.id, as_root=True)
    return job.id


def events(log: Path) -> list[str]:
    """Numbers of the events that matter: submitted, executing, evicted, terminated, held …"""
    numbers = re.findall(r"^(\d{3}) \(", log.read_text(), re.MULTILINE)
    return [one for one in numbers if one not in ("006", "040")]  # sizes, transfers


def test_a_sweep_and_a_plain_job_of_which_two_are_evicted(pool: Pool) -> None:
    """One of them is killed without a word, as where the time that it is given is too short."""

    def told() -> str:
        return pool.call(BIN / "aam-submit", "status", "latest")

    folder = submit(pool, *SWEEP)
    (pool.folder / "outputs" / "runs" / "jobs").mkdir(parents=True)
    for name in ("runs", "runs/jobs"):
        (pool.folder / "outputs" / name).chmod(0o777)
    plain = pool.call(
        *("env", f"AAM_VENV={BIN.parent}"),
        *("condor_submit", "-terse", ROOT / "hpc" / "htcondor" / "train.sub"),
        *("-append", f"arguments = {' '.join(ONE_RUN)}", "-append", "request_memory = 1G"),
    )
    plain_id = plain.partition(" ")[0]
    plain_dir = pool.folder / "outputs" / "runs"
    evict_after_two_epochs(pool, folder, "job000", "-fast")
    evicted = evict_after_two_epochs(pool, folder, "job001")
    wait_for(lambda: told().endswith("4 jobs: 4 done\n"), 400, told)
    wait_for(lambda: pool.queue("ClusterId") == [], 120)

    cluster = evicted.partition(".")[0]
    listed = pool.call(BIN / "aam-facts", "ls", folder)
    for number in range(4):
        run_dir = run_of(folder, f"job00{number}")
        assert num_epochs(run_dir) == EPOCHS
        assert job_of(run_dir) == JobState(f"{cluster}.{number}", "done")
        assert f"  finished  {cluster}.{number} done  " in listed
    jobs = folder / "jobs"
    assert events(jobs / "job001.log") == ["000", "001", "004", "001", "005"]
    check_went_on(run_of(folder, "job001"), (jobs / "job001.out").read_text())
    assert events(jobs / "job000.log") == ["000", "001", "004", "001", "005"]
    check_went_on(run_of(folder, "job000"), (jobs / "job000.out").read_text(), is_killed=True)
    assert events(jobs / "job002.log") == ["000", "001", "005"]

    run_dir = run_of(plain_dir, f"htcondor_job{plain_id}")
    assert num_epochs(run_dir) == EPOCHS
    assert job_of(run_dir) == JobState(plain_id, "done")
    output = (plain_dir / "jobs" / f"job{plain_id}.out").read_text()
    assert "run.sh: exit code 0" in output


def test_a_mistyped_override_is_refused_before_it_is_submitted(pool: Pool) -> None:
    known = pool.queue("ClusterId")
    done = pool.run(BIN / "aam-submit", "env=htcondor", "trainer.seed=0,1", "trainer.epoch=3")
    assert done.returncode == 2
    sentence = "there is no config key trainer.epoch; did you mean trainer.epochs?\n"
    assert done.stderr == sentence
    assert pool.queue("ClusterId") == known


def test_a_job_whose_data_are_missing_is_held_with_the_sentence(pool: Pool) -> None:
    """Names with all signs that mean something to one of those who read them."""

    def is_held() -> bool:
        return pool.queue("JobStatus") == ["5"]

    table = pool.folder / """it's, a "lost" $HOME; one.biom"""
    (pool.folder / "my venv's").symlink_to(BIN.parent)
    words = ("data=biom", f"data.table={quoted(str(table))}", "data.tree=lost.nwk")
    venv = quoted(f"{pool.folder}/my venv's")
    folder = submit(pool, *words, f"submit.venv={venv}", outputs="""it's, "out" & 1%""")
    wait_for(is_held, 120)
    sentence = f"the table {table} does not exist; check the path"
    assert pool.queue("HoldReason") == [sentence]
    state = job_of(run_of(folder, "job000"))
    assert state is not None
    assert (state.state, state.said) == ("held", sentence)
    told = pool.call(BIN / "aam-submit", "status", folder)
    assert f"\n  {sentence}\n1 job: 1 held\n" in told

    said = pool.call(BIN / "aam-submit", "requeue", folder)
    assert said.startswith("1 job submitted to htcondor")
    wait_for(lambda: is_held() and job_of(run_of(folder, "job000")) != state, 120)
    again = job_of(run_of(folder, "job000"))
    assert again is not None
    assert (again.state, again.said) == ("held", sentence)
    pool.call("condor_rm", again.id)
    wait_for(lambda: job_of(run_of(folder, "job000")).state == "removed", 60)  # type: ignore[union-attr]


def test_without_a_shared_file_system_the_run_travels(pool: Pool) -> None:
    files = write_demo(pool.folder / "data", seed=0)
    folder = submit(
        *(pool, *ONE_RUN, "data=biom", f"data.table={files.table}", f"data.tree={files.tree}"),
        *("submit.shared_filesystem=false", f"submit.venv={BIN.parent}"),
    )
    run_name = Path(re.findall(r"run_\S+_job000", (folder / "jobs.txt").read_text())[0])

    execute = SYSTEM / "var" / "lib" / "condor" / "execute"

    def on_its_machine() -> Path:
        return next(execute.glob(f"dir_*/{run_name}"), Path("none"))

    wait_for(lambda: num_epochs(on_its_machine()) >= 2, 180)
    job = job_of(folder / run_name)
    assert job is not None
    pool.call("condor_vacate_job", job.id, as_root=True)
    wait_for(lambda: job_of(folder / run_name) == JobState(job.id, "done"), 300)
    assert events(folder / "jobs" / "job000.log") == ["000", "001", "004", "001", "005"]
    run_dir = folder / run_name
    assert [event["moment"] for event in read_events(run_dir)].count("on_resume") == 1
    assert num_epochs(run_dir) == EPOCHS
    for file in ("best_model.pt", "model.pt", "last.pt", "split.tsv", ".hydra/config.yaml"):
        assert (run_dir / file).is_file()


@pytest.mark.parametrize("golden", ["stoomboot", "transfer", "plain"])
def test_what_condor_submit_makes_of_it_is_golden(pool: Pool, golden: str) -> None:
    def written(*words: str) -> Path:
        outputs = ("env", f"AAM_OUTPUTS={pool.folder}/{golden}")  # none of the same second
        command = (*outputs, BIN / "aam-submit", "dry_run=true", *SMALL)
        said = pool.call(*command, "trainer.seed=0,1", *words)
        return Path(shlex.split(said)[-1])

    if golden == "plain":
        file = ROOT / "hpc" / "htcondor" / "train.sub"
    elif golden == "stoomboot":
        file = written("env=stoomboot", "submit.gpus=1", "submit.max_hours=2")
    else:
        data = ("data=biom", "data.table=t.biom", "data.tree=/data/n.nwk")
        file = written("env=htcondor", "submit.shared_filesystem=false", *data)
    done = pool.run("condor_submit", "-dry-run", "-", file)
    assert (done.returncode, done.stderr) == (0, "")  # it warns of what it does not know
    text = VOLATILE.sub("", done.stdout).replace("' '", " ")  # how it quotes the space in HERE
    text = text.replace(str(file.parent), "EXP")
    text = text.replace(str(pool.folder), "HERE").replace(str(BIN.parent), "VENV")
    text = re.sub(r"(exp|run)_\d{8}-?\d*_", r"\1_TIME_", text)
    assert text == (GOLDEN / f"condor_submit-{golden}.txt").read_text()
