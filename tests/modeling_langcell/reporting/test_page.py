"""The report as a file, and as headless Chromium shows it without a network."""

import json
import re
import shutil
import sys
from functools import partial

import pytest
from tiny_named import LABELS, named_cells, refined_cells

import langcell
from langcell.reporting import contents
from langcell.reporting.cell_map import map_cells
from langcell.reporting.contents import read_named
from langcell.reporting.page import check_report, command_of, labels_file, render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


GENE = {
    "gene": "MBD4", "strength": 0.9, "effect": 2.8, "share_in": 1.0, "share_out": 0.1, "rank": 0.5,
    "profiles": ["COVID-Infected|Immunodeficiency_Nasal_Swabs|Bcells.2"] * 3,
}  # fmt: skip
EVIDENCE = {
    "strong_conflict": 0.8,
    "groups": [
        {
            "group": "B cell",
            "label": "B cell",
            "supporting": [{**GENE, "speaks_for": ""}],
            "conflicting": [{**GENE, "speaks_for": "CD16-positive, CD56-dim natural killer cell, human"}],
            "notes": [],
            "origin": ["Its 60 cells are called: 59 B cell, 1 T cell."],
        }
    ],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on a file of 1,000 cells, with a name that would be markup were it not escaped."""
    folder = tmp_path_factory.mktemp("report")
    cells = named_cells(1000)
    cells.obs_names = [f"<script>cell{i}</script>" for i in range(1000)]
    cells.uns["langcell"]["unknown_below"] = 0.2
    cells.write_h5ad(folder / "named.h5ad")
    facts = {"command": ["langcell", "annotate", "my cells"], "evidence": EVIDENCE}
    langcell.write_report(folder / "named.h5ad", folder / "report.html", **facts)
    return folder / "report.html"


class Shown:
    """A page in headless Chromium, offline; `faults` has errors of scripts and every request for anything."""

    def __init__(self, browser, path, width):
        self.faults = []
        self.page = browser.new_context(offline=True, viewport={"width": width, "height": 900}).new_page()
        self.page.set_default_timeout(240_000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url, path))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#map-by-label .nsewdrag")

    def _requested(self, url, path):
        if url != path.as_uri() and not url.startswith(("data:", "blob:")):
            self.faults.append(url)

    def hover(self, panel):
        """What is said beside the pointer at the first place of a grid where there is a cell."""
        box = self.page.locator(f"#{panel} .nsewdrag").first.bounding_box()
        for step in range(400):
            across, down = (step % 20 + 0.5) / 20, (step // 20 + 0.5) / 20
            self.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            self.page.wait_for_timeout(60)
            if (text := self.page.locator(f"#{panel} .hoverlayer .hovertext").first).count():
                return text.text_content()
        raise AssertionError(f"no cell was found in {panel}")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--enable-unsafe-swiftshader"]}
        with playwright.chromium.launch(**options) as running:
            yield running


def test_it_is_one_file_that_says_all(report):
    page = report.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"'](?!data:)", page)
    body = page[: page.index('<script type="application/json"')]
    for said in (
        "named.h5ad",
        "1,000",
        "langcell-mini",
        "53.4%",
        "87.1%",
        "donor_id",
        "1 cell without any known gene",
        "Of 1 label the model read the name alone: my odd cells &lt;i&gt;",
        "langcell annotate &#39;my cells&#39;",
        "0123456789ab",
        "transformers",
        "Its 60 cells are called: 59 B cell, 1 T cell.",
    ):
        assert said in body, said
    assert "<script>cell" not in page
    data = json.loads(page.split('id="report-data">')[1].split("</script>")[0])
    assert set(data["figures"]) == {"map-by-label", "map-by-confidence", "composition", "histogram"}
    assert report.stat().st_size < 6_000_000


def test_refined_names_come_with_novelty_clusters_and_a_paragraph_for_a_paper(tmp_path):
    langcell.write_report(refined_cells(60), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    body = " ".join(page[: page.index('<script type="application/json"')].split())
    for said in (
        "2 of 60 cells fit none of these labels.",
        "of ten cells with such a name, about eight have the right one",
        "refined over the data set by a Gaussian mixture",
        "revision 0123456789ab",
        "arXiv:2405.06708",
        '<span class="mark">mixed</span>',
    ):
        assert said in body, said
    data = json.loads(page.split('id="report-data">')[1].split("</script>")[0])
    assert {"map-by-alone", "map-by-novelty", "map-by-cluster"} <= set(data["figures"])
    details = body[body.index("<details><summary>Details") :]
    assert "pairs matched" in details  # jargon is there for those who open it
    assert "pairs matched" not in body.replace(details, "")


def test_a_section_of_others_follows_the_clusters():
    page = render(read_named(refined_cells(8)), title="x", sections=["<h2>Evidence</h2>"])
    assert page.index("<h2>Clusters</h2>") < page.index("<h2>Evidence</h2>") < page.index("<h2>Composition")


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 420])
def test_it_opens_offline_and_answers(report, browser, width):
    shown = Shown(browser, report, width)
    said = shown.hover("map-by-label")
    assert re.search(r"<script>cell\d+</script>", said)
    assert len(re.findall(r"0\.\d{3}", said)) in (0, 3)  # top-3 labels; the unassigned cell has none
    assert shown.page.locator("#composition .barlayer path").count() > 3
    assert shown.page.locator("#histogram .barlayer path").count() > 10
    shown.page.click("#tab-by-confidence")
    shown.page.wait_for_selector("#map-by-confidence .nsewdrag")
    assert not shown.page.locator("#map-by-label").is_visible()
    assert "<script>cell" in shown.hover("map-by-confidence")
    shown.page.press("#tab-by-confidence", "ArrowLeft")  # tabs answer to the keyboard
    assert shown.page.locator("#map-by-label").is_visible()
    # Nothing is wider than the window, and what was drawn for a wide one is drawn again for a narrow one.
    shown.page.set_viewport_size({"width": 420, "height": 900})
    shown.page.wait_for_function("document.getElementById('map-by-label').layout.legend.orientation === 'h'")
    assert shown.page.locator("details.evidence[open] table").count() == 2
    assert shown.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert shown.faults == []


@needs_chromium
@pytest.mark.slow
def test_a_hundred_thousand_cells(browser, tmp_path, monkeypatch):
    # UMAP of 8,000 cells takes ten seconds; the page does not show how many of them it has laid out.
    monkeypatch.setattr(contents, "map_cells", partial(map_cells, most_fitted=1000))
    cells = named_cells(100_000, [*LABELS, "T cell", "neuron", "fibroblast"], n_samples=60)
    langcell.write_report(cells, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 16_000_000
    shown = Shown(browser, tmp_path / "report.html", 1280)
    assert shown.page.locator("#map-by-label canvas.gl-canvas").count() > 0  # WebGL
    assert re.search(r"cell\d+", shown.hover("map-by-label"))
    assert "the 40 with the most cells of 60" in shown.page.inner_text("main")
    assert "each other cell stands beside" in shown.page.inner_text("main")
    assert shown.faults == []


def test_labels_file_is_what_annotate_reads(tmp_path):
    from langcell.processing.labels.resolve import read_labels

    settings = named_cells(4).uns["langcell"]
    (tmp_path / "labels.tsv").write_text(labels_file(settings), encoding="utf-8")
    labels = read_labels(tmp_path / "labels.tsv")
    assert [label.name for label in labels] == settings["labels"]
    assert [label.text.split() for label in labels] == [text.split() for text in settings["label_texts"]]


def test_the_command_is_told_from_the_settings():
    settings = {"model_id": "base+my adapter", "rerank": "top-k", "k": 5, "x_is": "log1p", "unknown_below": 0.25}
    assert command_of(settings) == (
        "langcell annotate INPUT.h5ad -o NAMED.h5ad --labels-file labels.tsv --model base --adapter 'my adapter' "
        "--rerank top-k --k 5 --unknown 0.25 --x-is log1p"
    )


def test_a_failure_leaves_the_old_report(tmp_path):
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(ValueError, match="no column 'x'"):
        langcell.write_report(named_cells(8), tmp_path / "report.html", sample_column="x")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "old")]


def test_cells_without_samples_and_without_coverage(tmp_path):
    cells = named_cells(8)
    del cells.obs["donor_id"], cells.uns["langcell"]["gene_coverage"], cells.uns["langcell"]["count_coverage"]
    langcell.write_report(cells, tmp_path / "report.html")
    assert "No column of the file names the samples" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_cannot_be_written_is_refused_beforehand(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"call it .*report\.html"):
        check_report(tmp_path / "report.pdf")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_report(tmp_path / "nowhere" / "report.html")
    named_cells(8).write_h5ad(tmp_path / "named.h5ad")
    with pytest.raises(ValueError, match="no column 'x'"):
        check_report(tmp_path / "report.html", tmp_path / "named.h5ad", "x")
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ValueError, match=r'pip install "langcell\[app\]"'):
        check_report(tmp_path / "report.html")
