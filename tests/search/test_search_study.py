"""Trials that end in every way, told to a journal that processes share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'aam[sweep]'")
from optuna.trial import TrialState  # noqa: E402

from aam.config import SearchConfig  # noqa: E402
from aam.errors import UserError  # noqa: E402
from aam.facts.stopping import is_asked_to_stop  # noqa: E402
from aam.search.space import read_space  # noqa: E402
from aam.search.study import Study  # noqa: E402
from aam.search.watch import Watch  # noqa: E402

ERROR = {"type": "ValueError", "message": "no", "traceback": "no"}
ARGUMENTS = ["x=interval(0, 1)", "trainer.epochs=3"]


def make_study(
    folder: Path, *arguments: str, metric: str = "val_loss", **settings: object
) -> Study:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = SearchConfig(**{"n_trials": 3, "sampler": "random", **settings})
    return Study(folder, read_space([*ARGUMENTS, *arguments]), wanted, metric)


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study._study.trials]


@pytest.fixture
def ended(record: Callable[..., Path], outputs: Path) -> Callable[..., Path]:
    """Write the run of a trial that ended in some way, with a best validation loss of 0.25."""

    def write(number: int, end: str | None, reason: str | None = None) -> Path:
        best = {"epoch": 1, "metric": "val_loss", "value": 0.25}
        fields: dict[str, Any] = {"on_exception": {"error": ERROR}, "on_stop": {"reason": reason}}
        tested = {"best": best, "metrics": {"test": {"unifrac_r2": 0.0}}}
        how = [] if end is None else [(end, fields.get(end, tested))]
        return record(f"run{number}", *how)

    return write


def test_each_end_has_its_state(outputs: Path, ended: Callable[..., Path]) -> None:
    folder = outputs / "runs"
    with make_study(folder, n_trials=5) as study:
        ends = [
            ("on_test_end", None),
            ("on_exception", None),
            ("on_stop", "request of ada@host"),
            ("on_stop", "SIGTERM"),
        ]
        for end, reason in ends:
            trial = study.ask()
            trial.set_user_attr("run", f"run{trial.number}")
            study.tell(trial.number, ended(trial.number, end, reason))
        put_back = study.ask()  # comes before new ones
        assert put_back.number == 4
        assert put_back.user_attrs["run"] == "run3"
        assert put_back.params == study._study.trials[3].params
        study.tell(put_back.number, folder / "absent")
        assert states(study) == ["COMPLETE", "FAIL", "PRUNED", "FAIL", "FAIL"]
        assert study._study.trials[0].value == 0.25
        assert study.told().splitlines() == [
            "4 trials: 1 complete, 1 pruned, 2 fail",
            f"Best: val_loss 0.25 with x={study._study.trials[0].params['x']}",
            f"  {folder / 'run0'}",
        ]
        assert study.ask() is not None  # a fifth
        assert study.ask() is None


def test_the_metric_says_which_way_is_better(outputs: Path, ended: Callable[..., Path]) -> None:
    with make_study(outputs / "runs", metric="unifrac_r2") as study:
        number = study.ask().number
        study.tell(number, ended(number, "on_test_end"))
        assert study._study.best_value == 0.75  # of validation at the best epoch, not of the test
        assert study._study.direction.name == "MAXIMIZE"


def test_trials_do_not_depend_on_who_asks(tmp_path: Path) -> None:
    values = []
    for folder, searchers in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        studies = [make_study(tmp_path / folder) for _ in range(searchers)]
        asked = []
        for turn in range(3):
            with studies[turn % searchers] as study:
                trial = study.ask()
                asked.append(trial.params["x"])
                study.tell(trial.number, tmp_path / "absent")
        values.append(asked)
    assert values[0] == values[1]
    assert len(set(values[0])) == 3


SEARCHER = """
import sys, time
from pathlib import Path
from test_search_study import make_study
with make_study(Path(sys.argv[1])) as study:
    trial = study.ask()
    trial.set_user_attr("run", "begun")
    print(trial.params["x"], flush=True)
    time.sleep(100)
"""


def test_a_trial_of_a_process_that_was_killed_is_taken_up(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SEARCHER, tmp_path],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        text=True,
    ) as searcher:
        assert searcher.stdout is not None
        value = float(searcher.stdout.readline())
        with make_study(tmp_path) as study:
            assert study.ask().number == 1  # while the other one lives
            searcher.send_signal(signal.SIGKILL)
            searcher.wait()
            (tmp_path / "begun").mkdir()
            (tmp_path / "begun" / "last.pt").touch()
            with (tmp_path / "study.journal").open("a") as journal:
                journal.write('{"op_code": 5, "tri')  # killed while it wrote
            again = make_study(tmp_path)
            taken = again.ask()
            assert (taken.params["x"], taken.user_attrs["run"]) == (value, "begun")
            assert states(again) == ["FAIL", "RUNNING", "RUNNING"]


def test_what_is_no_part_of_the_same_search_is_refused(tmp_path: Path) -> None:
    make_study(tmp_path)
    with pytest.raises(UserError, match=r"holds a search with other metric: val_loss, not r2"):
        make_study(tmp_path, metric="r2")
    with pytest.raises(UserError, match=r"other fixed: .*not .*trainer.seed=1"):
        make_study(tmp_path, "trainer.seed=1")
    make_study(tmp_path, "trainer.num_threads=1")


def test_a_trial_that_is_behind_is_asked_to_stop(
    outputs: Path, ended: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After six good trials one that is worse after as many epochs."""
    monkeypatch.setattr("aam.search.watch._INTERVAL_S", 0.02)
    with make_study(outputs / "runs", n_trials=9, pruner="median") as study:
        for _ in range(6):
            trial = study.ask()
            trial.report(0.1, 1)
            study._study.tell(trial.number, 0.1)
        trial = study.ask()
        with Watch(trial, outputs / "runs" / "run6", "val_loss") as watch:
            run = ended(6, None)
            waited_until = time.monotonic() + 60
            while not is_asked_to_stop(run):
                assert time.monotonic() < waited_until
                watch._is_over.wait(0.02)
        assert not is_asked_to_stop(run)  # the run has ended, and did not see it
        trial.study.tell(trial, state=TrialState.PRUNED)
        last = study._study.trials[-1]
        assert (last.state, last.value) == (TrialState.PRUNED, 0.25)
        assert last.intermediate_values == {0: 0.5, 1: 0.25}
