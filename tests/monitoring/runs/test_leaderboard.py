"""The order of settings, how sure it is, and what a reader must know."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from aam.errors import UserError
from aam.monitoring.runs.boards import best_of_all, read_boards
from aam.monitoring.runs.documents import as_document
from aam.monitoring.runs.leaderboard import Leaderboard, leaderboard
from aam.monitoring.runs.notes import notes
from aam.monitoring.runs.report import report, verdict


@pytest.fixture
def board(tmp_path):
    """The one leaderboard of all runs that a test has made."""

    def read(**given) -> Leaderboard:
        (one,), _ = read_boards([str(tmp_path)], **given)
        return one

    return read


def order(board: Leaderboard) -> list[str]:
    return [next(iter(row.setting.values())) for row in board.rows]


def test_the_best_epoch_of_a_run_counts_not_the_best_of_a_metric(sweep_run, board):
    """R² is 0.9 in an epoch that nobody kept: the models that there are have 0.5 and 0.6."""
    sweep_run("a", [3.0, 2.0, 1.0], metrics={"r2": [0.9, 0.1, 0.5]}, optimizer__lr=0.1)
    sweep_run("b", [3.0, 2.0, 2.5], metrics={"r2": [0.0, 0.6, 0.0]}, optimizer__lr=0.2)
    by_loss, by_r2 = board(), board(metric="r2")
    assert (by_loss.metric, order(by_loss)) == ("val_loss", ["0.1", "0.2"])
    assert (by_r2.metric, order(by_r2)) == ("r2", ["0.2", "0.1"])
    assert [by_r2.mean(row, "val", "r2").mean for row in by_r2.rows] == [0.6, 0.5]
    assert board(metric="total_loss").metric == "val_loss"


def test_the_validation_chooses_and_the_test_stands_beside(sweep_run, board):
    sweep_run("a", [1.0], test={"total_loss": 9.0}, optimizer__lr=0.1)
    sweep_run("b", [2.0], test={"total_loss": 8.0}, optimizer__lr=0.2)
    by_val, by_test = board(), board(by="test")
    assert by_val.figures == [("val_loss", "val"), ("val_loss", "test")]
    assert by_test.figures == [("total_loss", "test"), ("total_loss", "val")]
    assert (order(by_val), order(by_test)) == (["0.1", "0.2"], ["0.2", "0.1"])
    assert notes(by_val)[-1].startswith("Row 1 was chosen by its validation value, which is there")
    assert notes(by_test)[-1].startswith("Ranked by the test, so that the test value of row 1 is t")


def test_higher_is_better_where_it_is(sweep_run, board):
    for name, value in (("a", 0.2), ("b", 0.9), ("c", 0.5)):
        sweep_run(name, [1.0], metrics={"auroc": [value]}, watched="auroc", run_tag=name)
    assert order(board()) == ["b", "c", "a"]


def test_different_watched_metrics_ask_for_one(sweep_run, board):
    sweep_run("a", metrics={"mae": [1.0] * 4}, watched="mae", optimizer__lr=0.1)
    sweep_run("b", metrics={"mae": [2.0] * 4}, optimizer__lr=0.2)
    unranked = board()
    assert unranked.why_unranked == (
        "the runs watch different metrics (mae, val_loss): choose one by metric="
    )
    assert (unranked.lead, unranked.best_run, notes(unranked)) == (None, None, [])
    assert order(board(metric="mae")) == ["0.1", "0.2"]


def test_without_validation_nothing_is_ranked_by_training(sweep_run, board):
    no_val = {"num_samples": {"train": 80, "val": 0, "test": 20}, "watched": "train_loss"}
    sweep_run("a", optimizer__lr=0.1, **no_val)
    sweep_run("b", [0.1], optimizer__lr=0.2, **no_val)
    why = board().why_unranked
    assert why.startswith("the runs watched their training loss, which tells nothing of other sam")
    assert why.endswith("by=test ranks by it, which flatters the best")
    assert order(board(by="test")) == ["0.2", "0.1"]


def test_a_training_loss_that_was_watched_by_choice(sweep_run, board):
    sweep_run("a", watched="train_loss", metrics={"mae": [1.0] * 4})
    assert board().why_unranked.endswith("choose by metric= one of val_loss, mae")


def test_a_metric_that_no_run_has(sweep_run, board):
    sweep_run("a", metrics={"mae": [1.0] * 4})
    with pytest.raises(UserError) as refused:
        board(metric="r2")
    assert str(refused.value) == (
        "metric=r2 ranks nothing: no finished run has a validation r2; there is val_loss, mae"
    )


def test_what_is_not_finished_is_listed_and_not_ranked(sweep_run, board, tmp_path):
    sweep_run("a", trainer__seed=0)
    sweep_run("b", [0.1, 0.05], end="on_exception", trainer__seed=1)
    sweep_run("c", [0.1, 0.05], end="on_stop", trainer__seed=2)
    sweep_run("d", [0.1], end="on_train_end", optimizer__lr=0.5)  # not tested: died
    sweep_run("e", [], end="", optimizer__lr=0.6)
    one = board()
    assert [[run.folder.name for run in row.finished] for row in one.rows] == [["a"]]
    boards, unstarted = read_boards([str(tmp_path)])
    assert report(boards, unstarted).splitlines()[3:] == [
        "  #  optimizer.lr  val loss  test loss  best epoch  runs",
        "  1  0.001           0.2000     0.2200      3 of 4  a",
        "",
        "Not in the ranking:",
        "  failed   2/4 epochs, val_loss 0.05000 so far  optimizer.lr=0.001  b",
        "  stopped  2/4 epochs, val_loss 0.05000 so far  optimizer.lr=0.001  c",
        "  died     1/4 epochs, val_loss 0.1000 so far   optimizer.lr=0.5    d",
        "  died     0/4 epochs                           optimizer.lr=0.6    e",
    ]
    states = [run["state"] for row in as_document(boards, [])["tables"][0]["rows"]
              for run in row["unfinished"]]  # fmt: skip
    assert states == ["failed", "stopped", "died", "died"]


def seeds(sweep_run, lr: float, values: list[float], first: int = 0, **settings) -> None:
    for seed, value in enumerate(values, start=first):
        sweep_run(f"{lr}-{seed}", [value], optimizer__lr=lr, trainer__seed=seed, **settings)


def test_seeds_of_both_are_paired(sweep_run, board):
    """Each value has a seed's luck in it, which the difference has not."""
    luck = np.array([0.0, 0.5, 1.0])
    ours, theirs = 1.0 + luck, 1.1 + luck + [0.0, 0.01, -0.01]
    seeds(sweep_run, 0.1, ours.tolist())
    seeds(sweep_run, 0.2, theirs.tolist())
    one = board()
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (one.lead.over, one.lead.number, one.lead.is_beyond) == ("seed", 3, True)
    assert one.lead.difference == pytest.approx(-0.1)
    assert one.lead.interval == pytest.approx(tuple(expected), rel=1e-9)
    assert verdict(one) == (
        "Row 1 is better than row 2 by 0.100 in val_loss, beyond the spread of the seeds (95 % "
        "interval of 1 minus 2, paired over 3 seeds: -0.125 to -0.075)."
    )


