import pytest

from aam.errors import UserError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("the sample é 🧬 is absent", "the sample é 🧬 is absent"),
        ("one\ntwo\r\tthree\x00", r"one\ntwo\r\tthree\x00"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("half \ud800 of a pair", r"half \ud800 of a pair"),
        ("file \udcff.tsv", r"file \udcff.tsv"),  # as Python holds a name that is not UTF-8
    ],
)
def test_a_sentence_is_one_line_that_every_console_can_show(given: str, said: str) -> None:
    assert str(UserError(given)) == said
    said.encode()


def test_an_endless_cell_leaves_both_ends_of_the_sentence() -> None:
    sentence = str(UserError(f"the table t.tsv has {'x' * 10**6} in line 3; save it anew"))
    assert sentence.startswith("the table t.tsv has xxx")
    assert sentence.endswith("xxx in line 3; save it anew")
    assert len(sentence) == 1003
