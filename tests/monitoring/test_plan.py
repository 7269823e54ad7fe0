from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig
from aam.errors import UserError
from aam.monitoring.families import FAMILIES
from aam.monitoring.orchestrator import listeners
from aam.monitoring.plan import FAMILY_NAMES, KINDS, TABLE, UNSUPERVISED, kind_of, plan
from aam.monitoring.worker import logging_of

Event = dict[str, Any]
HISTORY: Event = {"train_loss": [], "val_loss": [], "lr": []}
CONFIGS = Path(__file__).parents[2] / "configs"
EPOCHS = {"losses-on_epoch_end", "metrics-on_epoch_end", "training_curves"}
BEST = {"losses-on_validation_improved", "metrics-on_validation_improved"}
# Kind of run → figures of the groups minimal, standard and full.
OF_KIND = {
    "unsupervised": ({"unifrac_test"}, {"unifrac_best", "unifrac_test"}, set()),
    "regression": (
        {"pred_vs_actual_test"},
        {"pred_vs_actual_best", "pred_vs_actual_test", "residuals_test"},
        {"residuals_best"},
    ),
    "classification": (
        {"confusion_matrix_test"},
        {"confusion_matrix_best", "confusion_matrix_test", "roc_pr_best", "roc_pr_test"},
        set(),
    ),
}
FILES = {
    kind: {
        "none": set(),
        "plots_minimal": {"losses-on_epoch_end", *minimal},
        "plots_standard": EPOCHS | standard,
        "plots_full": EPOCHS | BEST | standard | full,
    }
    for kind, (minimal, standard, full) in OF_KIND.items()
}
CONFIG_NAMES = tuple(FILES["regression"])


@pytest.mark.parametrize("name", CONFIG_NAMES)
def test_every_logging_config_gives_its_figures(name: str) -> None:
    file = CONFIGS / "logging" / f"{name}.yaml"
    assert file.read_text().startswith(f"# aam-train logging={name} ")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        values = OmegaConf.to_container(compose(f"logging/{name}").logging)
    assert isinstance(values, dict)
    assert set(values) == {field.name for field in fields(LoggingConfig)}
    config = logging_of(values)  # type: ignore[arg-type]
    assert config.diagnostics == DiagnosticsConfig()
    assert set(config.families) == set(FAMILY_NAMES)
    for kind, files in FILES.items():
        drawings = plan(config, kind)
        assert {drawing.file for drawing in drawings} == {f"{stem}.png" for stem in files[name]}
    every = {stem for files in FILES.values() for stem in files[name]}
    assert {drawing.stem for drawing in plan(config)} == every


def test_there_are_no_other_logging_configs() -> None:
    assert {path.stem for path in (CONFIGS / "logging").iterdir()} == set(CONFIG_NAMES)


def test_the_table_has_one_row_a_file_and_a_family_for_each() -> None:
    assert len({stem for *_, stem in TABLE}) == len(TABLE)
    assert set(FAMILY_NAMES) == set(FAMILIES)
    assert set(KINDS) <= set(FAMILIES)


def test_the_kind_of_a_run_is_said_by_its_newest_start(make_event: Callable[..., Event]) -> None:
    start, epoch = make_event("on_start"), make_event("on_train_end", history=HISTORY)
    meta = start["meta"] | {"target": {"task": "classification"}}
    resumed = make_event("on_resume", epoch=1) | {"meta": meta}
    assert kind_of([]) == kind_of([start, epoch]) == UNSUPERVISED
    assert kind_of([start, epoch, resumed, epoch]) == "classification"


def test_a_family_is_switched_by_its_own_config() -> None:
    families = {
        "losses": FamilyConfig(enabled=False),
        "unifrac": FamilyConfig(dpi=50, format="svg"),
    }
    drawings = {
        drawing.file: drawing for drawing in plan(LoggingConfig(families=families), UNSUPERVISED)
    }
    assert set(drawings) == {
        "metrics-on_epoch_end.png",
        "training_curves.png",
        "unifrac_best.svg",
        "unifrac_test.svg",
    }
    assert drawings["unifrac_best.svg"].dpi == 50
    assert plan(LoggingConfig(make_plots=False)) == []


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean losses"):
        plan(LoggingConfig(families={"loses": FamilyConfig()}))


def test_listeners_follow_the_config(tmp_path: Path) -> None:
    def kinds(config: LoggingConfig, run_dir: Path | None = tmp_path) -> list[str]:
        made = listeners(config, run_dir)
        for listener in made:
            listener.close()
        return [type(listener).__name__ for listener in made]

    assert kinds(LoggingConfig()) == ["TensorBoard", "Figures", "Console"]
    assert kinds(LoggingConfig(tensorboard=False)) == ["Figures", "Console"]
    assert kinds(LoggingConfig(make_plots=False, console=False)) == ["TensorBoard"]
    assert kinds(LoggingConfig(save_artifacts=False)) == ["Console"]
    assert kinds(LoggingConfig(), None) == ["Console"]
    assert list(tmp_path.iterdir()) == []
