"""The live page in a real browser, of real trainings: it grows, and its button stops them.

Where AAM_SCREENSHOTS names a folder, the pictures of docs/monitor.md are written there.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from aam.facts.reader import epoch_events, read_events
from aam.facts.recorder import Recorder
from aam.facts.stopping import REQUEST
from aam.training.checkpoint import load_checkpoint

from .browser import chromium, screenshot
from .waiting import wait_for

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
SHORT = ("loop.min_updates=2", "model.num_clades=8", "trainer.num_threads=1")
ENDLESS = ("trainer.epochs=2000", "early_stopping.patience=null", "logging.tensorboard=false")
FORESEEN = (
    # What plotly.js wants for maps, which there are none of: a strict policy is worth that line.
    "plotly.js 20 Applying inline style violates",
    "status of 404",  # a run whose folder was deleted
    "ERR_CONNECTION_REFUSED",  # a monitor that was ended
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
)
# Of the pictures, whole trainings are waited for.
WAIT_S = 900 if "AAM_SCREENSHOTS" in os.environ else 60
WIDTH = "return document.documentElement.scrollWidth"
ECAM = {"table": "table.biom", "tree": "tree.nwk", "metadata": "metadata.tsv"}
POINTS = "return document.querySelector('[data-chart=loss] .plot')?.data?.[0].x.length ?? 0"


class Page:
    """The live page as a person has it before them."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def find(self, selector: str) -> list[WebElement]:
        found = self.browser.find_elements(By.CSS_SELECTOR, selector)
        return [one for one in found if one.is_displayed()]

    def text(self, selector: str = "main") -> str:
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.browser.execute_script(script, selector))

    def num_points(self) -> int:
        return int(self.browser.execute_script(POINTS))

    def wait(self, condition: Callable[[], Any]) -> Any:
        return wait_for(condition, WAIT_S, self.text)

    def click(self, selector: str, text: str) -> None:
        button = self.wait(lambda: [one for one in self.find(selector) if one.text == text])[0]
        button.click()

    def keep(self, name: str, folder: str) -> None:
        screenshot(self.browser, Path(folder) / f"{name}.png")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium(1400, 1000) as opened:
        yield opened


