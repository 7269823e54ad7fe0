"""Optimizers from their config group: which weights they move, decay, keep and go on with."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from aam.errors import UserError
from aam.models.encoder import Encoder
from aam.models.layers import Block
from aam.models.pretrain import PretrainModel
from aam.training.optimizers import build_optimizer, parameter_groups, set_mode
from aam.training.scheduling import Schedule

CONFIGS = Path(__file__).parents[2] / "configs"
OPTIMIZERS = sorted(path.stem for path in (CONFIGS / "optimizer").glob("*.yaml"))
SCHEDULERS = sorted(path.stem for path in (CONFIGS / "scheduler").glob("*.yaml"))


def chosen(group: str, choice: str, **changes: Any) -> dict[str, Any]:
    text = (CONFIGS / group / f"{choice}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)) | changes


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


@pytest.mark.parametrize("choice", OPTIMIZERS)
def test_weight_decay_shrinks_matrices_and_leaves_all_else_untouched(choice: str) -> None:
    """By the formula of each optimizer, after an update whose gradients are zero."""
    model, lr, decay = make_model(), 1e-3, 0.5
    optimizer = build_optimizer(chosen("optimizer", choice, lr=lr, weight_decay=decay), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    decayed = {id(p) for group in parameter_groups(model, 1.0)[:1] for p in group["params"]}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        was = before[name]
        expected = was
        if id(parameter) in decayed:
            shrunk = was * (1 - lr * decay)
            nesterov = was * (1 - 1.9 * lr * decay)  # momentum 0.9, both of the gradient
            expected = {"adam": was - lr * was.sign(), "sgd": nesterov}.get(choice, shrunk)
            torch.testing.assert_close(parameter.detach(), expected, msg=name)
            assert parameter.norm() < was.norm() or not was.any()  # a head that begins at zero
        else:
            assert torch.equal(parameter, expected), name


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), Block(4, 2), nn.Linear(4, 1))


class Run:
    """Updates of a tiny model, two an epoch, by an optimizer and a schedule."""

    def __init__(self, optimizer: dict[str, Any], scheduler: dict[str, Any]) -> None:
        self.model = tiny()
        self.optimizer = build_optimizer(optimizer, self.model)
        self.schedule = Schedule(scheduler, self.optimizer, num_updates=24, num_epochs=12)
        self.epoch = 0

    def epochs(self, number: int) -> "Run":
        for epoch in range(self.epoch, self.epoch + number):
            set_mode(self.optimizer, training=True)
            for step in range(2):
                generator = torch.Generator().manual_seed(10 * epoch + step)
                x = torch.randn(5, 7, 3, generator=generator)
                (self.model(x) - x.sum(-1, keepdim=True)).square().mean().backward()
                self.optimizer.step()
                self.optimizer.zero_grad()
                self.schedule.after_update()
            set_mode(self.optimizer, training=False)
            self.schedule.after_epoch(1.0)
        self.epoch += number
        return self

    def saved(self) -> io.BytesIO:
        parts = (self.model, self.optimizer, self.schedule)
        file = io.BytesIO()
        torch.save([part.state_dict() for part in parts], file)
        file.seek(0)
        return file

    def load(self, file: io.BytesIO, epoch: int) -> "Run":
        states = torch.load(file, weights_only=True)
        for part, state in zip((self.model, self.optimizer, self.schedule), states, strict=True):
            part.load_state_dict(state)
        self.epoch = epoch
        return self


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_bit_for_bit_by_every_schedule(optimizer: str) -> None:
    made = 0
    for scheduler in SCHEDULERS if optimizer != "schedule_free" else ["constant"]:
        # A plateau's rate falls within the run.
        sooner = {"patience": 1} if scheduler == "plateau" else {}
        configs = chosen("optimizer", optimizer), chosen("scheduler", scheduler, **sooner)
        whole = Run(*configs).epochs(12)
        half = Run(*configs).epochs(6)
        assert not torch.equal(half.model[0].weight, whole.model[0].weight)
        resumed = Run(*configs).load(half.saved(), 6).epochs(6)
        for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
            assert torch.equal(one, other), scheduler
        assert resumed.schedule.state_dict() == whole.schedule.state_dict()
        made += 1
    assert made >= (1 if optimizer == "schedule_free" else 8)


def test_fused_kernels_where_they_are_and_nobody_said_otherwise() -> None:
    for choice in OPTIMIZERS:
        config = chosen("optimizer", choice)
        has_them = choice in ("adam", "adamw", "muon")
        assert_fused(build_optimizer(config, tiny()), True if has_them else None)
        if has_them:
            assert_fused(build_optimizer(config | {"fused": False}, tiny()), False)
            with torch.device("meta"):  # one that has none
                elsewhere = tiny()
            assert_fused(build_optimizer(config, elsewhere), None)


def assert_fused(optimizer: torch.optim.Optimizer, expected: bool | None) -> None:
    found = {group["fused"] for group in optimizer.param_groups if "fused" in group}
    assert found == {expected} or (expected is None and not found)


def test_muon_moves_the_matrices_of_transformer_layers_and_adamw_the_rest() -> None:
    """As torch's two optimizers do, each on its own."""
    models = make_model(), make_model()
    models[1].load_state_dict(models[0].state_dict())
    both = build_optimizer(chosen("optimizer", "muon"), models[0], {"encoder.samples": 0.1})
    hidden, rest = {1.0: [], 0.1: []}, {1.0: [], 0.1: []}  # type: ignore[var-annotated]
    for name, parameter in models[1].named_parameters():
        rate = 0.1 if name.startswith("encoder.samples") else 1.0
        is_hidden = "blocks." in name and parameter.ndim == 2
        (hidden if is_hidden else rest)[rate].append((name, parameter))
    assert {name.split("blocks.0.")[1] for name, _ in hidden[1.0] + hidden[0.1]} == {
        "attention.qkv.weight",
        "attention.out.weight",
        "feedforward.0.weight",
        "feedforward.2.weight",
    }
    assert len(hidden[1.0]) == len(hidden[0.1]) == 4
    muon = torch.optim.Muon(
        [{"params": [p for _, p in some], "lr": 3e-3 * rate} for rate, some in hidden.items()],
        weight_decay=0.01,
        adjust_lr_fn="match_rms_adamw",
    )
    decayed = {id(p) for group in parameter_groups(models[1], 1.0)[:1] for p in group["params"]}
    adamw = torch.optim.AdamW(
        [
            {"params": [p], "lr": 3e-3 * rate, "weight_decay": 0.01 * (id(p) in decayed)}
            for rate, some in rest.items()
            for _, p in some
        ],
        fused=True,
    )
    for step in range(3):
        torch.manual_seed(step)
        for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in (both, muon, adamw):
            optimizer.step()
    for (name, one), other in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        assert torch.equal(one, other), name
    assert both.param_groups[0]["lr"] == 3e-3  # the whole rate is what facts tell


