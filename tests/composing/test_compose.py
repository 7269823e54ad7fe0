"""Values on the command line, there and back."""

from hypothesis import given
from hypothesis import strategies as st

from aam.composing.compose import quoted, value_of

# Hydra's grammar has no line breaks within a value.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(texts | st.text("'\\ab ,=", min_size=1) | st.sampled_from(["null", "1_0", "True"]))
def test_a_quoted_text_is_read_as_it_was(text):
    assert value_of(f"run_name={quoted(text)}") == text


def test_a_plain_path_stays_readable():
    assert quoted("outputs/runs/run_1-2.3+4") == "outputs/runs/run_1-2.3+4"
    assert quoted("/data/t.biom") == "/data/t.biom"
    assert quoted("my run") == "'my run'"
    assert quoted("1e5") == "'1e5'"
