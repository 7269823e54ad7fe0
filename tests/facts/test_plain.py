import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aam.facts.plain import plain

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4)
    ),
)


def finite(value: Any, key: str, lost: list[str]) -> Any:
    """What is expected, in the plainest words."""
    if isinstance(value, dict):
        return {k: finite(v, f"{key}.{k}", lost) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v, f"{key}.{i}", lost) for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        lost.append(key)
        return None
    return value


@given(values)
def test_only_numbers_that_are_not_finite_are_lost(value: Any) -> None:
    lost: list[str] = []
    nonfinite: list[str] = []
    expected = finite(value, "k", lost)
    assert json.loads(json.dumps(plain(value, "k", nonfinite), allow_nan=False)) == expected
    assert nonfinite == lost


def test_numpy_values_are_taken_and_others_refused_by_name() -> None:
    given = {"a": np.float32(0.5), "b": np.bool_(True), "c": np.array([1.0, np.nan]), 3: (1,)}
    nonfinite: list[str] = []
    assert plain(given, "meta", nonfinite) == {"a": 0.5, "b": True, "c": [1.0, None], "3": [1]}
    assert nonfinite == ["meta.c.1"]
    with pytest.raises(TypeError, match=r"meta\.x\.1 is a object, which a fact cannot hold"):
        plain({"x": [1, object()]}, "meta", [])
