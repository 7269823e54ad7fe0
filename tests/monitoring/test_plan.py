import re
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aam.composing.compose import VERSION_BASE, as_config, register
from aam.composing.explain import explain
from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig, TagsConfig
from aam.errors import UserError
from aam.monitoring.families import FAMILIES
from aam.monitoring.families.base import UNSUPERVISED
from aam.monitoring.orchestrator import listeners
from aam.monitoring.plan import FAMILY_NAMES, TABLE, kind_of, look_up, only, plan
from aam.monitoring.settings import in_look, logging_of, logging_of_run

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
FILES["lr_find"] = {name: {"lr_find"} for name in CONFIG_NAMES} | {"none": set()}


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


def test_the_table_has_a_row_for_each_moment_of_each_family() -> None:
    answered = {(name, moment) for name, family in FAMILIES.items() for moment in family.moments}
    assert {(row.family, row.moment) for row in TABLE} == answered
    assert len(TABLE) == len(answered)
    stems = [stem for family in FAMILIES.values() for stem in family.moments.values()]
    assert len(set(stems)) == len(stems)
    assert all(name == family.name for name, family in FAMILIES.items())


def test_the_tags_of_the_table_are_those_that_can_be_switched() -> None:
    assert {tag for row in TABLE for tag in row.tags} == {
        field.name for field in fields(TagsConfig)
    }
    for row in TABLE:  # what the names say
        assert ("best" in row.tags) == (row.moment == "on_validation_improved")
        assert ("test" in row.tags) == (row.moment == "on_test_end")


def test_the_page_has_the_table() -> None:
    page = (CONFIGS.parent / "docs" / "figures.md").read_text("utf-8")
    rows = re.findall(r"^\| (?:`(\w*)`)? ?\|.*\| `([\w-]+)`.* \| (\w+) \| (.*) \|$", page, re.M)
    told, family = set(), ""
    for name, stem, group, tags in rows:
        family = name or family
        told.add((family, stem, group, tuple(re.findall(r"`(\w+)`", tags))))
    assert told == {
        (row.family, FAMILIES[row.family].moments[row.moment], row.group, row.tags) for row in TABLE
    }


def test_the_kind_of_a_run_is_said_by_its_newest_start(make_event: Callable[..., Event]) -> None:
    start, epoch = make_event("on_start"), make_event("on_train_end", history=HISTORY)
    meta = start["meta"] | {"target": {"task": "classification"}}
    resumed = make_event("on_resume", epoch=1) | {"meta": meta}
    assert kind_of([]) == kind_of([start, epoch]) == UNSUPERVISED
    assert kind_of([start, epoch, resumed, epoch]) == "classification"
    assert kind_of([start | {"loop": "lr_find"}, epoch]) == "lr_find"


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


@pytest.mark.parametrize(
    ("tag", "left"),
    [
        ("curves", {"pred_vs_actual_best", "pred_vs_actual_test", "residuals_test"}),
        ("predictions", EPOCHS),
        ("best", EPOCHS | {"pred_vs_actual_test", "residuals_test"}),
        ("test", EPOCHS | {"pred_vs_actual_best"}),
    ],
)
def test_a_tag_switches_its_figures_off(tag: str, left: set[str]) -> None:
    config = LoggingConfig(tags=TagsConfig(**{tag: False}))
    assert {drawing.stem for drawing in plan(config, "regression")} == left


