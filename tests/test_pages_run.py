"""Every shell and Python block of README and docs is run, in this process, on small files made from real cells.

A tiny model stands in for the bundled weights, so what is tested is that each block works as it is written. A block
that is not run has a comment before it that says why: `<!-- skip: next "needs a network" -->`.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from unittest import SkipTest

import matplotlib.pyplot as plt
import numpy as np
import page_files
import pytest
from page_blocks import langcell_arguments
from places import ROOT
from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.reporting import cell_map
from langcell.training.evaluation.metrics import integration_metrics
from langcell.training.evaluation.reports import embedding_map
from langcell.training.evaluation.tasks import classification, few_shot, integration, novel_types
from langcell.training.evaluation.tasks.splits import stratified_splits
from langcell.training.fine_tuning import options as tuning_options

loading = sys.modules["langcell.loading.load"]  # the package has a function of that name

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_BLOCKS = [page for page in PAGES if re.search(r"^```(bash|python)$", page.read_text(), re.MULTILINE)]
# Why a block is not run.
REASONS = {
    "installs software",
    "needs a network",
    "needs a cluster",
    "needs data that is not in the repository",
    "serves until it is ended",
    "needs a server",
    "trains for hours",
    "runs all tests",
}

pytestmark = [
    # Of libraries, for so few cells and so small a model.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
    pytest.mark.filterwarnings("ignore:The set_bad function will be deprecated:PendingDeprecationWarning"),
]


def run_shell(example: Example) -> None:
    """Run each command of a block: langcell here, and what changes files by itself."""
    for line in str(example.parsed).replace("\\\n", " ").splitlines():
        if not (words := shlex.split(line, comments=True)):
            continue
        arguments = langcell_arguments(words)
        assert arguments is not None, f"{line}: only langcell commands are run here; say why this one is not"
        result = CliRunner().invoke(app, arguments)
        # An audit that is strict says by 3 that there is something to correct.
        assert result.exit_code in ((0, 3) if "--strict" in words else (0,)), (
            f"{line}\n{result.output}\n{result.exception!r}"
        )


@contextmanager
def integration_measures() -> Iterator[SimpleNamespace]:
    """Stands for scib-metrics, which compiles for fifteen seconds; its own tests use it."""
    clusters = {"nmi": 0.5, "ari": 0.5}
    yield SimpleNamespace(
        nmi_ari_cluster_labels_leiden=lambda *_, **__: clusters,
        silhouette_label=lambda *_: 0.5,
        silhouette_batch=lambda *_: 0.5,
        graph_connectivity=lambda *_: 0.5,
    )


def run(example: Example) -> str | None:
    """Run a block; returns the reason where the page says that it is not run."""
    try:
        example.evaluate()
    except SkipTest as skipped:
        return str(skipped)
    return None


def parsed(path: Path) -> Document:
    parsers = [CodeBlockParser("bash", run_shell), CodeBlockParser("python", PythonEvaluator()), SkipParser()]
    return Document.parse(str(path), *parsers)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files, and the model; read only."""
    folder = tmp_path_factory.mktemp("pages")
    cells = page_files.page_cells()
    page_files.write_page_model(folder / page_files.MODEL_PLACE, cells)
    page_files.write_page_files(folder, cells)
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch, folder, folder)
        arguments = ["finetune", "cells.h5ad", "--label-column", "cell_type", "--shots", "2", "-o", "my-adapter"]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder


def prepare(patch: pytest.MonkeyPatch, made: Path, folder: Path) -> None:
    """Go into a folder, put the tiny model in place of the bundled one, and leave out what only takes time."""
    patch.chdir(folder)
    patch.setattr(loading, "bundled_model_folder", lambda: made / page_files.MODEL_PLACE)
    # UMAP is compiled for ten seconds at its first use; tests of reporting and evaluation use it.
    for module in (cell_map, embedding_map, integration):
        patch.setattr(module, "umap_places", lambda vectors, **_: np.asarray(vectors)[:, :2])
    patch.setattr(integration_metrics, "_scib_metrics", integration_measures)
    patch.setattr(integration_metrics, "neighbours", lambda embeddings: embeddings)
    # A few steps show that a command trains; how well, tests of fine-tuning say.
    patch.setattr(tuning_options, "LEAST_STEPS", 2)
    patch.setattr(tuning_options, "CAUTIOUS_STEPS", 2)
    patch.setattr(tuning_options, "LEAST_EPOCHS", 0)
    # The first draw of training and test cells for each number of them; what further draws add, tests of the tasks say.
    for task in (few_shot, novel_types, classification):
        patch.setattr(task, "stratified_splits", lambda *words, **more: islice(stratified_splits(*words, **more), 1))


@pytest.fixture
def folder(made, tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of the files, which a page may change."""
    copy = page_files.copy_files(made, tmp_path / "page")
    prepare(monkeypatch, made, copy)
    yield copy
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_block_runs(page, folder):
    if "finetune" in page.read_text():  # it makes the adapter itself
        shutil.rmtree(folder / "my-adapter")
    for example in parsed(page).examples():
        reason = run(example)
        assert reason is None or reason in REASONS, f"{page.name}, line {example.line}: {reason}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_block_escapes(page):
    text = page.read_text()
    found = re.findall(r"^ *```(\w+)", text, re.MULTILINE)
    assert not set(found) & {"sh", "shell", "console", "py", "pycon"}, "write bash or python, which are run"
    regions = [example for example in parsed(page).examples() if isinstance(example.parsed, str)]
    assert len(regions) == sum(language in ("bash", "python") for language in found)


def test_a_block_that_fails_is_found(folder, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\nlangcell annotate nowhere.h5ad -o named.h5ad --labels B\n```\n")
    with pytest.raises(AssertionError, match=r"there is no file|nowhere\.h5ad"):
        next(iter(parsed(page).examples())).evaluate()
