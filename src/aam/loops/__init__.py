"""One file per loop, and the registry by which ``loop=NAME`` finds it."""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from aam.config import Config
from aam.errors import UserError
from aam.loops.run import Run

if TYPE_CHECKING:
    from aam.loops.prepared import Prepared

# Names rather than functions: a loop and what it needs are imported when it is asked for.
DISPATCH = {
    "pretrain": "aam.loops.pretrain:pretrain",
    "finetune": "aam.loops.finetune:finetune",
    "probe": "aam.loops.probe:probe",
    "random_forest": "aam.loops.random_forest:random_forest",
    "mlp": "aam.loops.mlp:mlp",
    "lr_find": "aam.loops.lr_find:lr_find",
}


def find_loop(name: str) -> Callable[[Config, Run], float]:
    """The function that runs ``loop=NAME`` and returns its best value.

    Raises
    ------
    UserError
        If there is no such loop; those that there are are listed.
    """
    if name not in DISPATCH:
        near = get_close_matches(name, DISPATCH, n=1)
        hint = f"; did you mean loop={near[0]}?" if near else ""
        raise UserError(f"there is no loop={name}: there is {', '.join(DISPATCH)}{hint}")
    module, _, function = DISPATCH[name].partition(":")
    loop: Callable[[Config, Run], float] = getattr(import_module(module), function)
    return loop


def find_prepare(name: str) -> "Callable[[Config, Run], Prepared] | None":
    """What builds all that ``loop=NAME`` trains with: ``prepare`` of its file.

    None where there is no such function, as of loops that fit at once. Raises as ``find_loop``.
    """
    prepare: Callable[[Config, Run], Prepared] | None
    prepare = getattr(import_module(find_loop(name).__module__), "prepare", None)
    return prepare
