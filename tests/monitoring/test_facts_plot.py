"""``aam-facts plot``: the figures of the worker, drawn again."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from aam.cli.facts import main
from aam.config import DiagnosticsConfig, FamilyConfig, LoggingConfig
from aam.monitoring.families import FAMILIES

Event = dict[str, Any]
MakeRun = Callable[..., Path]
# Of the run's own settings: other thresholds, and a format that is no default.
CONFIG = LoggingConfig(
    families={
        name: FamilyConfig(dpi=40, format="svg" if name == "losses" else "png") for name in FAMILIES
    },
    diagnostics=DiagnosticsConfig(gap=0.001, std=0.002),
)


@pytest.fixture
def aam_facts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command in this process: its exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aam-facts", *map(str, arguments)])
        code = main()
        return code, *capsys.readouterr()

    return run


def set_up(run_dir: Path, config: LoggingConfig) -> None:
    (run_dir / ".hydra").mkdir()
    text = OmegaConf.to_yaml(OmegaConf.create({"logging": asdict(config)}))
    (run_dir / ".hydra" / "config.yaml").write_text(text)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_figures_are_byte_for_byte_those_of_the_run(
    healthy_run: Path, aam_facts: Any, tmp_path: Path
) -> None:
    set_up(healthy_run, CONFIG)
    subprocess.run(
        [sys.executable, "-m", "aam.monitoring.worker", healthy_run, json.dumps(asdict(CONFIG))],
        input=b"on_epoch_end 29\non_validation_improved 26\n",
        check=True,
    )
    before = contents(healthy_run / "figures")
    assert set(before) == {
        "losses-on_epoch_end.svg",
        "metrics-on_epoch_end.png",
        "training_curves.png",
        "unifrac_best.png",
    }
    code, said, _ = aam_facts("plot", healthy_run, f"output={tmp_path / 'again'}")
    assert code == 0
    assert contents(tmp_path / "again") == before
    assert said.splitlines()[0] == f"Written to {tmp_path / 'again'}:"
    assert said.splitlines()[-3:] == [
        "Left out:",
        "  unifrac_test.png: there is no on_test_end event",
        "  losses-on_validation_improved.svg, metrics-on_validation_improved.png: "
        "switched off by logging.plots=standard",
    ]


def test_a_run_that_died_without_its_settings_is_drawn_by_the_defaults(
    healthy_run: Path, aam_facts: Any
) -> None:
    events = healthy_run / "facts" / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-40])  # torn in its last line
    code, said, _ = aam_facts("plot", healthy_run, "--json", "dpi=30")
    (told,) = json.loads(said)
    assert code == 0
    assert told["run_dir"] == str(healthy_run)
    assert sorted(contents(healthy_run / "figures")) == [
        "losses-on_epoch_end.png",
        "metrics-on_epoch_end.png",
        "training_curves.png",
        "unifrac_best.png",
    ]
    assert sorted(told["written"]) == sorted(map(str, (healthy_run / "figures").iterdir()))
    assert told["left_out"]["unifrac_test.png"] == "there is no on_test_end event"


def test_several_runs_and_the_families_and_format_that_are_asked_for(
    healthy_run: Path, aam_facts: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(healthy_run, other)
    set_up(other, LoggingConfig(make_plots=False))
    words = ("families=losses", "format=pdf", f"output={tmp_path / 'talk'}")
    code, said, _ = aam_facts("plot", healthy_run, other, *words)
    assert code == 0
    files = {"losses-on_epoch_end.pdf", "losses-on_validation_improved.pdf"}
    for run in (healthy_run, other):
        written = contents(tmp_path / "talk" / run.name)
        assert set(written) == files
        assert all(content.startswith(b"%PDF") for content in written.values())
        assert f"{run}:" in said.splitlines()


def test_a_figure_that_fails_is_told_and_the_others_are_drawn(
    healthy_run: Path, aam_facts: Any
) -> None:
    (healthy_run / "predictions" / "val_unifrac.tsv").write_text("nonsense\n")
    code, said, _ = aam_facts("plot", healthy_run, "families=losses,unifrac", "dpi=30")
    assert code == 1
    assert "Failed:\n  unifrac_best.png: ValueError: 'true' is not in list" in said
    assert (healthy_run / "figures" / "losses-on_epoch_end.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "needs a RUN"),
        (("RUN", "families=loses"), "did you mean losses?"),
        (("RUN", "family=losses"), "did you mean families=?"),
        (("RUN", "format=jpg"), "png, pdf, svg"),
        (("RUN", "dpi=1e3"), "dpi=1e3 must be a whole number from 10 to 600"),
        (("RUN", "output=FILE/figures"), "give output=FOLDER"),
        (("absent_run",), "absent_run"),
    ],
)
def test_wrong_words_are_a_sentence(
    healthy_run: Path, aam_facts: Any, words: tuple[str, ...], said: str
) -> None:
    file = healthy_run / "a_file"
    file.touch()
    given = [word.replace("FILE", str(file)).replace("RUN", str(healthy_run)) for word in words]
    code, _, error = aam_facts("plot", *given)
    assert code == 2
    assert said in error
    assert len(error.splitlines()) == 1


def test_nothing_heavy_is_loaded(healthy_run: Path) -> None:
    code = (
        "import sys; from aam.cli.facts import main\n"
        "sys.argv[1:] = ['plot', sys.argv[1], 'families=losses', 'dpi=30']\n"
        "assert main() == 0\n"
        "heavy = ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib.pyplot', 'hydra')\n"
        "assert not [name for name in heavy if name in sys.modules]"
    )
    set_up(healthy_run, CONFIG)
    subprocess.run([sys.executable, "-c", code, healthy_run], check=True, capture_output=True)
