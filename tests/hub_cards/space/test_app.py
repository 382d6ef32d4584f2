"""The app in a real browser: headless Chromium on the page that `langcell app` and the Space serve."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import anndata
import anyio
import httpx
import numpy as np
import pandas as pd
import pytest
import yaml
from anndata import AnnData
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from places import ROOT
from tiny import tiny_counts
from tiny_sample import save_sample_model
from typer.testing import CliRunner
from warm_python import warm_spawning

from langcell.app.figures import BY_LABEL
from langcell.app.options import AppOptions
from langcell.app.wording import in_page_words
from langcell.cli.commands import app as command_line
from langcell.sample_data import BULK_LABELS, sample_cells

CHROMIUM = shutil.which("chromium")
TYPES = ["CL:0000236", "CL:0000623", "CL:0000542", "CL:0000576"]
SECONDS = 1000  # Playwright counts milliseconds
LONGEST = 400 * SECONDS  # of a busy machine, on which UMAP is compiled at its first use
# Clocks and spinners of a page that waits are drawn sixty times per second, by software: more work than naming is.
CALM = """
window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 200);
window.cancelAnimationFrame = (number) => clearTimeout(number);
document.addEventListener("DOMContentLoaded", () => {
  const style = document.createElement("style");
  style.textContent = "*, *::before, *::after { animation: none !important; transition: none !important; }";
  document.head.append(style);
});
"""

pytestmark = [
    # Gradio, its server and its client announce what they are going to change.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="there is no chromium on this machine; CI installs it"
)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_sample_model(tmp_path_factory.mktemp("hub") / "langcell-sample", training_cell_types=TYPES)


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Each process with the model begins with its libraries imported."""
    with warm_spawning():
        yield


@pytest.fixture(scope="module")
def served(model_dir):
    """The running app, and its address."""
    from langcell.app.serving import running
    from langcell.hub_cards.space.app import build

    options = AppOptions(model=str(model_dir), device="cpu", dtype="float32", max_upload_mb=2, tools=True)
    with running(build, options) as served:
        yield served
    assert not served.folder.exists()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()  # one for all pages: what they load is in its cache
        context.add_init_script(CALM)
        yield context
        browser.close()


def new_page(browser, width: int = 1280, height: int = 1000):
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.set_default_timeout(LONGEST)
    return page


def wait_until(page, is_so: Callable[[], bool]) -> None:
    """Wait for something that the page does not show."""
    deadline = time.monotonic() + LONGEST / SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)


@contextmanager
def opened(served, browser):
    """The page, freshly opened; it may talk to this machine alone."""
    page = new_page(browser)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.url)
    page.wait_for_selector("#sample")
    yield page
    pictures = os.environ.get("LANGCELL_PICTURES")  # a folder, for whoever wants to see what the tests saw
    if pictures:
        page.screenshot(path=Path(pictures) / f"{os.environ['PYTEST_CURRENT_TEST'].split('::')[-1].split(' ')[0]}.png")
    page.close()
    outside = [url for url in asked if urlparse(url).scheme in ("http", "https", "ws") and "127.0.0.1" not in url]
    assert not outside


@pytest.fixture
def page(served, browser):
    """A page of the test's own."""
    with opened(served, browser) as page:
        yield page


@pytest.fixture(scope="module")
def named(served, browser):
    """A page on which the sample was named, its table and details; tests may go on from there, in any order."""
    with opened(served, browser) as page:
        run_sample(page)
        yield page, page.inner_text("#table"), details_of(page)


def run_sample(page) -> None:
    page.click("#sample")
    page.wait_for_selector("#status >> text=Named 700 cells by 10 cell types")
    page.wait_for_selector("#map .scatterlayer .trace")


def search(page) -> None:
    page.fill("#sentence textarea, #sentence input", "the lymphocyte that makes antibodies")
    page.click("#search")
    page.wait_for_selector("#status >> text=Searched for: the lymphocyte that makes antibodies")


def error_of(page) -> str:
    return page.inner_text("#status .error")


def write_cells(path: Path, genes: list[str]) -> Path:
    AnnData(tiny_counts(6), var=pd.DataFrame(index=genes)).write_h5ad(path)
    return path


