import pytest

SMALLEST = ("model.dim=16", "model.patch_size=25", "loop.min_updates=2", "trainer.num_threads=1")


def test_a_preflight_prints_and_leaves_no_run(aam_train, tmp_path, monkeypatch):
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "cache"))
    done = aam_train("preflight=true", "data.batch_size=100", *SMALLEST)
    assert (done.code, done.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    lines = done.out.splitlines()
    assert lines[0] == "Data"
    # Values of all sections stand below each other.
    rows = [line for line in lines[: lines.index("Consider")] if line.startswith("  ")]
    assert len(rows) > 20
    starts = {len(line) - len(line[4:].split("  ", 1)[1].lstrip()) for line in rows}
    assert len(starts) == 1
    assert lines[-1].startswith("  data.batch_size=32  ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--multirun", "trainer.seed=0,1"),
            "preflight=true looks at one run: leave out --multirun",
        ),
        (("--multirun", "preflight=true,false"), "preflight=true looks at one run"),
        (("monitor=true",), "leave out one"),
        (("trainer.memory_gib=0.01",), "trainer.memory_gib=0.01 is less than the "),
    ],
)
def test_what_a_preflight_refuses(aam_train, tmp_path, words, sentence, monkeypatch):
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "cache"))
    asked = [] if any("preflight" in word for word in words) else ["preflight=true"]
    done = aam_train(*asked, *SMALLEST, *words)
    assert done.code == 2
    assert sentence in done.err
    assert not (tmp_path / "outputs").exists()
