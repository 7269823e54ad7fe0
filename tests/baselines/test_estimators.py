"""Each baseline against plain scikit-learn."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from aam.baselines import linear
from aam.baselines.features import centred_log_ratios
from aam.baselines.forest import RandomForest
from aam.baselines.inner import inner_folds
from aam.baselines.kernels import KernelRidge, KernelSVM, platt
from aam.baselines.linear import ElasticNet, Logistic
from aam.baselines.neighbours import CANDIDATES, NearestNeighbours
from aam.baselines.simple import BatchMean, Mean
from aam.data.targets import Target

from .studies import KINDS, random_given, with_counts


def test_mean_and_batch_mean() -> None:
    values = np.array([[1.0], [3.0], [8.0], [0.0], [0.0], [0.0]])
    plain = random_given(batches=("a", "a", "b", "a", "new", None))
    given = replace(plain, target=Target(("y",), values))
    train, others = np.array([0, 1, 2]), np.array([3, 4, 5])
    for kind, expected in ((Mean, [4.0, 4.0, 4.0]), (BatchMean, [2.0, 4.0, 4.0])):
        baseline = kind(given)
        baseline.fit(train)
        assert baseline.predict(others)[:, 0].tolist() == expected
    classes = Target(("site",), np.array([2, 2, 0, 0, 0, 0]), ("a", "b", "c"))
    baseline = BatchMean(replace(plain, target=classes))
    baseline.fit(train)
    assert baseline.predict(others).tolist() == [[0, 0, 1], [1 / 3, 0, 2 / 3], [1 / 3, 0, 2 / 3]]


@pytest.mark.parametrize("kind", KINDS)
def test_forest(kind: dict[str, int]) -> None:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    given = random_given(**kind, num_trees=5, seed=3)
    counts = given.study.counts.toarray()
    counts[given.train, 4] = 0  # an ASV of no training sample
    given = with_counts(given, counts)
    forest = RandomForest(given)
    forest.fit(given.train)
    shares = np.delete(counts / counts.sum(axis=1, keepdims=True), 4, axis=1)
    target = given.target.values[given.train]
    if given.is_classification:
        plain = RandomForestClassifier(n_estimators=5, random_state=3).fit(
            shares[given.train], target
        )
        expected = plain.predict_proba(shares[given.split.val])
    else:
        plain = RandomForestRegressor(n_estimators=5, random_state=3, max_features=0.2)
        plain.fit(shares[given.train], target[:, 0] if target.shape[1] == 1 else target)
        expected = plain.predict(shares[given.split.val]).reshape(10, -1)
    assert np.array_equal(forest.predict(given.split.val), expected)


@pytest.mark.parametrize("metric", ["bray_curtis", "unifrac"])
@pytest.mark.parametrize("kind", [{"num_columns": 2}, {"num_classes": 3}])
def test_neighbours(kind: dict[str, int], metric: str) -> None:
    """Every candidate, and the choice: that of a grid search over the same folds."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    given = random_given(**kind)
    train, val = given.train, given.split.val
    neighbours = NearestNeighbours(given, metric)
    neighbours.fit(train)
    distances = given.distances(metric)
    within, across = distances[np.ix_(train, train)], distances[np.ix_(val, train)]
    ours = neighbours._outputs(train, val)
    losses = []
    kind_of = KNeighborsClassifier if given.is_classification else KNeighborsRegressor
    method = "predict_proba" if given.is_classification else "predict"
    target = given.target.values[train]
    folds = inner_folds(given, train)
    for choice, (number, by_distance) in enumerate(CANDIDATES):
        weights = "distance" if by_distance else "uniform"
        plain = kind_of(number, weights=weights, metric="precomputed")
        expected = getattr(plain.fit(within, target), method)(across)
        np.testing.assert_allclose(ours[choice], expected, atol=1e-12)
        guess = cross_val_predict(plain, within, target, cv=folds, method=method)
        if given.is_classification:
            losses.append(-roc_auc_score(target, guess, multi_class="ovr"))
        else:
            losses.append((np.abs(guess - target).mean(axis=0) / target.std(axis=0)).mean())
    assert losses[neighbours.choice] == pytest.approx(min(losses), abs=1e-12)
    assert np.array_equal(neighbours.predict(val), ours[neighbours.choice])