@needs_browser
@pytest.mark.slow
def test_the_sample_is_named_drawn_and_taken_home(named, tmp_path):
    page, table, _ = named
    assert page.input_value("#labels textarea").splitlines() == list(BULK_LABELS.values())
    assert "confidence" in table
    page.check(f"#colour input[value='{BY_LABEL}']")
    page.wait_for_selector("#map .legend")
    legend = page.locator("#map .legend .traces").count()
    assert legend == len(set(re.findall("|".join(map(re.escape, BULK_LABELS.values())), table))) > 0
    assert "louvain" in page.inner_text("#clusters caption")
    for colour in ("each cell by itself", "confidence", "cluster"):
        page.check(f"#colour input[value='{colour}']")
        page.wait_for_selector("#map .colorbar" if colour == "confidence" else "#map .legend")
    names = {
        "h5ad": "pbmc700_named.h5ad",
        "cells": "pbmc700_named.csv",
        "clusters": "pbmc700_named_clusters.csv",
        "report": "pbmc700_named_report.html",
        "svg": "pbmc700_named.svg",
        "png": "pbmc700_named.png",
    }
    for kind, name in names.items():
        with page.expect_download() as download:
            page.click(f"#download-{kind}")
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    written = anndata.read_h5ad(tmp_path / names["h5ad"])
    assert written.obs["langcell_label"].notna().all()
    assert written.obsm["X_langcell"].shape[0] == 700
    assert len(pd.read_csv(tmp_path / names["cells"])) == 700
    assert "<svg" in (tmp_path / names["svg"]).read_text(encoding="utf-8")
    assert "Map of the cells" in (tmp_path / names["report"]).read_text(encoding="utf-8")


@needs_browser
@pytest.mark.slow
def test_more_options_change_nothing_when_they_are_opened(named):
    page, *before = named
    page.click("#more button")
    page.wait_for_selector("#least")
    assert page.input_value("#least input, #least textarea") == ""
    search(page)  # the status says so until the sample is named once more
    run_sample(page)
    assert [page.inner_text("#table"), details_of(page)] == before


def details_of(page) -> str:
    """How many pairs were read and so on; the line in which a run of other options would differ."""
    return page.text_content("#status details")


@needs_browser
@pytest.mark.slow
def test_results_stand_above_the_form_in_a_narrow_window(served, browser):
    page = new_page(browser, 420, 900)
    page.goto(served.url)
    page.wait_for_selector("#sample")
    run_sample(page)
    page.wait_for_function("() => document.querySelector('#status').getBoundingClientRect().top < 50")
    place = "document.querySelector('{}').getBoundingClientRect().top"
    assert page.evaluate(place.format("#map")) < 800
    assert page.evaluate(place.format("#map")) < page.evaluate(place.format("#file"))
    # No column is cut off, and nothing is wider than the window.
    widths = page.evaluate(
        "[...document.querySelectorAll('.table')].map((each) => each.scrollWidth - each.clientWidth)"
    )
    assert widths == [0] * len(widths)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


@needs_browser
@pytest.mark.slow
def test_what_a_label_may_mean_is_accepted_by_a_click(page):
    page.fill("#labels textarea", "hepatocite, B cell, natural killer cell")
    page.click("#sample")
    page.wait_for_selector("#proposed >> text=hepatocite → hepatocyte")
    page.click("#accept")
    page.wait_for_selector("#proposals", state="hidden")
    assert page.input_value("#labels textarea") == "hepatocyte, B cell, natural killer cell"
    page.wait_for_selector("#status >> text=Named 700 cells by 3 cell types")


@needs_browser
def test_keyboard_and_screen_reader_find_the_way(page):
    assert page.get_attribute("#status", "aria-live") == "polite"
    page.focus("#labels textarea")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.closest('[id]')?.id"))
    assert "name" in reached
    assert "sample" in reached
    page.focus("#name")
    page.keyboard.press("Enter")
    page.wait_for_selector("#status .error[role=alert]")
    for selector in ("#labels textarea", "#name", "#sample"):
        assert page.get_attribute(selector, "tabindex") != "-1"


@needs_browser
@pytest.mark.slow
def test_a_sentence_finds_cells(named):
    page, *_ = named
    search(page)
    page.wait_for_selector("#map .colorbar")
    assert "score" in page.text_content("#map .colorbar")
    assert page.is_checked("#colour input[value=sentence]")
    found = page.inner_text("#found")
    similarity = [float(number) for number in re.findall(r"-?\d\.\d{3}", found)]
    assert len(similarity) > 3
    assert similarity == sorted(similarity, reverse=True)


@needs_browser
@pytest.mark.parametrize("kind", ["no_h5ad", "other_genes"])
def test_a_bad_file_is_one_line_in_the_words_of_the_page(page, served, model_dir, tmp_path, monkeypatch, kind):
    path = tmp_path / "bad.h5ad"
    path.write_bytes(b"these are no cells") if kind == "no_h5ad" else write_cells(
        path, [f"probe{i}" for i in range(42)]
    )
    page.set_input_files("#file input[type=file]", path)
    page.wait_for_selector("#file >> text=bad")
    page.fill("#labels textarea", "B cell, NK cell")
    page.wait_for_function("() => !document.querySelector('#file .progress')")
    page.click("#name")
    page.wait_for_selector("#status .error")
    monkeypatch.chdir(tmp_path)
    words = ["annotate", "bad.h5ad", "-o", "named.h5ad", "--labels", "B cell,NK cell", "--device", "cpu"]
    result = CliRunner().invoke(command_line, [*words, "--model", str(model_dir)])
    assert result.exit_code == 2
    said = result.stderr.splitlines()[-1].removeprefix("langcell: ")
    assert error_of(page) == in_page_words(said)
    assert "--" not in error_of(page)
    assert str(served.folder) not in page.content().replace(f"file={served.folder}", "")


