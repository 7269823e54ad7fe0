"""What ``_target_`` may name, and what is said of wrong names, settings and values."""

from typing import Any

import pytest
import torch
from torch import nn

from aam.errors import UserError
from aam.training.optimizers import build_optimizer
from aam.training.scheduling import Schedule
from aam.training.targets import resolve

LR = 0.5


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"_target_": "torch.optim.AdamW", "learning_rate": 1}, r"did you mean optimizer\.lr\?"),
        ({"_target_": "torch.optim.SGD", "momentun": 1}, r"did you mean optimizer\.momentum\?"),
        ({"_target_": "torch.optim.SGD", "xyz": 1}, r"optimizer\.xyz is no setting .*it takes lr"),
        ({"_target_": "torch.optim.Adamm"}, r"torch\.optim\.Adamm does not exist"),
        ({"_target_": "torch.optim.none.Adam"}, r"torch\.optim\.none\.Adam does not exist"),
        (
            {"_target_": "os.system", "command": "true"},
            r"must name something in torch\.optim, pytorch_optimizer or aam",
        ),
        (
            {"_target_": "torch.optimus.Prime"},
            r"must name something in torch\.optim, pytorch_optimizer or aam",
        ),
        (
            {"_target_": "aamazing.Thing"},
            r"must name something in torch\.optim, pytorch_optimizer or aam",
        ),
        (
            {"_target_": "builtins.eval"},
            r"must name something in torch\.optim, pytorch_optimizer or aam",
        ),
        ({"_target_": "torch.optim.lr_scheduler"}, "is neither a class nor a function"),
        ({"lr": 1}, r"must name something in torch\.optim, pytorch_optimizer or aam"),
    ],
)
def test_a_wrong_target_or_setting_is_named(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        resolve("optimizer", config)


def test_a_setting_that_the_target_refuses_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"optimizer cannot be made with lr=-1: Invalid learning"):
        build_optimizer({"_target_": "torch.optim.AdamW", "lr": -1}, nn.Linear(1, 1))
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
            build_optimizer(adam | change, nn.Linear(1, 1))
