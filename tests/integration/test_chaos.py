"""A share of ``benchmarks/chaos.py``: kills of each kind, and an end as if there were none."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kills find files by Linux's /proc")
def test_killed_runs_end_as_one_that_nobody_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "cache"))
    from chaos import STUDIES, storm

    toll = storm(tmp_path, 8, seed=2, studies={"pretrain": STUDIES["pretrain"]})
    assert toll.kills.total() == 8
    assert len(toll.kills) > 2  # of several kinds
    assert toll.resumes > 0
    assert (toll.corrupt, toll.differences) == ([], [])