def test_neighbours_at_distance_0_outweigh_all_others() -> None:
    given = random_given()
    counts = given.study.counts.toarray()
    train, val = given.train, given.split.val
    counts[val[0]] = counts[train[3]] * 2  # the same shares and the same ASVs
    given = with_counts(given, counts)
    for metric in ("bray_curtis", "unifrac"):
        neighbours = NearestNeighbours(given, metric)
        neighbours.fit(train)
        for choice, (number, by_distance) in enumerate(CANDIDATES):
            guess = neighbours._outputs(train, val)[choice, 0, 0]
            is_copied = guess == pytest.approx(given.values[train[3], 0], rel=1e-12)
            assert is_copied == (number == 1 or by_distance)


def test_of_equal_neighbours_the_first_ids_count() -> None:
    given = random_given()
    train, val = given.train, given.split.val
    counts = np.zeros((60, 3), dtype=np.int64)
    counts[:, 0] = 5
    counts[train[::2], 1] = 5  # every other one is nearer to those to predict
    counts[val, 1] = 3
    neighbours = NearestNeighbours(with_counts(given, np.pad(counts, ((0, 0), (0, 21)))), "unifrac")
    neighbours.fit(train)
    nearest = [*train[::2], *train[1::2]]
    guesses = neighbours._outputs(train, val)
    for guess, (number, by_distance) in zip(guesses, CANDIDATES, strict=True):
        if not by_distance:
            np.testing.assert_allclose(guess, given.values[nearest[:number]].mean())


@pytest.mark.parametrize("metric", ["bray_curtis", "unifrac"])
def test_kernel_ridge(metric: str) -> None:
    from sklearn.kernel_ridge import KernelRidge as PlainRidge

    given = random_given(num_columns=2)
    train, val = given.train, given.split.val
    ours = KernelRidge(given, metric)
    ours.fit(train)
    distances = given.distances(metric)
    middle = np.median(distances[np.ix_(train, train)][np.triu_indices(len(train), 1)])
    mean = given.values[train].mean(axis=0)
    for scale, alpha in ((0.5, 0.1), (2.0, 1.0)):
        ours.scale, ours.alpha = scale, alpha
        kernel = np.exp(-((distances / (scale * middle)) ** 2))
        plain = PlainRidge(alpha=alpha, kernel="precomputed")
        plain.fit(kernel[np.ix_(train, train)], given.values[train] - mean)
        expected = plain.predict(kernel[np.ix_(val, train)]) + mean
        np.testing.assert_allclose(ours.predict(val), expected, rtol=1e-8)


