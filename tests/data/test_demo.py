"""The demo study: real files, the same for a seed, safe to share, and worth learning from."""

import json
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr

from aam.config import DataConfig
from aam.data import evolution
from aam.data.demo import BODY_SITES, DemoStudy, cached_demo, make_demo, write_demo
from aam.data.metadata import read_metadata
from aam.data.study import load_study
from aam.data.table import read_table
from aam.errors import UserError
from aam.phylogeny.tree import read_tree
from aam.phylogeny.unifrac import UniFrac


@pytest.fixture(scope="module")
def study() -> DemoStudy:
    return make_demo(0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tree_distances(tree: evolution.RandomTree) -> np.ndarray:
    above = np.zeros((len(tree.parent), len(tree.parent)))  # [V, V]: is column on the way up
    for node in range(1, len(above)):
        above[node] = above[tree.parent[node]]
        above[node, node] = 1.0
    above = above[tree.tips]
    shared = (above * tree.length) @ above.T
    depth = shared.diagonal()
    return depth[:, None] + depth[None, :] - 2 * shared


def test_the_files_hold_the_study(tmp_path: Path, study: DemoStudy):
    files = write_demo(tmp_path / "demo", 0)
    table, metadata = read_table(files.table), read_metadata(files.metadata)

    column = {sequence: k for k, sequence in enumerate(study.sequences)}
    row = {name: k for k, name in enumerate(study.sample_ids)}
    rows, columns = [row[k] for k in table.sample_ids], [column[k] for k in table.asv_ids]
    np.testing.assert_array_equal(table.counts.toarray(), study.counts[np.ix_(rows, columns)])
    assert study.counts.sum() == table.counts.sum()  # only ASVs without a read were left out
    assert table.sample_ids != metadata.sample_ids  # nothing may rely on a common order

    assert {name: c.kind for name, c in metadata.columns.items()} == {
        "subject": "categorical",
        "body_site": "categorical",
        "age": "numeric",
        "bmi": "numeric",
    }
    np.testing.assert_array_equal(metadata.column("age").numeric(), study.age)
    assert 0.02 < np.isnan(metadata.column("bmi").numeric()).mean() < 0.25
    assert set(metadata.column("body_site").values) == set(BODY_SITES)

    tree = read_tree(files.tree, study.sequences)
    assert tree.length.sum() == pytest.approx(study.tree.length.sum(), abs=1e-5)


def test_the_one_door_opens_it(tmp_path: Path, monkeypatch, caplog, study: DemoStudy):
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "new" / "cache"))
    loaded = load_study(DataConfig(name="demo"))
    assert set(loaded.sample_ids) == set(study.sample_ids)
    assert not caplog.records
    assert {path.name for path in (tmp_path / "new" / "cache").iterdir()} == {"demo-v1-seed0"}


def test_a_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_demo(tmp_path / name, seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[name] != c[name] for name in a)


