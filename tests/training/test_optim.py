"""Optimizers and schedules from their config groups, against the formulas."""

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from aam.errors import UserError
from aam.models.encoder import Encoder
from aam.models.pretrain import PretrainModel
from aam.training.optim import Schedule, build_optimizer, parameter_groups, resolve

CONFIGS = Path(__file__).parents[2] / "configs"
LR = 0.5


def make_model() -> PretrainModel:
    shape = {"dim": 8, "num_heads": 2, "nucleotide_layers": 1, "sample_layers": 1, "patch_size": 3}
    other = {"max_length": 9, "num_clades": 5, "sample_dropout": 0.0, "asv_chunk_size": 9}
    last = {"activation_checkpointing": "none", "unifrac": "unweighted", "unifrac_alpha": 1.0}
    return PretrainModel(Encoder(**shape, **other, **last), dim=8)


def test_only_matrices_of_linear_layers_decay() -> None:
    model = make_model()
    model.encoder.nucleotides.start.requires_grad_(False)
    groups = parameter_groups(model, 0.01)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, kept = ([names[id(p)] for p in group["params"]] for group in groups)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert len(decayed) + len(kept) == len({*decayed, *kept}) == len(names) - 1
    exempt = ("bias", "norm", "embedding", "position", "log_scale", "hidden_abundance")
    assert not [name for name in decayed if any(word in name for word in exempt)]
    assert all(any(word in name for word in exempt) or ".0." in name for name in kept)
    assert {
        "encoder.nucleotides.blocks.0.attention.qkv.weight",
        "encoder.samples.blocks.0.feedforward.0.weight",
        "encoder.unifrac.propensity.weight",
    } <= set(decayed)


def test_weight_decay_moves_matrices_only() -> None:
    model = make_model()
    config = {"_target_": "torch.optim.AdamW", "lr": 0.1, "weight_decay": 0.5}
    optimizer = build_optimizer(config, model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    after = dict(model.named_parameters())
    weight, norm = "base_head.1.weight", "base_head.0.weight"
    torch.testing.assert_close(after[weight].detach(), before[weight] * 0.95)
    assert torch.equal(after[norm], before[norm])


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


@pytest.mark.parametrize(("warmup", "cap"), [(1000, 4), (3, 3), (0, 0)])
def test_warmup_cosine(warmup: int, cap: int) -> None:
    config = {
        "_target_": "aam.training.schedules.warmup_cosine",
        "num_steps": "num_steps",
        "warmup_steps": warmup,
        "min_ratio": 0.1,
    }
    cosine = [0.5 * (1 + math.cos(math.pi * t / (40 - cap))) for t in range(40 - cap)]
    expected = [LR * (t + 1) / (cap + 1) for t in range(cap)]
    expected += [LR * (0.1 + 0.9 * height) for height in cosine]
    assert rates(config) == pytest.approx(expected)


def test_constant_and_cosine_and_onecycle() -> None:
    constant = {"_target_": "aam.training.schedules.constant", "warmup_steps": 4}
    assert rates(constant) == pytest.approx([0.1, 0.2, 0.3, 0.4, *[LR] * 36])
    assert rates({**constant, "warmup_steps": 0}) == [LR] * 40

    optim = "torch.optim.lr_scheduler"
    cosine = {"_target_": f"{optim}.CosineAnnealingLR", "T_max": "num_steps", "eta_min": 0.0}
    expected = [LR / 2 * (1 + math.cos(math.pi * t / 40)) for t in range(40)]
    assert rates(cosine) == pytest.approx(expected)

    onecycle = {"_target_": f"{optim}.OneCycleLR", "max_lr": LR, "total_steps": "num_steps"}
    found = rates(onecycle)
    assert max(found) == pytest.approx(LR)
    assert found[0] == pytest.approx(LR / 25)
    assert found[-1] == pytest.approx(LR / 25 / 1e4)  # the last update has the last rate


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


def test_every_choice_that_is_shipped_can_be_made() -> None:
    model = make_model()
    made = 0
    for path in sorted((CONFIGS / "optimizer").glob("*.yaml")):
        optimizer = build_optimizer(numbers(path), model)
        for other in sorted((CONFIGS / "scheduler").glob("*.yaml")):
            Schedule(numbers(other), optimizer, num_updates=100, num_epochs=10)
            made += 1
    assert made >= 15


def numbers(path: Path) -> dict[str, Any]:
    """A YAML file as hydra gives it: ``1.0e-4`` a number, and references filled in."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {key: LR if "${" in str(value) else value for key, value in config.items()}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"_target_": "torch.optim.AdamW", "learning_rate": 1}, r"did you mean optimizer\.lr\?"),
        ({"_target_": "torch.optim.SGD", "momentun": 1}, r"did you mean optimizer\.momentum\?"),
        ({"_target_": "torch.optim.SGD", "xyz": 1}, r"optimizer\.xyz is no setting .*it takes lr"),
        ({"_target_": "torch.optim.Adamm"}, r"torch\.optim\.Adamm does not exist"),
        ({"_target_": "torch.optim.none.Adam"}, r"torch\.optim\.none\.Adam does not exist"),
        ({"_target_": "os.system", "command": "true"}, "must name something in torch.optim or aam"),
        ({"_target_": "torch.optimus.Prime"}, "must name something in torch.optim or aam"),
        ({"_target_": "aamazing.Thing"}, "must name something in torch.optim or aam"),
        ({"_target_": "builtins.eval"}, "must name something in torch.optim or aam"),
        ({"_target_": "torch.optim.lr_scheduler"}, "is neither a class nor a function"),
        ({"lr": 1}, "must name something in torch.optim or aam"),
    ],
)
def test_a_wrong_target_or_setting_is_named(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        resolve("optimizer", config)


def test_a_setting_that_the_target_refuses_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"optimizer cannot be made with lr=-1: Invalid learning"):
        build_optimizer({"_target_": "torch.optim.AdamW", "lr": -1}, make_model())
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    name = "torch.optim.lr_scheduler.StepLR"
    with pytest.raises(UserError, match=r"scheduler cannot be made with .*'step_size'"):
        Schedule({"_target_": name}, optimizer, num_updates=1, num_epochs=1)
    for change, sentence in (
        ({"per": "batch"}, r"scheduler\.per=batch is not one of update, epoch"),
        ({"warmup_steps": "few"}, r"scheduler\.warmup_steps=few must be a number of at least 0"),
        ({"min_ratio": -1}, r"scheduler cannot be made with .* min_ratio must lie in \[0, 1\]"),
    ):
        cosine = {
            "_target_": "aam.training.schedules.warmup_cosine",
            "num_steps": "num_steps",
            "warmup_steps": 3,
            "min_ratio": 0,
        }
        with pytest.raises(UserError, match=sentence):
            Schedule(cosine | change, optimizer, num_updates=1, num_epochs=1)
    adam = {"_target_": "torch.optim.AdamW", "lr": 1e-3}
    for change, sentence in (
        ({"weight_decay": "abc"}, r"optimizer\.weight_decay=abc must be a number"),
        ({"betas": [0.9]}, r"optimizer cannot be made with .*betas=\[0\.9\]"),
    ):
        with pytest.raises(UserError, match=sentence):
            build_optimizer(adam | change, make_model())


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
    scheduler = numbers(path) | ({"patience": 1} if path.stem == "plateau" else {})
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
