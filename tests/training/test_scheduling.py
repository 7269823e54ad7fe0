"""Learning rates of every schedule, update by update, against the formulas."""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler, OneCycleLR

from aam.errors import UserError
from aam.training.optimizers import build_optimizer
from aam.training.scheduling import Schedule

CONFIGS = Path(__file__).parents[2] / "configs"
LR = 0.5


def rates(config: dict[str, Any], num_updates: int = 40) -> list[float]:
    """The learning rate that each update of a run is made with."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    schedule = Schedule(config, optimizer, num_updates=num_updates, num_epochs=4)
    found = []
    for _ in range(num_updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.after_update()
    return found


def of_torch(make: Callable[[torch.optim.Optimizer], LRScheduler], num_steps: int) -> list[float]:
    """The rates of one of torch's schedulers, by itself."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    scheduler = make(optimizer)
    found = []
    for _ in range(num_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def line(num_steps: int) -> list[float]:
    """What is left of so many steps, before each."""
    return [1 - step / num_steps for step in range(num_steps)]


def half_cosine(num_steps: int, floor: float = 0.0) -> list[float]:
    return [floor + (LR - floor) / 2 * (1 - math.cos(math.pi * left)) for left in line(num_steps)]


@pytest.mark.parametrize(
    ("choice", "changes", "expected"),
    [
        ("constant", {}, [LR] * 36),
        ("constant", {"per": "epoch"}, [LR] * 40),  # a tenth of four epochs is none
        ("cosine", {}, half_cosine(40)),
        ("cosine", {"warmup_steps": 9, "eta_min": 0.1}, half_cosine(36, 0.1)),
        ("warmup_cosine", {"min_ratio": 0.1}, half_cosine(36, 0.05)),
        (
            "cosine_restarts",  # of 36 updates, one, two and four sevenths
            {"eta_min": 0.1},
            (half_cosine(6, 0.1) + half_cosine(12, 0.1) + half_cosine(24, 0.1))[:36],
        ),
        ("cosine_restarts", {"warmup_steps": 0, "cycles": 4, "T_mult": 1}, half_cosine(10) * 4),
        ("linear", {}, [LR * left for left in line(36)]),
        ("linear", {"end_factor": 0.2}, [LR * (0.2 + 0.8 * left) for left in line(36)]),
        ("polynomial", {}, [LR * left**2 for left in line(36)]),
        ("polynomial", {"power": 0.5, "warmup_steps": 0}, [LR * left**0.5 for left in line(40)]),
        (
            "onecycle",
            {"pct_start": 0.25, "div_factor": 10},
            of_torch(lambda o: OneCycleLR(o, LR, 40, pct_start=0.25, div_factor=10), 39),
        ),
    ],
)
def test_rates_of_the_updates(choice: str, changes: dict[str, Any], expected: list[float]) -> None:
    """After a warmup of a tenth of the run, where there is one."""
    config = numbers(CONFIGS / "scheduler" / f"{choice}.yaml") | changes
    found = rates(config)
    if choice == "onecycle":
        assert found[:39] == pytest.approx(expected)
        assert found[-1] == pytest.approx(LR / 10 / 1e4)  # the last update has the last rate
        return
    warmup = [LR * (step + 1) / 5 for step in range(40 - len(expected))]
    assert found == pytest.approx(warmup + expected, abs=1e-12)


def test_any_schedule_of_torch_may_have_a_warmup() -> None:
    name = "torch.optim.lr_scheduler.ExponentialLR"
    found = rates({"_target_": name, "gamma": 0.9, "warmup_steps": 3})
    expected = [LR * (step + 1) / 4 for step in range(3)]
    expected += of_torch(lambda optimizer: ExponentialLR(optimizer, gamma=0.9), 37)
    assert found == pytest.approx(expected)
    onecycle = {"_target_": "aam.training.schedules.onecycle", "warmup_steps": 3}
    with pytest.raises(UserError, match=r"warmup_steps=3 is no setting .* set .*pct_start"):
        rates(onecycle)


def test_a_plateau_begins_where_its_warmup_ends() -> None:
    """Validations before that count for nothing: of no update are there two rates."""
    config = numbers(CONFIGS / "scheduler" / "plateau.yaml") | {"patience": 0, "warmup_steps": 3}
    run = Run(config, LR, num_epochs=8)
    found = [whole for whole, *_ in run.rates(8)]
    expected = [LR / 4, LR / 2, 3 * LR / 4, LR, LR]  # the first epoch; its validation is the best
    assert found[:10] == pytest.approx(expected + [LR] * 5)
    assert found[10:20] == pytest.approx([LR / 2] * 5 + [LR / 4] * 5)
    early = Run(config | {"warmup_steps": 4}, LR)  # four of forty updates: a tenth
    early.schedule.after_epoch(1.0)
    assert early.schedule.state_dict()["scheduler"]["last_epoch"] == 0
    assert len(early.rates(1)) == 5
    assert early.schedule.state_dict()["scheduler"]["last_epoch"] == 1


@pytest.mark.parametrize(
    ("choice", "changes", "sentence"),
    [
        ("warmup_cosine", {"min_ratio": 2}, r"min_ratio must lie in \[0, 1\]"),
        ("cosine", {"eta_min": 0.3}, r"eta_min=0\.3 is above the learning rate 0\.25"),
        ("cosine_restarts", {"eta_min": 1}, r"eta_min=1 is above the learning rate 0\.25"),
        ("cosine_restarts", {"cycles": 0}, r"cycles=0 and T_mult=2 must be at least 1"),
        ("linear", {"end_factor": 2}, r"Ending multiplicative factor"),
        ("onecycle", {"pct_start": 2}, r"between 0 and 1 pct_start"),
        ("plateau", {"factor": 1}, r"Factor should be < 1\.0"),
    ],
)
def test_what_a_schedule_refuses_is_a_sentence(
    choice: str, changes: dict[str, Any], sentence: str
) -> None:
    config = numbers(CONFIGS / "scheduler" / f"{choice}.yaml") | changes
    with pytest.raises(UserError, match=rf"the scheduler cannot be made with .*{sentence}"):
        Run(config, LR)  # whose second layer has half of the rate


def test_what_moves_a_plateau_is_no_setting() -> None:
    config = numbers(CONFIGS / "scheduler" / "plateau.yaml") | {"per": "epoch"}
    with pytest.raises(UserError, match=r"scheduler.per=epoch is no setting of this schedule"):
        Run(config, LR)


@pytest.mark.parametrize(
    "choice", [path.stem for path in sorted((CONFIGS / "scheduler").glob("*.yaml"))]
)
def test_a_share_of_the_rate_is_kept_all_along(choice: str) -> None:
    """As that of an encoder, which learns slower than the head."""
    config = numbers(CONFIGS / "scheduler" / f"{choice}.yaml")
    for whole, _, share, _ in Run(config, LR).rates(8):
        assert share == pytest.approx(whole / 2, rel=1e-5)


def test_more_updates_than_planned_are_no_error() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    name = "torch.optim.lr_scheduler.OneCycleLR"
    config = {"_target_": name, "max_lr": LR, "total_steps": "num_steps"}
    schedule = Schedule(config, optimizer, num_updates=5, num_epochs=1)
    for _ in range(9):
        optimizer.step()
        schedule.after_update()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(LR / 25 / 1e4)


def test_plateau_goes_by_validations_and_epochs_by_epochs() -> None:
    plateau = {
        "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "factor": 0.5,
        "patience": 1,
    }
    step = {
        "_target_": "torch.optim.lr_scheduler.MultiStepLR",
        "per": "epoch",
        "milestones": [2, 3],
    }
    for config, expected in (
        (plateau, [LR, LR, LR, LR / 2, LR / 2, LR / 4]),
        (step, [LR, LR / 10, LR / 100, LR / 100, LR / 100, LR / 100]),
    ):
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
        schedule = Schedule(config, optimizer, num_updates=60, num_epochs=6)
        found = []
        for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0):
            for _ in range(10):
                optimizer.step()
                schedule.after_update()
            schedule.after_epoch(loss)
            found.append(optimizer.param_groups[0]["lr"])
        assert found == pytest.approx(expected)