@pytest.mark.parametrize("harm", ["cut table", "no tree", "no manifest", "bad manifest", "empty"])
def test_a_damaged_folder_is_mended_and_a_whole_one_left_alone(tmp_path: Path, harm: str):
    folder = tmp_path / "demo"
    whole = [path.stat().st_ino for path in astuple(write_demo(folder, 0))]
    before = contents(folder)
    assert [path.stat().st_ino for path in astuple(write_demo(folder, 0))] == whole

    if harm == "cut table":
        (folder / "table.biom").write_bytes(before["table.biom"][:1000])
    elif harm == "no tree":
        (folder / "tree.nwk").unlink()
    elif harm == "no manifest":
        (folder / "manifest.json").unlink()
    elif harm == "bad manifest":
        (folder / "manifest.json").write_text(json.dumps([1]), encoding="utf-8")
    else:
        for path in folder.iterdir():
            path.unlink()
    write_demo(folder, 0)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_may_ask_for_it_at_once(tmp_path: Path, damaged: bool):
    folder = tmp_path / "demo"
    if damaged:
        folder.mkdir()
        (folder / "table.biom").write_bytes(b"half")
    code = (
        "import sys; from pathlib import Path\n"
        "from aam.data.demo import write_demo\n"
        "from aam.data.table import read_table\n"
        "sys.stdin.readline()\n"
        "print(read_table(write_demo(Path(sys.argv[1]), 0).table).counts.sum())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:  # all wait at the line, then go together
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in started]
    assert len({out for out, _ in answers}) == 1, answers
    assert [process.returncode for process in started] == [0, 0], answers
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    write_demo(tmp_path / "alone", 0)
    assert contents(folder) == contents(tmp_path / "alone")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written to .*file.*set AAM_CACHE to a folder"):
        cached_demo(0)
    with pytest.raises(UserError, match=r"data\.demo_seed=-1 is negative"):
        cached_demo(-1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_depth_richness_and_rarity_are_those_of_a_real_study(seed: int):
    counts = make_demo(seed).counts
    depth, richness = counts.sum(axis=1), (counts > 0).sum(axis=1)
    prevalence = (counts > 0).mean(axis=0)
    assert 8_000 < np.median(depth) < 12_500
    assert depth.min() >= 2_000
    assert 40 <= np.median(richness) <= 80
    assert np.median(prevalence[prevalence > 0]) < 0.2
    assert (prevalence > 0).sum() > 250


def test_age_can_be_learned_and_bmi_only_by_knowing_the_person(study: DemoStudy):
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import mean_absolute_error, r2_score
    from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

    share = study.counts / study.counts.sum(axis=1, keepdims=True)
    forest = RandomForestRegressor(60, max_features=0.2, random_state=0)
    apart, mixed = GroupKFold(4), KFold(4, shuffle=True, random_state=0)

    age = cross_val_predict(forest, share, study.age, groups=study.subject, cv=apart)
    assert r2_score(study.age, age) > 0.6
    guess = np.abs(study.age - study.age.mean()).mean()
    assert mean_absolute_error(study.age, age) < 0.5 * guess

    known = ~np.isnan(study.bmi)
    data, bmi, subject = share[known], study.bmi[known], study.subject[known]
    honest = r2_score(bmi, cross_val_predict(forest, data, bmi, groups=subject, cv=apart))
    leaking = r2_score(bmi, cross_val_predict(forest, data, bmi, cv=mixed))
    assert honest < 0.15
    assert leaking > honest + 0.1


def test_unifrac_follows_age_within_each_site_and_parts_the_sites(tmp_path: Path, study: DemoStudy):
    files = write_demo(tmp_path / "demo", 0)
    unifrac = UniFrac(read_tree(files.tree, study.sequences))
    distances = unifrac.distances(csr_matrix(study.counts))
    years = np.abs(study.age[:, None] - study.age[None, :])
    same = study.body_site[:, None] == study.body_site[None, :]
    upper = np.triu(np.ones_like(same), 1)
    for site in range(len(BODY_SITES)):
        pairs = upper & same & (study.body_site == site)[:, None]
        assert spearmanr(distances[pairs], years[pairs]).statistic > 0.5
    assert distances[upper & same].mean() + 0.08 < distances[upper & ~same].mean()
    siblings = study.subject[:, None] == study.subject[None, :]
    assert distances[upper & same & siblings].mean() < distances[upper & same].mean() - 0.08


def test_sequences_are_distinct_and_diverge_with_the_tree(study: DemoStudy):
    assert len(set(study.sequences)) == len(study.sequences) == len(study.tree.tips)
    bases = np.array([list(sequence) for sequence in study.sequences])
    assert bases.shape == (300, 150)
    assert set(bases.ravel()) == set("ACGT")
    pairs = np.triu_indices(len(bases), 1)
    differing = (bases[pairs[0]] != bases[pairs[1]]).mean(axis=1)
    assert spearmanr(differing, tree_distances(study.tree)[pairs]).statistic > 0.5  # 0.56 in ecam

    changes = (bases != bases[0]).mean(axis=0)  # conserved blocks against the rest
    assert changes[:18].mean() < 0.25 * changes[18:51].mean()


def test_the_substitution_model_is_a_reversible_markov_chain():
    left, eigenvalues, right = evolution._reversible_model()
    frequency = np.array(evolution.BASE_FREQUENCIES)
    rate = (left * eigenvalues) @ right
    np.testing.assert_allclose(rate.sum(axis=1), 0, atol=1e-12)
    flow = frequency[:, None] * rate
    np.testing.assert_allclose(flow, flow.T, atol=1e-12)
    assert -(frequency * rate.diagonal()).sum() == pytest.approx(1.0)
    np.testing.assert_allclose((left * np.exp(eigenvalues * 0.3)) @ right, expm(rate * 0.3))


def test_sequences_diverge_as_fast_as_the_branch_says(monkeypatch):
    monkeypatch.setattr(evolution, "SITE_RATE_SHAPE", 1e6)  # one rate for all sites
    monkeypatch.setattr(evolution, "CONSERVED_BLOCKS", ())
    cherry = evolution.RandomTree(np.array([-1, 0, 0]), np.array([0, 0.2, 0.1]), np.array([1, 2]))
    one, two = evolution.evolve_sequences(cherry, 40_000, np.random.default_rng(0))
    left, eigenvalues, right = evolution._reversible_model()
    chance = (left * np.exp(eigenvalues * 0.3)) @ right
    expected = 1 - (np.array(evolution.BASE_FREQUENCIES) * chance.diagonal()).sum()
    found = np.mean([a != b for a, b in zip(one, two, strict=True)])
    assert found == pytest.approx(expected, abs=4 * np.sqrt(expected / 40_000))


def test_a_tree_of_the_asked_size_and_depth_and_never_too_few_sequences():
    rng = np.random.default_rng(0)
    tree = evolution.yule_tree(50, 0.4, rng)
    assert tree.path_lengths()[tree.tips].mean() == pytest.approx(0.4)
    children = np.bincount(tree.parent[1:], minlength=len(tree.parent))
    assert set(np.flatnonzero(children == 0)) == set(tree.tips)
    assert set(children[children > 0]) == {2}
    assert len(tree.tips) == 50
    assert len(set(evolution.evolve_sequences(evolution.yule_tree(60, 0.01, rng), 3, rng))) == 60
    with pytest.raises(UserError, match="3 sites give fewer sequences"):
        evolution.evolve_sequences(evolution.yule_tree(65, 0.4, rng), 3, rng)
