from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aam.phylogeny.newick import NewickError, parse_newick

LABELS = st.text(st.sampled_from("ab_ '\"[](),:;é1"), min_size=1).filter(
    lambda label: label == label.strip() and not label.startswith("'")
)
LENGTHS = st.floats(0, 1e6)


@settings(deadline=None)
@given(st.lists(st.tuples(LABELS, LENGTHS), min_size=2, unique_by=lambda tip: tip[0]), st.data())
def test_what_scikit_bio_writes_is_read_the_same(
    tips: list[tuple[str, float]], data: st.DataObject
) -> None:
    from skbio import TreeNode

    nodes = [TreeNode(name=name, length=length) for name, length in tips]
    while len(nodes) > 1:
        take = data.draw(st.integers(2, len(nodes)))
        parent = TreeNode(children=nodes[:take], length=data.draw(LENGTHS), name="in'ner (1)")
        nodes = [*nodes[take:], parent]
    written = StringIO()
    nodes[0].write(written)

    newick = parse_newick(written.getvalue())
    expected = list(nodes[0].tips())
    # An unquoted label holds its spaces as "_"; which labels are quoted is the writer's choice.
    spaced = [name.replace("_", " ") for name in newick.tip_names]
    assert spaced == [tip.name.replace("_", " ") for tip in expected]
    for position, tip in enumerate(expected):
        above = (newick.start <= position) & (position < newick.stop)
        lengths = [tip.length, *(node.length for node in tip.ancestors())]
        assert newick.length[above].sum() == pytest.approx(sum(lengths), rel=1e-12)
    assert newick.num_root_children == len(nodes[0].children)


@settings(deadline=None)
@given(st.text(st.sampled_from("(),:;'[]ab_ 1\n")))
def test_any_text_is_a_tree_or_a_clear_refusal(text: str) -> None:
    try:
        newick = parse_newick(text)
    except NewickError:
        return
    assert newick.start[0] == 0
    assert newick.stop[0] == len(newick.tip_names)
    assert np.all(newick.start < newick.stop)
    assert np.all(np.diff(newick.start) >= 0)