def test_a_schedule_by_epochs_ends_with_the_run() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    target = "torch.optim.lr_scheduler.CosineAnnealingLR"
    config = {"_target_": target, "per": "epoch", "T_max": "num_steps"}
    schedule = Schedule(config, optimizer, num_updates=400, num_epochs=4)
    found = []
    for _ in range(4):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.after_epoch(1.0)
    expected = [LR / 2 * (1 + math.cos(math.pi * t / 4)) for t in range(4)]
    assert found == pytest.approx(expected)


def numbers(path: Path) -> dict[str, Any]:
    """A YAML file as hydra gives it: ``1.0e-4`` a number, and references filled in."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {key: LR if "${" in str(value) else value for key, value in config.items()}


class Run:
    """What of a run moves its learning rates: a layer at the whole rate, one at a share of it."""

    def __init__(
        self, scheduler: dict[str, Any], lr: float, num_epochs: int = 8, encoder_lr: float = 0.5
    ) -> None:
        layers = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
        sgd = {"_target_": "torch.optim.SGD", "lr": lr}
        self.optimizer = build_optimizer(sgd, layers, {"1.": encoder_lr})
        config = {key: lr if key == "max_lr" else value for key, value in scheduler.items()}
        self.schedule = Schedule(
            config, self.optimizer, num_updates=5 * num_epochs, num_epochs=num_epochs
        )

    def rates(self, num_epochs: int) -> list[tuple[float, ...]]:
        """The rates of each update."""
        found = []
        for _ in range(num_epochs):
            for _ in range(5):
                found.append(tuple(group["lr"] for group in self.optimizer.param_groups))
                self.optimizer.step()
                self.schedule.after_update()
            self.schedule.after_epoch(1.0)  # never better: a plateau's factor is due in each epoch
        return found

    def saved(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return deepcopy((self.optimizer.state_dict(), self.schedule.state_dict()))

    def load(self, saved: tuple[dict[str, Any], dict[str, Any]]) -> "Run":
        self.optimizer.load_state_dict(deepcopy(saved[0]))
        self.schedule.load_state_dict(deepcopy(saved[1]))
        return self


@pytest.mark.parametrize("num_epochs", [8, 12])
@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "scheduler").glob("*.yaml")), ids=lambda p: p.stem
)
def test_a_run_that_goes_on_at_another_rate_follows_its_plan_at_that_rate(
    path: Path, num_epochs: int
) -> None:
    scheduler = numbers(path)
    if path.stem == "plateau":  # its warmup is of the run as it was first planned
        scheduler |= {"patience": 1, "warmup_steps": 3}
    stopped = Run(scheduler, LR)
    before = stopped.rates(3)
    expected = Run(scheduler, LR / 10, num_epochs).rates(num_epochs)
    if path.stem == "plateau":  # it has no plan, and keeps what it has learned of the run
        assert expected[:15] == [pytest.approx([one / 10 for one in rates]) for rates in before]
    resumed = Run(scheduler, LR / 10, num_epochs).load(stopped.saved())
    assert resumed.rates(2) == [pytest.approx(rate) for rate in expected[15:25]]
    # It goes on from there once more, and the rate is not lowered twice.
    again = Run(scheduler, LR / 10, num_epochs).load(resumed.saved())
    assert again.rates(3) == [pytest.approx(rate) for rate in expected[25:40]]


def test_what_is_held_at_rate_0_does_not_keep_the_rest_from_another_rate() -> None:
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}
    stopped = Run(plateau, LR, encoder_lr=0.0)
    stopped.rates(1)
    resumed = Run(plateau, LR / 10, encoder_lr=0.0).load(stopped.saved())
    assert resumed.rates(1)[0] == pytest.approx((LR / 10, LR / 10, 0.0, 0.0))


def test_a_run_that_goes_on_as_it_was_has_the_very_same_rates() -> None:
    for path in sorted((CONFIGS / "scheduler").glob("*.yaml")):
        whole = Run(numbers(path), LR)
        rates = whole.rates(8)
        stopped = Run(numbers(path), LR)
        before = stopped.rates(5)
        resumed = Run(numbers(path), LR).load(stopped.saved())
        assert before + resumed.rates(3) == rates
        assert resumed.saved()[1] == whole.saved()[1]