def test_seeds_that_are_not_shared_are_not_paired(sweep_run, board):
    seeds(sweep_run, 0.1, [1.0, 1.2, 0.9])
    seeds(sweep_run, 0.2, [1.1, 1.4], first=7)
    one = board()
    result = stats.ttest_ind([1.0, 1.2, 0.9], [1.1, 1.4], equal_var=False)
    assert (one.lead.over, one.lead.number, one.lead.is_beyond) == ("seed", 0, False)
    assert one.lead.interval == pytest.approx(tuple(result.confidence_interval(0.95)), rel=1e-9)
    assert "within the spread of the seeds (95 % interval of 1 minus 2, not pair" in verdict(one)
    assert verdict(one).endswith("): they cannot be told apart.")
    assert notes(one)[0] == (
        "Not all rows have the same seeds and splits: 1, 2 lack some, so the means are over "
        "different ones."
    )


def test_splits_share_training_samples_so_the_interval_is_wider(sweep_run, board):
    """Two seeds of each split: their mean counts, for seeds tell nothing of other samples."""
    values = {0.1: [[1.0, 1.2], [2.0, 2.0], [3.0, 3.4]], 0.2: [[1.5, 1.5], [2.2, 2.6], [4.2, 4.4]]}
    for lr, by_split in values.items():
        for fold, of_split in enumerate(by_split):
            for seed, value in enumerate(of_split):
                changes = {"optimizer__lr": lr, "trainer__seed": seed, "split__fold": fold}
                sweep_run(f"{lr}-{fold}-{seed}", [value], **changes)
    lead = board().lead
    pairs = np.mean(values[0.1], axis=1) - np.mean(values[0.2], axis=1)
    half = stats.t.ppf(0.975, 2) * pairs.std(ddof=1) * np.sqrt(1 / 3 + 20 / 80)
    assert (lead.over, lead.number) == ("split", 3)
    assert lead.interval == pytest.approx((pairs.mean() - half, pairs.mean() + half), rel=1e-9)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"trainer__seed": 0}, "a single run says nothing of the spread: repeat both settings"),
        ({"split__fold": 1}, "they have no split in common, so that may be the samples."),
    ],
)
def test_one_run_of_each_says_nothing_of_the_spread(sweep_run, board, theirs, said):
    sweep_run("a", [1.0], optimizer__lr=0.1)
    sweep_run("b", [1.5], optimizer__lr=0.2, **theirs)
    assert verdict(board()).startswith(f"Row 1 is better than row 2 by 0.500 in val_loss; {said}")


