"""The docs keep up with the program, and imports go down only."""

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aam import loops
from aam.cli import facts, monitor, predict
from aam.composing.compose import VERSION_BASE, as_config, register
from aam.composing.config_files import config_dir
from aam.composing.keys import known_keys
from aam.config import Config, DiagnosticsConfig, LoggingConfig, TrainerConfig
from aam.facts.reader import read_events
from aam.loops.run import Run
from aam.submit.planning import plan

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The log of experiments tells what was, and may name keys that are gone.
CURRENT = [page for page in PAGES if page.name != "log.md"]
FLOORS = {
    "errors": 0,
    "config": 1,
    "inputs": 1,
    "hdf5": 1,
    "qza": 1,
    "composing": 2,
    "facts": 2,
    "phylogeny": 2,
    "baselines": 3,
    "data": 3,
    "losses": 3,
    "models": 3,
    "monitoring": 4,
    "prediction": 4,
    "training": 4,
    "loops": 5,
    "search": 5,
    "submit": 5,
    "cli": 6,
}
# A key in code, and its default in brackets or in the next cell of a table.
DEFAULT = re.compile(r"`([\w.]+)`(?:\*\*)?(?: \(| \| )([\w.]+)(?:\)| \|)")
_SAID_OTHERWISE = {"null": ("none",), "[]": ("none",), "0.0": ("0",)}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_config_key_is_documented():
    named = {name for page in CURRENT for name in _code_words(page)}
    # A choice of a group (model=tiny) sets its name.
    keys = [key.name for key in known_keys() if not key.name.endswith(".name")]
    # The docs put the name of a family where the list of keys has NAME.
    named |= {re.sub(r"^logging\.families\.\w+", "logging.families.NAME", name) for name in named}
    missing = [key for key in keys if key not in named]
    assert not missing, f"in no page of README.md and docs/: {', '.join(missing)}"


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: page.name)
def test_defaults_are_those_of_the_program(page):
    """Where a page has `data.batch_size` (64) or a row | `split.seed` | 0 |.

    Below a lead such as **`loop.`** the key of a row has it put before.
    """
    defaults = _defaults()
    for lead, line in _lines(page.read_text("utf-8")):
        for named, default in DEFAULT.findall(line):
            for name in {named, lead + named} & defaults.keys():
                assert default in defaults[name], f"{page.name}: {name}"


def test_every_config_file_is_documented():
    named = {name for page in CURRENT for name in _code_words(page)}
    files = sorted(config_dir().glob("*/*.yaml"))
    choices = [f"{path.parent.name}={path.stem}" for path in files]
    missing = [choice for choice in choices if choice not in named]
    assert choices
    assert not missing, f"in no page of README.md and docs/: {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor in _anchors(linked), f"{page.name} links to {target}: no such heading"


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: page.name)
def test_commands_compose(page, one_job):
    from hydra import compose, initialize_config_dir

    register()
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=str(config_dir())):
        for command in _commands(page):
            # A resumed run composes nothing.
            words = [word for word in command if not word.startswith("resume=")]
            as_config(compose("config", overrides=one_job(words)))


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: page.name)
def test_commands_of_the_other_programs_have_arguments_that_these_know(page):
    for command in _commands(page, "aam-predict"):
        keys = {word.partition("=")[0] for word in command if not word.startswith("-")}
        assert keys <= {*predict.READ, *predict.WRITTEN, "tree"}
        assert {*predict.NEEDED} <= keys
    for verb, *_ in _commands(page, "aam-facts"):
        assert verb in facts.VERBS
    for words in _commands(page, "aam-monitor"):
        assert {word.partition("=")[0] for word in words if "=" in word} <= {*monitor.KEYS}


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: page.name)
def test_commands_of_aam_submit_make_jobs(page):
    for words in _commands(page, "aam-submit"):
        if words[0] not in ("status", "requeue"):
            assert plan([word for word in words if word != "dry_run=true"]).jobs


def test_every_argument_is_documented():
    assert {*predict.READ, *predict.WRITTEN} <= {*_code_words(ROOT / "docs" / "prediction.md")}
    assert {*monitor.KEYS} <= {*_code_words(ROOT / "docs" / "monitor.md")}


