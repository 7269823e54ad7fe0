from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig
from aam.errors import UserError
from aam.monitoring.families import FAMILIES
from aam.monitoring.orchestrator import listeners
from aam.monitoring.plan import FAMILY_NAMES, TABLE, plan
from aam.monitoring.worker import logging_of

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = ["losses-on_epoch_end.png", "unifrac_test.png"]
STANDARD = [
    "losses-on_epoch_end.png",
    "metrics-on_epoch_end.png",
    "training_curves.png",
    "unifrac_best.png",
    "unifrac_test.png",
]
FILES = {
    "none": [],
    "plots_minimal": MINIMAL,
    "plots_standard": STANDARD,
    "plots_full": sorted(
        [*STANDARD, "losses-on_validation_improved.png", "metrics-on_validation_improved.png"]
    ),
}


@pytest.mark.parametrize("name", FILES)
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
    assert sorted(drawing.file for drawing in plan(config)) == FILES[name]


def test_there_are_no_other_logging_configs() -> None:
    assert {path.stem for path in (CONFIGS / "logging").iterdir()} == set(FILES)


def test_the_table_has_one_row_a_file_and_a_family_for_each() -> None:
    assert len({stem for *_, stem in TABLE}) == len(TABLE)
    assert set(FAMILY_NAMES) == set(FAMILIES)


def test_a_family_is_switched_by_its_own_config() -> None:
    families = {
        "losses": FamilyConfig(enabled=False),
        "unifrac": FamilyConfig(dpi=50, format="svg"),
    }
    drawings = {drawing.file: drawing for drawing in plan(LoggingConfig(families=families))}
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
