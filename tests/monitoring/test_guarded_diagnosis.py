"""A diagnosis that fails costs the training its findings, and nothing else."""

import pytest

from aam.config import DiagnosticsConfig
from aam.monitoring.diagnostics import Diagnosis, GuardedDiagnosis

FACT = {"epoch": 0, "train_loss": 1.0, "val_loss": float("nan")}


def test_judges_as_any_diagnosis_does():
    guarded, plain = (kind(DiagnosticsConfig()) for kind in (GuardedDiagnosis, Diagnosis))
    assert guarded.after(FACT) == plain.after(FACT) != []
    assert guarded.at_end("epochs") == plain.at_end("epochs") != []
    assert guarded.nonfinite(1, "loss is nan") == plain.nonfinite(1, "loss is nan") != []


@pytest.mark.parametrize(
    "ask",
    [
        lambda diagnosis: diagnosis.after({}),
        lambda diagnosis: diagnosis.take_up([{}]),
        lambda diagnosis: diagnosis.at_end("no reason there is"),
        lambda diagnosis: diagnosis.nonfinite(None, ""),
    ],
)
def test_one_that_fails_says_so_once_and_finds_nothing_more(caplog, ask):
    diagnosis = GuardedDiagnosis(DiagnosticsConfig())
    assert not ask(diagnosis)
    assert not ask(diagnosis)
    assert diagnosis.after(FACT) == []
    (said,) = caplog.messages
    assert said.endswith("; the training goes on without them")
