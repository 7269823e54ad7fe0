"""How a run was planned, and the commands that change it: what an advice is made of."""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aam.errors import UserError
from aam.facts.settings import read_choices, read_overrides, read_settings

COMMAND = "aam-train"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the start of a run says of it; a field is None or empty where it is not known."""

    run_dir: str | None = None
    overrides: tuple[str, ...] = ()
    """As in ``loop=pretrain``: what a new run like it is started with."""
    scheduler: str | None = None
    """The choice of ``scheduler=``."""
    is_per_update: bool = True
    """Whether the schedule counts updates, or epochs."""
    lr: float | None = None
    """The learning rate of the optimizer's config, which a schedule raises to."""
    max_grad_norm: float | None = None
    """Where gradients are clipped."""
    num_epochs: int | None = None

    @classmethod
    def of(cls, run_dir: str | Path | None, meta: Mapping[str, Any]) -> Self:
        """Take it from ``meta`` of ``on_start`` or ``on_resume``, and from the run folder."""
        overrides = read_overrides(Path(run_dir)) if run_dir is not None else []
        choices = read_choices(Path(run_dir)) if run_dir is not None else {}
        num_epochs = meta.get("num_epochs")
        return cls(
            run_dir=None if run_dir is None else str(Path(run_dir).absolute()),
            overrides=tuple(overrides or _words(meta.get("command", ""))),
            scheduler=choices.get("scheduler"),
            is_per_update=_is_per_update(run_dir),
            lr=_number(meta.get("lr")),
            max_grad_norm=_number(meta.get("max_grad_norm")),
            num_epochs=num_epochs if isinstance(num_epochs, int) else None,
        )

    def go_on(self, changes: Mapping[str, object]) -> str:
        """The command that goes on with the run, changed; of a run without folder, a new one."""
        if self.run_dir is None:
            return self.start_anew(changes)
        return shlex.join([COMMAND, f"resume={self.run_dir}", *_settings(changes)])

    def start_anew(self, changes: Mapping[str, object]) -> str:
        """The command that starts a run like it, changed."""
        kept = [word for word in self.overrides if _key(word) not in changes]
        return shlex.join([COMMAND, *kept, *_settings(changes)])


def _is_per_update(run_dir: str | Path | None) -> bool:
    with suppress(UserError):
        if run_dir is not None:
            return read_settings(Path(run_dir)).get("scheduler.per") != "epoch"
    return True


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _settings(changes: Mapping[str, object]) -> list[str]:
    return [
        f"{key}={value:.2g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in changes.items()
    ]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _words(command: str) -> list[str]:
    """The settings of a command line; none if it is another program's."""
    try:
        program, *words = shlex.split(command)
    except ValueError:
        return []
    if Path(program).name != COMMAND:
        return []
    return [word for word in words if _key(word) != "resume"]
