"""Which key a mistyped one may have meant."""

import pytest

from aam.composing.keys import known_keys, nearest


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("optimizer.learning_rate", "optimizer.lr"),
        ("trainer.lr", "optimizer.lr"),
        ("epochs", "trainer.epochs"),
        ("seed", "split.seed"),
        ("trainer.sed", "trainer.seed"),
        ("sampl_dropout", "model.sample_dropout"),
        ("zzz", None),
    ],
)
def test_nearest(mistyped, meant):
    known = [key.name for key in known_keys()] + ["optimizer.lr"]
    assert nearest(mistyped, known) == meant