def test_muon_takes_groups_of_equally_many_weights() -> None:
    """Four matrices of a layer beside four others: which is which is not told by their number."""
    model = nn.Sequential(nn.Linear(3, 4), Block(4, 2), *(nn.Linear(4, 4) for _ in range(3)))
    groups = build_optimizer(chosen("optimizer", "muon"), model).param_groups
    assert [len(group["params"]) for group in groups] == [4, 4, 12]


def test_schedule_free_is_judged_by_the_mean_of_its_updates() -> None:
    model = tiny()
    optimizer = build_optimizer(chosen("optimizer", "schedule_free", lr=0.1), model)
    weight, steps = model[0].weight, []
    for seed in range(6):
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        steps.append(optimizer.state[weight]["z"].clone())
    trained = weight.detach().clone()
    set_mode(optimizer, training=False)
    torch.testing.assert_close(weight.detach(), torch.stack(steps).mean(0))
    assert not torch.allclose(weight, trained)
    set_mode(optimizer, training=True)
    torch.testing.assert_close(weight.detach(), trained)


def test_what_is_no_optimizer_is_refused() -> None:
    config = {"_target_": "torch.optim.lr_scheduler.ConstantLR"}
    with pytest.raises(UserError, match="optimizer cannot be made with : list is not an Optimizer"):
        build_optimizer(config, tiny())
    with pytest.raises(
        UserError, match=r"_target_=aam\.training\.epoch\.EpochSoFar is no optimizer"
    ):
        build_optimizer({"_target_": "aam.training.epoch.EpochSoFar"}, tiny())
