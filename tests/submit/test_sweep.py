"""One command line → the overrides of each job."""

import pytest
from hydra.errors import HydraException

from aam.errors import UserError
from aam.submit.sweep import expand


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["a=1"], [["a=1"]]),
        ([], [[]]),
        (["a=1,2", "b=x,y"], [["a=1", "b=x"], ["a=1", "b=y"], ["a=2", "b=x"], ["a=2", "b=y"]]),
        (["a=range(3)", "+b=choice(x)"], [["a=0", "+b=x"], ["a=1", "+b=x"], ["a=2", "+b=x"]]),
        (["model=glob(*a*)"], [["model=base"], ["model=large"], ["model=small"]]),
        # What is one value stays as it was typed.
        (["a='x, y'", "b=[1,2]", "~c", "d={e:1}"], [["a='x, y'", "b=[1,2]", "~c", "d={e:1}"]]),
        (["a='b c','d'"], [["a='b c'"], ["a='d'"]]),
    ],
)
def test_expands(words, jobs):
    assert expand(words) == jobs


def test_is_what_multirun_makes_of_it():
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    words = ["a=1,2.5", "b=choice(x,'y z')", "c=range(0,4,step=2)", "+d=null,true", "e=[1,2],[3]"]
    parsed = OverridesParser.create().parse_overrides(words)
    (theirs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    assert expand(words) == theirs


def test_refuses_what_has_no_end():
    with pytest.raises(UserError, match=r"a=interval\(0,1\) gives values without an end"):
        expand(["a=interval(0,1)"])
    with pytest.raises(UserError, match=r"model=glob\(z\*\) fits no choice"):
        expand(["model=glob(z*)"])
    with pytest.raises(HydraException):
        expand(["a=[1"])