def test_what_is_left_out_is_told_with_the_setting() -> None:
    config = LoggingConfig(
        make_plots=False,  # says nothing of a single figure
        tags=TagsConfig(test=False),
        families={"metrics": FamilyConfig(enabled=False)},
    )
    drawings, left_out = look_up(config, "regression")
    assert [drawing.stem for drawing in drawings] == [
        "losses-on_epoch_end",
        "training_curves",
        "pred_vs_actual_best",
    ]
    assert {drawing.stem: setting for drawing, setting in left_out.items()} == {
        "losses-on_validation_improved": "logging.plots=standard",
        "metrics-on_epoch_end": "logging.families.metrics.enabled=false",
        "metrics-on_validation_improved": "logging.families.metrics.enabled=false",
        "pred_vs_actual_test": "logging.tags.test=false",
        "residuals_best": "logging.plots=standard",
        "residuals_test": "logging.tags.test=false",
    }
    all_of_two = look_up(only(["metrics", "residuals"], config)).drawings
    assert {drawing.stem for drawing in all_of_two} == {
        *(f"metrics-{moment}" for moment in ("on_epoch_end", "on_validation_improved")),
        "residuals_best",
        "residuals_test",
    }


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("logging.families.loses.enabled=false", "did you mean logging.families.losses?"),
        ("+logging.families.loses.enabled=false", "did you mean logging.families.losses?"),
        ("logging.tags.prediction=false", "did you mean logging.tags.predictions?"),
        ("+logging.tags.prediction=false", "did you mean logging.tags.predictions?"),
        ("logging.families.losses.format=svgz", "did you mean svg?"),
        ("logging.families.losses.dpi=9", r"must lie in \[10, 600\]"),
        ("logging.families.losses=false", r"as in logging\.families\.losses\.enabled=…$"),
        ("logging.families=none", r"as in logging\.families\.losses\.enabled=…$"),
        ("logging.tags=false", r"as in logging\.tags\.curves=…$"),
        ("logging=plots_ful", "did you mean logging=plots_full?"),
    ],
)
def test_a_mistyped_setting_names_the_nearest(setting: str, said: str) -> None:
    register()
    with (
        initialize_config_dir(str(CONFIGS), version_base=VERSION_BASE),
        pytest.raises((UserError, HydraException, OmegaConfBaseException)) as raised,
    ):
        plan(as_config(compose("config", overrides=[setting])).logging)
    error = raised.value
    text = str(error) if isinstance(error, UserError) else explain(error, [setting])
    assert re.search(said, text)
    assert "\n" not in text


def test_the_config_of_a_run_is_that_of_its_last_resume(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    saved = LoggingConfig(plots="full", diagnostics=DiagnosticsConfig(gap=0.1))
    values = {"logging": asdict(saved) | {"of_a_later_version": 1}, "data": {}}
    del values["logging"]["tags"]  # of an earlier one
    (tmp_path / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(values)))
    assert logging_of_run(tmp_path) == saved
    for number, changes in enumerate(
        (["trainer.epochs=9", "logging.diagnostics.gap=1e-2"], ["logging.families.losses.dpi=60"]),
        1,
    ):
        text = OmegaConf.to_yaml(OmegaConf.create(changes))
        (tmp_path / ".hydra" / f"resume-{number}.yaml").write_text(text)
    assert logging_of_run(tmp_path) == LoggingConfig(
        plots="full",
        diagnostics=DiagnosticsConfig(gap=0.01),
        families={"losses": FamilyConfig(dpi=60)},
    )
    (tmp_path / ".hydra" / "config.yaml").write_text("logging: [torn")
    with pytest.raises(UserError, match="cannot be read"):
        logging_of_run(tmp_path)
    (tmp_path / ".hydra" / "config.yaml").write_text("logging: {tags: all}")
    with pytest.raises(UserError, match="cannot be read"):
        logging_of_run(tmp_path)


def test_a_run_without_a_config_has_defaults(tmp_path: Path) -> None:
    assert logging_of_run(tmp_path) == LoggingConfig()


def test_another_look_keeps_the_switches() -> None:
    config = LoggingConfig(families={"losses": FamilyConfig(enabled=False, dpi=50)})
    changed = in_look(config, format="pdf").families
    assert set(changed) == set(FAMILY_NAMES)
    assert changed["losses"] == FamilyConfig(enabled=False, dpi=50, format="pdf")
    assert changed["metrics"] == FamilyConfig(format="pdf")


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