@needs_browser
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param("B cell", "needs at least two labels", id="one_label"),
        pytest.param("B cell, NK cell", "There is no file; drop one with cells, or try the sample.", id="no_file"),
    ],
)
def test_what_is_missing_is_said(page, labels, message):
    page.fill("#labels textarea", labels)
    page.click("#sample" if "two labels" in message else "#name")
    page.wait_for_selector("#status .error")
    assert message in error_of(page)


@needs_browser
@pytest.mark.slow
def test_labels_of_a_branch(page):
    page.check("input[value='a family of cell types']")
    page.click("#sample")  # works although nothing is chosen
    page.wait_for_selector("#status >> text=/Named 700 cells by [34] cell types/")
    page.fill("#branch input", "lymphocyte")
    page.press("#branch input", "Tab")
    page.click("#sample")
    page.wait_for_selector("#status >> text=Named 700 cells by 3 cell types")


@needs_browser
def test_too_large_a_file_is_refused(page, tmp_path):
    path = tmp_path / "large.h5ad"
    path.write_bytes(np.random.default_rng(0).bytes(3_000_000))
    page.set_input_files("#file input[type=file]", path)
    page.wait_for_selector("text=/exceeds? .*(maximum|max)|too large/i")


@needs_browser
@pytest.mark.slow
def test_a_full_queue_is_said(model_dir, browser):
    from langcell.app.serving import running
    from langcell.hub_cards.space.app import build

    options = AppOptions(model=str(model_dir), device="cpu", dtype="float32", queue_size=1)
    with running(build, options) as served:
        pages = [new_page(browser) for _ in range(3)]
        for page in pages:
            page.goto(served.url)
            page.wait_for_selector("#sample")
        for page in pages:  # soon after each other: on an idle machine the first is done in a second
            page.click("#sample")
            page.wait_for_timeout(100)
        # One runs, one waits, one is too many: the third, or the second where the first was not begun yet.
        busy = [page.locator("text=/currently busy. Please try again/").first for page in pages]
        wait_until(pages[0], lambda: any(each.is_visible() for each in busy))
        pages[0].wait_for_selector("#status >> text=Named 700 cells by 10 cell types")
        for page in pages:
            page.close()


@needs_browser
def test_a_closed_page_leaves_no_files(served, browser, tmp_path):
    page = new_page(browser)
    page.goto(served.url)
    page.wait_for_selector("#sample")
    page.set_input_files("#file input[type=file]", write_cells(tmp_path / "mine.h5ad", [f"g{i}" for i in range(42)]))
    page.wait_for_selector("#file >> text=mine")
    wait_until(page, lambda: bool(list(served.folder.glob("session-*/mine.h5ad"))))
    page.close()
    other = new_page(browser)
    wait_until(other, lambda: not list(served.folder.rglob("mine.h5ad")))
    other.close()


def test_an_agent_finds_the_tools_and_names_cells_by_them(served, tmp_path):
    write_cells(tmp_path / "mine.h5ad", list(sample_cells().var_names[:42]))
    with (tmp_path / "mine.h5ad").open("rb") as file:
        uploaded = httpx.post(f"{served.url}gradio_api/upload", files={"files": file}, timeout=300).json()[0]

    async def use() -> dict:
        address = f"{served.url}gradio_api/mcp/"
        async with streamablehttp_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()

            async def answer(tool: str, **arguments) -> str:
                return (await session.call_tool(tool, arguments)).content[0].text

            found = {tool.name: set(tool.inputSchema["properties"]) for tool in (await session.list_tools()).tools}
            secret = tmp_path / "mine.h5ad"
            return {
                "tools": found,
                "types": json.loads(await answer("list_labels", contains="natural")),
                "named": json.loads(await answer("name_cells", file=uploaded, labels=["B cell", "NK cell"])),
                "outside": await answer("name_cells", file=str(secret), labels=["B cell", "NK cell"]),
                "nothing": await answer("name_cells", file=uploaded, labels=[]),
            }

    with ThreadPoolExecutor(1) as thread:  # the event loop of Playwright runs in this one
        found = thread.submit(anyio.run, use).result()
    assert found["tools"] == {"list_labels": {"contains"}, "name_cells": {"file", "labels", "tissue"}}
    assert found["types"] == {"labels": ["natural killer cell"]}
    assert found["named"]["cells"] == 6 == sum(row["cells"] for row in found["named"]["labels"])
    assert "is no uploaded file; give what POST /gradio_api/upload answered" in found["outside"]
    assert "Give either labels or a tissue" in found["nothing"]
    assert not list(served.folder.glob("session-*/mine*"))


def test_the_space_runs_with_the_gradio_that_is_tested():
    card = (ROOT / "hub_cards" / "space" / "README.md").read_text()
    facts = yaml.safe_load(card.split("---")[1])
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert facts["sdk_version"] == pinned["gradio"]
    assert (ROOT / "hub_cards" / "space" / facts["app_file"]).is_file()
