"""Metadata columns as inputs: fitted on the training part, whatever comes later."""

import numpy as np
import pytest

from aam.data.covariates import Covariate, encode_all
from aam.data.metadata import Column
from aam.errors import UserError

NUMBERS = Column("n", "numeric", ("1", "3", None, "100"))
WORDS = Column("w", "categorical", ("a", "b", None, "c"))
NOTHING = Column("n", "categorical", (None, None))
ROWS = np.array([0, 1, 2])


def test_numbers_are_standardised_by_the_training_part():
    covariate = Covariate.fit(NUMBERS, ROWS)
    np.testing.assert_allclose(covariate.encode(NUMBERS)[:, 0], [-1, 1, 0, 98])
    np.testing.assert_array_equal(covariate.encode(NOTHING), [[0], [0]])  # all missing: the mean


def test_categories_are_those_of_the_training_part():
    covariate = Covariate.fit(WORDS, ROWS)
    np.testing.assert_array_equal(covariate.encode(WORDS), [[1, 0], [0, 1], [0, 0], [0, 0]])
    both = encode_all([Covariate.fit(NUMBERS, ROWS), covariate], {"n": NUMBERS, "w": WORDS})
    assert both is not None
    assert both.shape == (4, 3)


def test_a_constant_is_not_divided_by_its_rounding():
    covariate = Covariate.fit(Column("n", "numeric", ("0.1",) * 60), np.arange(60))
    assert abs(covariate.encode(Column("n", "numeric", ("0.2",)))[0, 0]) < 1


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(UserError, match="no training sample has a value of n"):
        Covariate.fit(NUMBERS, np.array([2]))
