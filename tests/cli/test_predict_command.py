"""``aam-predict``: arguments, files and exit codes."""

import re
import subprocess
import sys

import pytest
from prediction.runs import REGRESSION, add_calibration, save_run, table_of

from aam.cli.predict import NEEDED, READ, WRITTEN, main
from aam.config import DataConfig
from aam.data.demo import write_demo
from aam.data.study import load_study
from aam.facts.tables import read_tsv


@pytest.fixture
def aam_predict(monkeypatch, tmp_path, capfd):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aam-predict", *arguments])
        code = main()
        return code, *capfd.readouterr()

    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.chdir(tmp_path)
    return run


def test_help_is_light_and_names_every_key(aam_predict):
    code = "import sys; sys.argv = ['aam-predict', '--help']; import aam.cli.predict as p; p.main()"
    listed = f"{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "hydra", "omegaconf", "pandas", "skbio", "aam.config"}
    assert heavy & set(done.stderr.split()) == set()
    for key in (*READ, *WRITTEN):
        assert re.search(rf"^  {key}=FILE|^  {key}=RUN", done.stdout, re.MULTILINE), key
    assert aam_predict("model=x", "-h") == (0, done.stdout, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "aam-predict needs model= and table=:"),
        (["model=run"], "aam-predict needs table=:"),
        (["model=run", "tabel=t.tsv"], "there is no argument tabel=; did you mean table=?"),
        (["data.rep_seqs=t"], "there is no argument data.rep_seqs=; did you mean rep_seqs=?"),
        (["zzz=1"], "there is no argument zzz=; aam-predict --help lists all"),
        (["run"], "'run' cannot be read: write KEY=VALUE"),
        (["model=a", "model=b"], "model= is given twice"),
        (["model="], "model= is empty"),
        (["model=r", "table=t", "output=./t"], "table= and output= are the same file"),
        (["model=r", "table=t", "output=o", "attributions=o"], "output= and attributions= are"),
        (["model=r", "table=t", "output=."], "output=. is a folder: give a file"),
        (["model=absent", "table=t"], "there is no checkpoint absent"),
    ],
)
def test_wrong_arguments(aam_predict, tmp_path, arguments, said):
    code, out, err = aam_predict(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_needed_keys_are_among_those_read():
    assert set(NEEDED) < set(READ)


def test_the_whole_command(aam_predict, tmp_path):
    files = write_demo(tmp_path / "demo", 1)
    demo = load_study(DataConfig(name="biom", table=str(files.table)), needs_tree=False)
    add_calibration(save_run(tmp_path / "run", REGRESSION), demo, REGRESSION)
    table = table_of(demo, [3, 50, 151])
    table.counts[1] = 0
    table.write(tmp_path / "table.tsv")
    (tmp_path / "predictions.tsv").write_text("of yesterday")
    code, out, err = aam_predict(
        "model=run", "table=table.tsv", "output_embeddings=new/e.tsv", "attributions=a.tsv"
    )
    assert code == 0
    assert out == (
        "2 samples predicted\n1 not predicted: no reads\nWritten:\n"
        "  predictions.tsv\n  new/e.tsv\n  a.tsv\n"
    )
    assert "1 of 3 samples are empty (0 reads) and were dropped" in err
    written = read_tsv(tmp_path / "predictions.tsv")
    assert list(written) == [
        "sample-id", "predicted", "lower_90", "upper_90", "nearest_distance", "novelty_p",
        "out_of_distribution", "reason",
    ]  # fmt: skip
    assert written["sample-id"] == list(table.sample_ids)
    assert written["reason"] == ["", "no reads", ""]
    assert [bool(cell) for cell in written["predicted"]] == [True, False, True]
    assert read_tsv(tmp_path / "new" / "e.tsv")["sample-id"] == [
        table.sample_ids[0], table.sample_ids[2]
    ]  # fmt: skip
    sums = read_tsv(tmp_path / "a.tsv")
    assert set(sums["num_samples"]) == {"1", "2"}


def test_errors_speak_of_its_own_keys(aam_predict, tmp_path):
    save_run(tmp_path / "run", REGRESSION)
    (tmp_path / "t.tsv").write_text("#OTU ID\ts1\nasv_number_1\t5\n")
    code, _, err = aam_predict("model=run", "table=t.tsv")
    assert code == 2
    assert "; set rep_seqs= to the FASTA" in err
    assert not (tmp_path / "predictions.tsv").exists()
