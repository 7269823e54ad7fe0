"""What schedulers are given, as golden files, and what they are asked."""

import re
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden")
SWEEP = ("run_name=night", "trainer.seed=0,1")


def normalised(path: Path, folder: Path, tmp_path: Path) -> str:
    """Without what differs from one test to the next."""
    text = path.read_text().replace(str(folder), "EXP").replace(folder.name, "EXP_NAME")
    text = text.replace(str(tmp_path), "HERE").replace(sys.prefix, "VENV")
    return re.sub(r"\d{8}-\d{6}", "TIME", text)


def check(golden: str, path: Path, folder: Path, tmp_path: Path) -> None:
    assert normalised(path, folder, tmp_path) == (GOLDEN / golden).read_text()


@pytest.mark.parametrize(
    ("golden", "words"),
    [
        ("htcondor.sub", ("env=htcondor",)),
        (
            "htcondor-all.sub",
            (
                "env=stoomboot",
                "submit.cpus=4",
                "submit.gpus=1",
                "submit.memory_gib=1.5",
                "submit.disk_gib=10",
                "submit.max_hours=1.5",
                "submit.max_retries=5",
                "submit.requirements='TARGET.Cpus >= 4'",
                "submit.account=group.me",
                "submit.attributes.JobCategory='very \"long\"'",
                "+submit.extra.notification=Error",
                "submit.venv='/opt/my \"aam\"\\'s'",
            ),
        ),
        (
            "htcondor-transfer.sub",
            (
                "env=htcondor",
                "submit.shared_filesystem=false",
                "submit.image=docker://aam:1",
                "data=biom",
                "data.table=in/t.biom",
                "data.tree=/data/n.nwk",
            ),
        ),
        ("slurm.sbatch", ("env=slurm",)),
        (
            "slurm-all.sbatch",
            (
                "env=slurm",
                "submit.cpus=4",
                "submit.gpus=2",
                "submit.memory_gib=1.5",
                "submit.max_hours=1.5",
                "submit.max_retries=0",
                "submit.jobs_at_once=1",
                "submit.partition=long",
                "submit.account=me",
                "+submit.extra.qos=low",
                "+submit.extra.signal=B:USR1@600",
                "submit.venv='/opt/my aam'",
            ),
        ),
    ],
)
def test_submit_files_are_golden(
    aam_submit, scheduler, the_experiment, tmp_path, monkeypatch, golden, words
):
    if "all" in golden:
        monkeypatch.setenv("AAM_OUTPUTS", str(tmp_path / 'it\'s, 1% "x"'))
    assert aam_submit("dry_run=true", *words, *SWEEP).code == 0
    folder = the_experiment()
    check(golden, folder / f"jobs{Path(golden).suffix}", folder, tmp_path)


def test_without_a_shared_file_system_jobs_name_copies(
    aam_submit, scheduler, the_experiment, tmp_path
):
    aam_submit(
        "dry_run=true",
        "env=htcondor",
        "submit.shared_filesystem=false",
        "data=biom",
        "data.table=in/a.biom,in/b.biom",
        "data.tree='/data/my n.nwk'",
    )
    folder = the_experiment()
    lines = (folder / "jobs.txt").read_text().splitlines()[2:]
    for line, table in zip(lines, "ab", strict=True):
        assert f" data.table={table}.biom 'data.tree='\"'\"'my n.nwk'\"'\"'' " in line
        assert re.search(r" hydra\.run\.dir=run_\S+ resume=auto  # job00\d$", line)
    rows = re.findall(r"^\tjob.*$", (folder / "jobs.sub").read_text(), re.MULTILINE)
    assert [row.split(", ", 2)[2] for row in rows] == [
        f"{tmp_path}/in/{table}.biom, /data/my n.nwk" for table in "ab"
    ]


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ("a/t.biom,b/t.biom", "{here}/a/t.biom and {here}/b/t.biom have one name, and the jobs"),
        ("'a,b.biom'", "{here}/a,b.biom has a comma, at which HTCondor ends the name: rename it"),
        ("jobs.txt", "{here}/jobs.txt has the name of the list of jobs that goes along: rename it"),
    ],
)
def test_files_that_cannot_travel_are_refused(aam_submit, scheduler, tmp_path, tables, sentence):
    where = ("env=htcondor", "submit.shared_filesystem=false")
    done = aam_submit(*where, "data=biom", f"data.table={tables}", "data.tree=n.nwk")
    assert done.code == 2
    assert done.err.startswith(sentence.format(here=tmp_path))
    assert not (tmp_path / "outputs").exists()
