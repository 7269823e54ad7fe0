"""Ranges of a command line as Optuna has them."""

import pytest

from aam.errors import UserError
from aam.search.space import read_space

pytest.importorskip("optuna", reason="optuna is not installed: pip install 'aam[sweep]'")
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer.lr=interval(0, 1)", FloatDistribution(0.0, 1.0)),
        ("optimizer.lr=tag(log, interval(1e-4, 1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("model.dim=int(interval(8, 64))", IntDistribution(8, 64)),
        ("model.dim=tag(log, int(interval(8, 64)))", IntDistribution(8, 64, log=True)),
        ("model.dim=range(16, 64, 16)", IntDistribution(16, 48, step=16)),  # the end is no value
        ("x=range(0, 1, 0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("scheduler=cosine,plateau", CategoricalDistribution(["cosine", "plateau"])),
        ("model.dim=choice(16, 32)", CategoricalDistribution(["16", "32"])),
        ("early_stopping.patience=null,5", CategoricalDistribution(["null", "5"])),
    ],
)
def test_what_is_varied(override: str, expected: object) -> None:
    space = read_space(["trainer.epochs=3", override, "+data.new=1"])
    key = override.partition("=")[0]
    assert space.ranges == {key: expected}
    assert space.fixed == ("trainer.epochs=3", "+data.new=1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trainer.epochs=3"], r"has nothing to search: give a setting a range"),
        (["x=interval(2, 1)"], r"x=interval\(2, 1\): the interval must rise$"),
        (["x=tag(log, interval(0, 1))"], r"must rise from a number above 0"),
        (["x=range(3, 3)"], r"x=range\(3, 3\): the range is empty"),
    ],
)
def test_what_cannot_be_searched_is_a_sentence(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_space(arguments)


def test_without_optuna_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aam.search.space.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs Optuna: pip install 'aam\[sweep\]'$"):
        read_space(["x=1,2"])


def test_where_a_process_runs_is_its_own_matter() -> None:
    here = read_space(["trainer.device=cpu", "x=1,2", "trainer.epochs=3", "logging=none"])
    there = read_space(["trainer.epochs=3", "x=1,2", "trainer.device=cuda"])
    other = read_space(["trainer.epochs=4", "x=1,2"])
    assert here.shared == there.shared
    assert here.shared != other.shared