def test_a_kernel_that_is_not_positive_definite_gets_a_larger_alpha() -> None:
    given = random_given()
    ridge = KernelRidge(given, "bray_curtis")
    kernel = np.array([[1.0, 2.0], [2.0, 1.0]])  # eigenvalues 3 and -1
    outputs = ridge._outputs(kernel, kernel, np.array([0, 1]), 0.3)
    values = given.values[:2]
    solved = np.linalg.solve(kernel + 1.2 * np.eye(2), values - values.mean())
    np.testing.assert_allclose(outputs, values.mean() + kernel @ solved)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_svm_equals_scikit_learn_calibrated_out_of_fold(
    num_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    given = random_given(num_classes=num_classes)
    train, val = given.train, given.split.val
    # One width for all folds, which scikit-learn is given as well.
    kernel = np.exp(-((given.distances("bray_curtis") / 0.3) ** 2))
    monkeypatch.setattr(
        KernelSVM,
        "_kernels",
        lambda _, fit, held, scale: (kernel[np.ix_(fit, fit)], kernel[np.ix_(held, fit)]),
    )
    ours = KernelSVM(given, "bray_curtis")
    ours.fit(train)
    plain = CalibratedClassifierCV(
        SVC(kernel="precomputed", C=ours.cost),
        method="sigmoid",
        ensemble=False,
        cv=inner_folds(given, train),
    )
    plain.fit(kernel[np.ix_(train, train)], given.classes[train])
    expected = plain.predict_proba(kernel[np.ix_(val, train)])
    np.testing.assert_allclose(ours.predict(val), expected, atol=1e-4)


def test_platt() -> None:
    """The gradient of Platt's likelihood is 0; values that point the wrong way keep their order."""
    random = np.random.default_rng(0)
    is_class = random.random(50) < 0.4
    decision = 80 * (is_class + random.normal(size=50))
    slope, shift = platt(decision, is_class)
    num = is_class.sum()
    label = np.where(is_class, (num + 1) / (num + 2), 1 / (50 - num + 2))
    error = 1 / (1 + np.exp(-slope * decision - shift)) - label
    assert error.sum() == pytest.approx(0, abs=1e-3)
    assert error @ decision / 80 == pytest.approx(0, abs=1e-3)
    assert platt(-decision, is_class)[0] > 0
    assert np.isfinite(platt(np.zeros(4), np.array([True, False, False, False]))).all()


def test_logistic() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    given = random_given(num_classes=3)
    train, val = given.train, given.split.val
    counts = given.study.counts
    frequent = np.flatnonzero((counts[train].toarray() > 0).sum(axis=0) >= 3)
    ratios = centred_log_ratios(counts[:, frequent])
    ratios = (ratios - ratios[train].mean(axis=0)) / ratios[train].std(axis=0)
    folds = inner_folds(given, train)
    models, scores = [], []
    for cost in linear.COSTS:
        model = LogisticRegression(C=cost, tol=linear.TOLERANCE, max_iter=linear.MOST_STEPS)
        guess = cross_val_predict(
            model, ratios[train], given.classes[train], cv=folds, method="predict_proba"
        )
        scores.append(roc_auc_score(given.classes[train], guess, multi_class="ovr"))
        models.append(model.fit(ratios[train], given.classes[train]))
    ours = Logistic(given)
    ours.fit(train)
    expected = models[int(np.argmax(scores))].predict_proba(ratios[val])
    np.testing.assert_allclose(ours.predict(val), expected, rtol=1e-6)


def test_elastic_net(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import ElasticNet as PlainNet

    monkeypatch.setattr(linear, "TOLERANCE", 1e-9)
    monkeypatch.setattr(linear, "MOST_STEPS", 100_000)
    given = random_given(num_columns=2)
    train, val = given.train, given.split.val
    ours = ElasticNet(given)
    ours.fit(train)
    features, others = ours._features(train), ours._features(val)
    for column, (slope, shift) in enumerate(ours.lines):
        values = given.values[train, column]
        start = np.abs(features.T @ (values - values.mean())).max() / len(train)
        fits = [
            PlainNet(alpha=share * start / ratio, l1_ratio=ratio, tol=1e-9, max_iter=100_000)
            .fit(features, values)
            .predict(others)
            for ratio, share in product(linear.L1_RATIOS, linear.SHARES_OF_ALPHA)
        ]
        distance = [np.abs(others @ slope + shift - fit).max() for fit in fits]
        assert min(distance) < 1e-4
        assert np.median(distance) > 1e-2


def test_elastic_net_of_a_constant_target() -> None:
    given = random_given()
    given = replace(given, target=Target(("y",), np.full((60, 1), 7.3)))
    net = ElasticNet(given)
    net.fit(given.train)
    np.testing.assert_allclose(net.predict(given.split.val), 7.3)
