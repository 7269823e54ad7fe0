"""The UniFrac loss, its targets, and the figures by which a model is judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, rankdata
from skbio import DistanceMatrix, TreeNode
from skbio.diversity import alpha_diversity, beta_diversity
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from aam.config import DataConfig
from aam.data.batches import rarefy
from aam.data.demo import write_demo
from aam.data.study import Study, load_study
from aam.errors import UserError
from aam.losses.targets import UnifracTargets
from aam.losses.unifrac import pair_table, unifrac_loss, unifrac_metrics


def test_the_loss_is_over_pairs_of_distinct_samples() -> None:
    torch.manual_seed(0)
    predicted, true = torch.rand(5, 5, requires_grad=True), torch.rand(5, 5)
    pairs = np.triu_indices(5, 1)
    expected = mean_squared_error(predicted.detach().numpy()[pairs], true.numpy()[pairs])
    assert unifrac_loss(predicted, true).item() == pytest.approx(expected, rel=1e-6)
    # Never a zero loss where there is nothing to learn from: NaN stops the run.
    assert unifrac_loss(predicted[:1, :1], true[:1, :1]).isnan()


def test_figures_are_those_of_scikit_learn_and_of_mantel() -> None:
    rng = np.random.default_rng(0)
    true = rng.random(300).round(2)  # with ties
    predicted = true + rng.normal(0, 0.2, 300)
    found = unifrac_metrics(predicted, true)
    assert found == pytest.approx(
        {
            "unifrac_loss": mean_squared_error(true, predicted),
            "unifrac_r2": r2_score(true, predicted),
            "unifrac_mae": mean_absolute_error(true, predicted),
            "unifrac_spearman": pearsonr(rankdata(predicted), rankdata(true))[0],
        }
    )
    constant = unifrac_metrics(np.full(300, true.mean()), true)
    assert constant["unifrac_r2"] == pytest.approx(0, abs=1e-12)
    assert np.isnan(constant["unifrac_spearman"])
    assert np.isnan(unifrac_metrics(predicted, np.full(300, 0.5))["unifrac_r2"])


def test_the_table_names_each_pair_once() -> None:
    predicted, true = np.arange(9.0).reshape(3, 3), 10 + np.arange(9.0).reshape(3, 3)
    assert pair_table(["a", "b", "c"], np.triu_indices(3, 1), predicted, true) == {
        "sample_a": ["a", "a", "b"],
        "sample_b": ["b", "c", "c"],
        "true": [11.0, 12.0, 15.0],
        "predicted": [1.0, 2.0, 5.0],
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, DataConfig]:
    files = write_demo(tmp_path_factory.mktemp("demo") / "seed1", 1)
    data = DataConfig(name="biom", table=str(files.table), tree=str(files.tree))
    return load_study(data), data


def test_targets_are_of_the_rows_at_hand(demo: tuple[Study, DataConfig]) -> None:
    study, data = demo
    rows = rarefy(study.counts[:8], 500, np.random.default_rng(0))
    targets = UnifracTargets(study, data)
    tree = TreeNode.read(data.tree, format="newick", convert_underscores=False)
    given = {"counts": rows.toarray(), "taxa": list(study.sequences), "tree": tree}
    found = targets.distances(rows, study.sample_ids[:8])
    expected = beta_diversity("unweighted_unifrac", **given)
    np.testing.assert_allclose(found, expected.data, atol=1e-12)
    expected = alpha_diversity("faith_pd", **given)
    np.testing.assert_allclose(targets.faith_pd(rows), expected, rtol=1e-12)


def test_a_given_matrix_is_read_by_sample_id(
    demo: tuple[Study, DataConfig], tmp_path: Path
) -> None:
    study, data = demo
    order = np.random.default_rng(0).permutation(len(study.sample_ids))
    exact = UnifracTargets(study, data).distances(study.counts, study.sample_ids)
    ids = [study.sample_ids[i] for i in order]
    DistanceMatrix(exact[np.ix_(order, order)], ids).write(str(tmp_path / "d.tsv"))
    bare, given = replace(study, tree=None), replace(data, distances=str(tmp_path / "d.tsv"))
    some = [7, 3, 100]
    targets = UnifracTargets(bare, given)
    found = targets.distances(study.counts[some], [study.sample_ids[i] for i in some])
    np.testing.assert_allclose(found, exact[np.ix_(some, some)], atol=1e-12)
    with pytest.raises(UserError, match=r"faith_pd_weight needs a tree; set data.tree="):
        targets.faith_pd(study.counts[some])
    with pytest.raises(UserError, match=r"distances need a tree; set data.tree= or data.distances"):
        UnifracTargets(bare, data).distances(study.counts[some], [])

    (tmp_path / "d.tsv").write_text("\ta\tb\na\t0\t1\nb\t1\t0\n")
    with pytest.raises(UserError, match=r"P01\.1"):  # at the start, not in the middle of an epoch
        UnifracTargets(bare, given)

    # The model's distances lie in [0, 1]; others could never be learned.
    far = DistanceMatrix(4 * exact, study.sample_ids)
    far.write(str(tmp_path / "far.tsv"))
    with pytest.raises(UserError, match=r"far\.tsv holds distances up to .* lie in \[0, 1\]"):
        UnifracTargets(bare, replace(data, distances=str(tmp_path / "far.tsv")))