def test_the_best_of_many_was_chosen(sweep_run, board):
    for k, lr in enumerate((0.1, 0.2, 0.3)):
        seeds(sweep_run, lr, [1.0 + k, 1.01 + k])
    assert verdict(board()).endswith("; that it was chosen among 3 is not allowed for.")


def test_equal_epochs(sweep_run, board):
    """The slow one is ahead at the end, the fast one where both have been."""
    sweep_run("slow", [0.9, 0.8, 0.3, 0.2], optimizer__lr=0.1)
    sweep_run("fast", [0.7, 0.5], optimizer__lr=0.2)
    assert (
        "The runs did not train for equally long: by epoch 2, which all have done, row 2 would be "
        "first (val_loss 0.5000)."
    ) in notes(board())


def test_equally_long_runs_need_no_such_note(sweep_run, board):
    sweep_run("a", optimizer__lr=0.1)
    sweep_run("b", optimizer__lr=0.2)
    assert len(notes(board())) == 1


def test_what_a_loss_is_a_measure_of(sweep_run, board):
    metrics = {"unifrac_r2": [0.1] * 4}
    sweep_run("a", metrics=metrics, loop__nuc_weight=0.1)
    sweep_run("b", metrics=metrics, loop__nuc_weight=0.2, num_samples={"train": 8, "val": 2})
    by_loss, by_r2 = notes(board()), notes(board(metric="unifrac_r2"))
    assert by_loss[0].startswith("loop.nuc_weight changes what val_loss is a measure of, so the r")
    assert by_loss[1].startswith("The rows were judged on different numbers of samples of one sp")
    assert by_loss[1:] == by_r2


def test_the_order_of_the_folders_changes_nothing(sweep_run):
    runs = [
        sweep_run(f"{lr}-{seed}", [lr + seed / 10], optimizer__lr=lr, trainer__seed=seed)
        for lr in (0.2, 0.1)
        for seed in (0, 1)
    ]
    said = {report(read_boards(list(map(str, given)))[0], []) for given in permutations(runs)}
    assert len(said) == 1


def test_the_best_run_is_one_of_the_best_setting(sweep_run, board, tmp_path):
    """Not the luckiest of all: 0.2 has one run at 0.05, but the worse mean."""
    seeds(sweep_run, 0.1, [0.5, 0.4, 0.6])
    seeds(sweep_run, 0.2, [0.05, 0.9, 0.9])
    one = board()
    assert best_of_all([one], ["x"])[1].folder.name == "0.1-1"
    sweep_run("other", loop__name="probe")
    with pytest.raises(UserError, match=r"holds runs of 2 kinds that are not ranked together \(\["):
        best_of_all(read_boards([str(tmp_path)])[0], ["x"])


def test_a_table_without_a_finished_run_is_none_the_less_a_table(sweep_run, board):
    sweep_run("a", end="on_stop")
    one = leaderboard(board().table, metric="mae", by="val")
    assert (one.rows, one.why_unranked) == ([], "no finished run has a validation mae")
    with pytest.raises(UserError, match="x has no best run: no run is finished"):
        best_of_all([board()], ["x"])