def complaints(browser: Chrome) -> list[str]:
    """What the browser has to say of the pages since it was last asked."""
    said = [one["message"] for one in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    return [one for one in said if not any(foreseen in one for foreseen in FORESEEN)]


@pytest.fixture
def page(browser: Chrome) -> Iterator[Page]:
    yield Page(browser)
    browser.get("about:blank")
    assert complaints(browser) == []


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a training; its lines come through a pipe."""
    started: list[subprocess.Popen[str]] = []
    ours = {"AAM_OUTPUTS": "outputs", "OMP_NUM_THREADS": "1"}
    environment = os.environ | ours | {"SSH_CONNECTION": "so that no browser is opened"}

    def start(*words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [BIN / "aam-train", *words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def url_of(process: "subprocess.Popen[str]") -> str:
    """The address that a training or aam-monitor tells."""
    assert process.stdout is not None
    return next(
        found.group() for line in process.stdout if (found := re.search(r"http://\S+", line))
    )


@contextmanager
def monitor(folder: Path) -> Iterator[str]:
    """Serve the live page of a folder; gives its address."""
    command = [BIN / "aam-monitor", folder, "port=0", "open=false"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield url_of(server)
        finally:
            server.terminate()
            assert server.wait(30) == 0


def write_run(run_dir: Path) -> Path:
    """A run of one epoch that has ended."""
    recorder = Recorder(run_dir, loop="pretrain", metric_names=["total_loss"])
    recorder.emit("on_start", meta={"num_epochs": 1, "num_samples": {"train": 3}})
    losses = {"train_loss": 1.0, "val_loss": 1.0}
    recorder.emit("on_epoch_end", epoch=0, step=1, **losses)
    recorder.emit("on_train_end", epoch=0)
    recorder.close()
    return run_dir


def test_a_training_is_watched_stopped_and_resumed(
    page: Page, tmp_path: Path, train: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = train("monitor=true", *SHORT, *ENDLESS)
    url = url_of(process)
    page.browser.get(url)
    page.wait(lambda: page.num_points() >= 3)
    (run_dir,) = (tmp_path / "outputs" / "runs").iterdir()
    assert page.text("h1").split("\n")[-1].strip() == run_dir.name
    assert page.text(".pill") == "running"
    before = page.num_points()
    page.wait(lambda: page.num_points() >= before + 3)
    page.wait(lambda: page.find("#figures img"))

    page.click("button.danger", "Stop after this epoch")
    page.click("#no", "Cancel")
    page.wait(lambda: not page.find("dialog"))
    assert not (run_dir / REQUEST).exists()
    page.click("button.danger", "Stop after this epoch")
    page.click("#yes", "Stop after this epoch")
    page.wait(lambda: page.text(".pill") == "stopped")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "by the live page" in said

    events = read_events(run_dir)
    assert [one["moment"] for one in events].count("on_stop") == 1
    stop, num_done = events[-1], len(epoch_events(events))
    assert stop["moment"] == "on_stop"
    assert stop["reason"].endswith(" by the live page")
    assert not page.find("button.danger")
    assert page.text(".banner").startswith(f"Stopped after epoch {num_done}: {stop['reason']}")
    assert f"aam-train resume={run_dir}" in page.text(".banner")
    page.wait(lambda: page.num_points() == num_done)
    assert load_checkpoint(run_dir / "last.pt")["epoch"] == num_done
    assert not (run_dir / REQUEST).exists()

    again = train(f"resume={run_dir}", f"trainer.epochs={num_done + 2}", "monitor=false")
    said = again.communicate(timeout=120)[0]
    assert again.returncode == 0, said
    page.wait(lambda: page.text(".pill") == "finished")
    page.wait(lambda: page.num_points() == num_done + 2)
    assert "UniFrac R²" in page.text("#test")

    shutil.rmtree(run_dir)
    page.wait(lambda: "deleted or moved" in page.text(".banner"))
    page.click("#close", "Close this monitor")
    page.click("#yes", "End aam-monitor")
    page.wait(lambda: "aam-monitor was ended" in page.text("#connection"))


def test_what_facts_say_is_text(page: Page, tmp_path: Path) -> None:
    evil = "<img src=x onerror=window.evil=1><script>window.evil=2</script>"
    run_dir = tmp_path / "run_<img src=x onerror=window.evil=3>"
    recorder = Recorder(run_dir, loop=evil, metric_names=["total_loss", evil])
    meta: dict[str, Any] = {
        "git": {"commit": None, "dirty": None},
        "hostname": evil,
        "pid": 1,
        "seed": 0,
        "device": evil,
        "versions": {},
        "inputs": {"table": {"path": f"/data/{evil}", "sha256": "0" * 64, "num_bytes": 1}},
        "num_samples": {"train": 3, evil: 2},
        "command": evil,
        "working_dir": "/",
    }
    recorder.emit("on_start", meta=meta, metrics={"val": {f"baseline_{evil}_{evil}": 0.5}})
    finding = {"kind": evil, "evidence": evil, "advice": f"{evil}: aam-train {evil}"}
    for epoch in range(3):
        recorder.emit(
            "on_epoch_end",
            epoch=epoch,
            step=epoch + 1,
            train_loss=1.0,
            metrics={"train": {"total_loss": 1.0, evil: 0.4}, "val": {evil: 0.3}},
            best={"epoch": epoch, "metric": evil, "value": 1.0},
            diagnostics=[finding],
        )
    (run_dir / "figures").mkdir()
    (run_dir / "figures" / "<img src=x onerror=window.evil=4>.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>"
        "<script>window.evil=5</script></svg>"
    )
    error = {"type": evil, "message": evil, "traceback": evil}
    recorder.emit("on_exception", error=error)
    recorder.close()
    with monitor(tmp_path) as url:
        page.browser.get(url)
        page.wait(lambda: evil in page.text() and run_dir.name in page.text())
        page.find("td a")[0].click()
        page.wait(lambda: page.num_points() == 3 and page.find("#figures figure"))
        page.wait(lambda: evil in page.text(".banner"))
        for section in ("#title", "#tiles", "#findings", "#about", "#metrics"):
            assert "onerror=window.evil" in page.text(section), section
        assert page.browser.execute_script("return window.evil") is None
        page.browser.get(page.find("#figures a")[0].get_attribute("href"))
        assert page.browser.execute_script("return window.evil") is None
        (refused,) = complaints(page.browser)
        assert "the document's frame is sandboxed" in refused


def test_the_list_of_runs_on_a_phone_and_by_words(page: Page, tmp_path: Path) -> None:
    with monitor(tmp_path) as url:
        page.browser.get(url)
        page.wait(lambda: "No runs yet below" in page.text())
        for name in ("run_one", "run_two"):
            write_run(tmp_path / name)
        page.wait(lambda: len(page.find("tbody tr")) == 2)
        (field,) = page.find("input[type=search]")
        field.send_keys("pretrain TWO")
        assert [one.text for one in page.find("td a")] == ["run_two"]
        field.send_keys(" nowhere")
        page.wait(lambda: "No run has all of these words" in page.text())
        set_size(page, width=390)
        page.browser.refresh()
        page.wait(lambda: page.find("td a"))
        assert page.browser.execute_script(WIDTH) == 390
        page.find("td a")[0].click()
        page.wait(lambda: page.num_points() == 1)
        assert page.browser.execute_script(WIDTH) == 390
    set_size(page)


def set_size(page: Page, width: int = 1400, height: int = 1000) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.skipif("AAM_SCREENSHOTS" not in os.environ, reason="makes pictures, for minutes")
def test_pictures_of_a_pretraining_and_a_fine_tuning(
    page: Page, tmp_path: Path, train: Callable[..., "subprocess.Popen[str]"], real_data: Path
) -> None:
    folder = os.environ["AAM_SCREENSHOTS"]
    (tmp_path / "ecam").symlink_to(real_data / "ecam")  # short paths: they are in the pictures
    given = [f"data.{key}=ecam/{file}" for key, file in ECAM.items()]
    data = ("data=biom", *given, "data.group_column=subject", "trainer.num_threads=1")
    (tmp_path / "outputs").mkdir()
    with monitor(tmp_path / "outputs") as url:
        page.browser.get(url)
        pretraining = train(*data, "run_name=ecam", "trainer.epochs=40", "loop.min_updates=20")
        pretrained = open_newest(page, "pretrain")
        page.wait(lambda: page.num_points() >= 24)
        set_size(page, height=1560)
        page.keep("live_pretrain", folder)
        set_size(page)
        page.click("button.danger", "Stop after this epoch")
        page.click("#yes", "Stop after this epoch")
        page.wait(lambda: page.text(".pill") == "stopped")
        assert pretraining.wait(120) == 0

        target = ("data.target=age_days", f"pretrained=outputs/runs/{pretrained}")
        assert train("loop=probe", *data, *target).wait(300) == 0
        tuned = (
            "loop=finetune",
            *data,
            *target,
            "freeze=nucleotide",
            "early_stopping.patience=null",
        )
        died = train(*tuned, "run_name=fast", "optimizer.lr=1e-2", "trainer.epochs=60")
        open_newest(page, "finetune")
        page.wait(lambda: page.num_points() >= 6)
        died.kill()
        train(*tuned, "run_name=age", "trainer.epochs=120")
        open_newest(page, "finetune", 2)
        page.wait(lambda: page.num_points() >= 30)
        set_size(page, height=1880)
        page.keep("live_finetune", folder)
        page.click("#where a", "← all runs")
        page.wait(lambda: len(page.find("tbody tr")) == 4)
        set_size(page, height=440)
        page.keep("live_runs", folder)
        set_size(page)


def open_newest(page: Page, loop: str, number: int = 1) -> str:
    """Open the run that was started last of ``number`` runs of a loop; gives its name."""
    page.browser.execute_script("location.hash = ''")

    def links() -> list[WebElement]:
        return [one for one in page.find("td a") if f"_{loop}_" in one.text]

    page.wait(lambda: len(links()) == number)
    (newest, *_) = links()
    name = newest.text
    newest.click()
    return name