def test_examples_of_extending_run(tmp_path, monkeypatch):
    """Every example of extending.md that can be run by itself, as it stands."""
    from omegaconf import OmegaConf

    text = (ROOT / "docs" / "extending.md").read_text("utf-8")
    blocks = FENCE.findall(text)
    files = {
        block.splitlines()[0].removeprefix("# configs/"): OmegaConf.to_container(
            OmegaConf.create(block)
        )
        for language, block in blocks
        if language == "yaml"
    }
    (loop,) = (block for _, block in blocks if "def richness(" in block)
    (family,) = (block for _, block in blocks if "class Throughput" in block)
    (baseline,) = (block for _, block in blocks if "class Median" in block)
    monkeypatch.setenv("AAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "aam.loops.richness", _module("aam.loops.richness", loop))
    monkeypatch.setitem(loops.DISPATCH, "richness", "aam.loops.richness:richness")

    config = Config(
        optimizer=files["optimizer/nadam.yaml"],
        scheduler=files["scheduler/exponential.yaml"],
        trainer=TrainerConfig(epochs=3, num_threads=1),
        logging=LoggingConfig(make_plots=False, tensorboard=False, console=False),
    )
    config.loop = replace(config.loop, **files["loop/richness.yaml"])
    config.model = replace(config.model, **files["model/narrow.yaml"])
    loops.find_loop("richness")(config, Run(run_dir=tmp_path))

    epochs = [event for event in read_events(tmp_path) if event["moment"] == "on_epoch_end"]
    losses = [event["val_loss"] for event in epochs]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 3
    rates = [9e-4, 8.1e-4, 8.1e-4]  # the last epoch has no next one to set it for
    assert [event["lr"] for event in epochs] == pytest.approx(rates)
    assert read_events(tmp_path)[-1]["metrics"]["test"].keys() == {"total_loss", "mae"}
    _check_family(_module("family", family).Throughput(), tmp_path, len(epochs))
    _check_baseline(_module("baseline", baseline).Median)


def test_imports_go_down_only():
    imports = {
        room: {other for path in paths for other in _imported_rooms(path)} - {room}
        for room, paths in _rooms().items()
    }
    assert imports.keys() == FLOORS.keys()
    up = [
        f"{room} imports {other}"
        for room, others in imports.items()
        for other in others
        if FLOORS[other] > FLOORS[room]
    ]
    assert not up
    # Rooms of one floor may look into each other, but not in circles.
    list(TopologicalSorter(imports).static_order())


def _defaults() -> dict[str, set[str]]:
    """Key → its defaults, as a page may write them: of the dataclasses, and of the choices.

    Loops may differ in the default of a key that they share.
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    register()
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=str(config_dir())):
        chosen = compose("config")
    defaults: dict[str, set[str]] = {}
    for key in known_keys():
        texts = {key.default, str(OmegaConf.select(chosen, key.name))}
        said = [other for text in texts for other in _SAID_OTHERWISE.get(text, ())]
        defaults.setdefault(key.name, set()).update(texts, said)
    return defaults


def _check_family(family: Any, run_dir: Path, num_epochs: int) -> None:
    from aam.monitoring import style
    from aam.monitoring.families.base import RunFacts

    facts = RunFacts.read(run_dir, "on_epoch_end", DiagnosticsConfig())
    assert family.missing(facts) == ""
    with style.applied():
        figure = family.draw(facts)
    (axes,) = figure.axes
    assert len(axes.lines[0].get_ydata()) == num_epochs


def _check_baseline(median: Any) -> None:
    values = np.array([[1.0], [2.0], [9.0], [50.0]])
    made = median(SimpleNamespace(values=values))
    made.fit(np.array([0, 1, 2]))
    assert made.predict(np.array([3, 0])).tolist() == [[2.0], [2.0]]


def _module(name: str, code: str) -> Any:
    module = ModuleType(name)
    exec(compile(code, f"docs/extending.md: {name}", "exec"), module.__dict__)
    return module


def _commands(page: Path, program: str = "aam-train") -> list[list[str]]:
    """Arguments of every line in a page's shell blocks that runs a program."""
    blocks = [
        block for language, block in FENCE.findall(page.read_text("utf-8")) if language == "bash"
    ]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if program in line]
    return [line[line.index(program) + 1 :] for line in words if program in line]


def _code_words(page: Path) -> Iterator[str]:
    """Words of a page that stand in code, ``loop.`` or ``model=`` of a lead put before them.

    So a section that begins with **`loop.`**, or a table with | `model=`, need not repeat it.
    """
    text = page.read_text("utf-8")
    for language, block in FENCE.findall(text):
        if language == "bash":
            yield from re.split(r"[\s=]+", block)
            yield from block.split()
    for lead, line in _lines(text):
        for code in re.findall(r"`([^`]+)`", line):
            for word in code.split():
                yield from (word, word.partition("=")[0], lead + word)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Lines outside of blocks, each with the lead that it stands below, or with none."""
    lead = ""
    for line in FENCE.sub("", text).splitlines():
        if found := re.match(r"(?:\*\*|\| )`([\w.]+[.=])`", line):
            lead = found[1]
        elif line.startswith("#") or line.startswith("**"):
            lead = ""
        yield lead, line


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def _rooms() -> dict[str, list[Path]]:
    """Source files by room: the packages and modules right below ``aam``."""
    rooms: dict[str, list[Path]] = {}
    package = ROOT / "src" / "aam"
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room != "__init__":
            rooms.setdefault(room, []).append(path)
    return rooms


def _imported_rooms(path: Path) -> Iterator[str]:
    """Rooms that a file imports anywhere, within functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        rooms = (name.split(".")[1] for name in names if name.startswith("aam."))
        yield from (room for room in rooms if room != "__version__")
