"""What docs/tensorboard.md tells people to click, clicked in the real program.

Where AAM_SCREENSHOTS names a folder, the pictures of that page are written there.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from aam.facts.reader import epoch_events, read_events
from aam.facts.summary import find_runs, summarize

from .browser import chromium, screenshot
from .waiting import wait_for

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
SWEEP = (
    *("--multirun", "optimizer.lr=0.001,0.0003", "run_name=rates", "trainer.epochs=24"),
    *("loop.min_updates=10", "trainer.num_threads=1", "logging.histogram_every_epochs=10"),
)
NUM_EPOCHS = 24
# TensorBoard's tabs are trees within trees, which no selector looks into.
FIND = """
const found = [];
const walk = (tree) => {
  for (const one of tree.querySelectorAll("*")) {
    if (one.matches(arguments[0]) && one.getBoundingClientRect().height) found.push(one);
    if (one.shadowRoot) walk(one.shadowRoot);
  }
};
walk(arguments[1] ? arguments[1].shadowRoot : document);
return found;
"""
CELLS = """
const text = (slot) => slot.assignedNodes().map((one) => one.textContent.trim()).join("");
const row = (tr) => [...tr.querySelectorAll("slot")].map(text);
return [...arguments[0].shadowRoot.querySelectorAll("#header tr, #items tr")].map(row);
"""


class Page:
    """TensorBoard as a person has it before them."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def find(self, selector: str, within: WebElement | None = None) -> list[WebElement]:
        found: list[WebElement] = self.browser.execute_script(FIND, selector, within)
        return found

    def click(self, element: WebElement) -> None:
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def open_tab(self, name: str) -> None:
        def tab() -> WebElement | None:
            tabs = [one for one in self.find("[role=tab]") if one.text == name]
            return tabs[0] if tabs else None

        self.click(wait_for(tab))

    def keep(self, name: str, top: WebElement) -> None:
        """Take a picture from an element on, where pictures are asked for."""
        folder = os.environ.get("AAM_SCREENSHOTS")
        if folder:
            self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", top)
            time.sleep(1)  # what moves is there by then
            screenshot(self.browser, Path(folder) / f"{name}.png")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs."""
    here = tmp_path_factory.mktemp("tensorboard")
    environment = {name: value for name, value in os.environ.items() if name != "AAM_OUTPUTS"}
    subprocess.run([BIN / "aam-train", *SWEEP], cwd=here, env=environment, check=True)
    (folder,) = (here / "outputs" / "multiruns").iterdir()
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium(1400, 900) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(browser: Chrome, sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """TensorBoard of the sweep, in a browser."""
    here = sweep.parents[2]
    log = tmp_path_factory.mktemp("log") / "tensorboard.log"
    command = [BIN / "tensorboard", "--logdir", sweep.relative_to(here), "--port", "0"]
    with log.open("w") as said:
        server = subprocess.Popen(command, cwd=here, stdout=said, stderr=subprocess.STDOUT)
        try:
            opened = Page(browser)
            found = wait_for(lambda: re.search(r"http://\S+", log.read_text()))
            browser.get(found.group())
            yield opened
        finally:
            server.terminate()
            server.wait(30)


def test_training_and_validation_lie_in_one_chart(page: Page, sweep: Path) -> None:
    page.open_tab("CUSTOM SCALARS")
    runs = [f"{run_dir.name}/tensorboard" for run_dir in find_runs(sweep)]
    (slider,) = wait_for(lambda: page.find("paper-slider#slider"))
    slider.send_keys(Keys.HOME)  # no smoothing
    charts = {}
    for card in wait_for(lambda: page.find("tf-custom-scalar-multi-line-chart-card")):
        charts[card.text.split("\n")[0]] = card

    def matches(card: WebElement) -> set[tuple[str, ...]]:
        """Tag and run of each curve, as the list below the chart names them."""
        (title,) = page.find(".matches-text", card)
        (toggle,) = page.find(".toggle-matches-button", card)
        page.click(toggle)
        num_curves = int(re.sub(r"\D", "", title.text))
        wait_for(lambda: len(page.find(".match-list-entry", card)) == num_curves)
        entries = page.find(".match-list-entry", card)
        texts = [one.get_attribute("textContent") or "" for one in entries]
        page.click(toggle)
        return {tuple(re.findall(r"[\w./-]+", text)) for text in texts}

    def num_lines(card: WebElement) -> int:
        """Long lines: outliers may be cut off, and a smoothed line lies upon its own."""
        lines = [line.get_attribute("d") or "" for line in page.find("path.line", card)]
        return len({line for line in lines if line.count("L") > NUM_EPOCHS / 2})

    both = ["total_loss", "unifrac_loss", "nuc_loss", "nuc_accuracy"]
    validation = ["unifrac_r2", "unifrac_mae", "unifrac_spearman"]
    assert [*charts] == [*both, *validation, "grad_norm", "lr"]
    for name, card in charts.items():
        tags = [f"val/{name}"] if name in validation else [f"train/{name}", f"val/{name}"]
        tags = {"grad_norm": ["train/grad_norm"], "lr": ["lr"]}.get(name, tags)
        assert matches(card) == {(tag, run) for tag in tags for run in runs}
        wait_for(lambda card=card, tags=tags: num_lines(card) == len(runs) * len(tags))

    (enlarge,) = page.find("paper-icon-button[icon=fullscreen]", charts["total_loss"])
    (logarithmic,) = page.find("[title='Toggle y-axis log scale']", charts["total_loss"])
    page.click(logarithmic)
    page.click(enlarge)
    page.click(page.find(".toggle-matches-button", charts["total_loss"])[0])
    page.keep("tensorboard_custom_scalars", charts["total_loss"])


def test_runs_are_told_apart_by_what_differs_and_how_good_they_are(page: Page, sweep: Path) -> None:
    page.open_tab("HPARAMS")
    wanted = ["optimizer.lr", "best/total_loss", "best/unifrac_r2", "test/unifrac_r2"]
    boxes = wait_for(lambda: page.find(".hparam-checkbox, .metric-checkbox"))
    assert boxes[0].text == "optimizer.lr"  # what differs comes first
    ticked = [box.get_attribute("aria-checked") == "true" for box in boxes]
    assert sum(ticked) == 10  # five settings, five metrics
    for box, is_ticked in zip(boxes, ticked, strict=True):
        if is_ticked != (box.text in wanted):
            page.click(box)

    (grid,) = page.find("vaadin-grid")

    def rows() -> list[list[str]]:
        cells: list[list[str]] = page.browser.execute_script(CELLS, grid)
        return [row[: 2 + len(wanted)] for row in cells if row and row[0]]

    wait_for(lambda: sum(all([row[0], *row[2:]]) for row in rows()) == 3)
    header, *table = rows()
    assert header == ["Trial ID", "Show Metrics", *wanted]
    shown = {row[0]: [float(cell) for cell in row[2:]] for row in table}
    expected = {}
    for run_dir, lr in zip(find_runs(sweep), (0.001, 0.0003), strict=True):
        run = summarize(run_dir)
        assert run is not None
        assert run.best is not None
        assert run.test is not None
        (best,) = (
            event
            for event in epoch_events(read_events(run_dir))
            if event["epoch"] == run.best["epoch"]
        )
        expected[f"{run_dir.name}/tensorboard"] = [
            lr,
            run.best["value"],
            best["metrics"]["val"]["unifrac_r2"],
            run.test["metrics"]["test"]["unifrac_r2"],
        ]
    assert shown == {name: pytest.approx(row, rel=1e-4) for name, row in expected.items()}
    page.click(page.find("vaadin-grid-cell-content paper-checkbox")[0])
    (curves,) = wait_for(lambda: page.find("tf-hparams-session-group-details"))
    wait_for(lambda: len(page.find("path.line", curves)) >= 2)  # the test is but a point
    page.keep("tensorboard_hparams", boxes[0])

    (success,) = (box for box in page.find("paper-checkbox") if box.text == "Success")
    page.click(success)
    (pane,) = page.find("tf-hparams-query-pane")
    wait_for(lambda: "matching session groups: 0" in pane.text)


def test_histograms_are_those_of_what_is_trained(page: Page) -> None:
    page.open_tab("HISTOGRAMS")

    def categories() -> list[str]:
        shown = [one.text for one in page.find("tf-category-paginated-view")]
        return [text for text in shown if text]

    wait_for(lambda: categories())
    assert categories()[0].split("\n")[:2] == ["parameters", "100"]  # 50 of each run
    (filterer,) = page.find("tf-tag-filterer")
    (search,) = page.find("input", filterer)
    search.send_keys("base_head.1.bias")
    found = "tag: parameters/base_head.1.bias"
    wait_for(lambda: len(categories()) == 2 and categories()[0].count(found) == 2)


def test_the_best_predictions_are_an_image(page: Page) -> None:
    page.open_tab("IMAGES")
    width = "return arguments[0].naturalWidth"

    def widths() -> list[int]:
        return [page.browser.execute_script(width, one) for one in page.find("img")]

    wait_for(lambda: [width > 700 for width in widths()] == [True, True])


def test_series_are_found_by_name_and_runs_by_their_settings(page: Page) -> None:
    page.open_tab("TIME SERIES")
    (search,) = wait_for(lambda: page.find("input[placeholder='Filter tags (regex)']"))
    search.send_keys("unifrac_r2", Keys.TAB)
    names = ["best/unifrac_r2", "test/unifrac_r2", "val/unifrac_r2"]
    wait_for(lambda: [one.text.replace("\n", "") for one in page.find("card-view .tag")] == names)
    page.click(page.find("button[title='Add Column']")[0])
    wait_for(lambda: any(one.text == "optimizer.lr differs" for one in page.find("button")))
    page.browser.find_element("tag name", "body").send_keys(Keys.ESCAPE)


def test_a_page_does_not_renew_itself_unless_it_is_told_to(page: Page) -> None:
    page.browser.refresh()
    page.click(wait_for(lambda: page.find("settings-button button"))[0])

    def box() -> WebElement | None:
        boxes = page.find("mat-dialog-container mat-checkbox")
        return boxes[0] if boxes and boxes[0].text == "Reload data" else None

    assert "mat-mdc-checkbox-checked" not in wait_for(box).get_attribute("class")
