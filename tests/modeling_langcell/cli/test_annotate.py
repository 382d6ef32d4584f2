"""What `langcell annotate` says and what its options do; the options that change nothing here are in test_cli."""

import re
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tiny import tiny_counts, tiny_gene_names
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app
from langcell.inference.naming.calibration import Calibration

# More than the early stop looks at before it asks itself whether to go on.
NAMES = [
    "natural killer cell", "B cell", "monocyte", "hepatocyte", "neuron", "fibroblast", "erythrocyte", "platelet",
    "mast cell", "dendritic cell", "macrophage", "eosinophil", "CD4-positive, alpha-beta T cell", "my odd cells",
]  # fmt: skip
LABELS = ",".join(f'"{name}"' for name in NAMES)
N_CELLS = 12


@pytest.fixture
def run(tiny_model_dir, tmp_path):
    """Annotate tiny cells; what was printed, and what was written."""
    source, output = tmp_path / "cells.h5ad", tmp_path / "out.h5ad"
    AnnData(tiny_counts(N_CELLS), var=pd.DataFrame(index=tiny_gene_names())).write_h5ad(source)

    def run(*options: str) -> tuple[str, AnnData]:
        words = ["annotate", str(source), "-o", str(output), "--model", str(tiny_model_dir), "--device", "cpu"]
        result = CliRunner().invoke(app, [*words, "--labels", LABELS, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout, anndata.read_h5ad(output)

    return run


def pairs_said(stdout: str) -> tuple[int, int, str]:
    """Evaluated pairs, all pairs and the way of re-ranking, from the line that says so."""
    found = re.search(
        r"Evaluated ([\d,]+) of ([\d,]+) \(cell, label\) pairs \([\d.]+%\), rerank (.*), \w+, no reference cells\n",
        stdout,
    )
    assert found, stdout
    return int(found[1].replace(",", "")), int(found[2].replace(",", "")), found[3]


@pytest.mark.parametrize("rerank", ["exact", "full", "top-k", "none"])
def test_the_output_and_the_command_say_what_was_evaluated(run, rerank):
    stdout, written = run("--rerank", rerank, "--k", "3", "--dtype", "float32")
    settings, scores = written.uns["langcell"], langcell.score_table(written)
    evaluated = int(settings["pairs_evaluated"])
    assert pairs_said(stdout) == (evaluated, N_CELLS * len(NAMES), "top-k (3)" if rerank == "top-k" else rerank)
    assert settings["rerank"] == rerank
    assert settings["dtype"] == "float32"
    assert evaluated == {"full": scores.size, "none": 0, "top-k": 3 * N_CELLS}.get(rerank, evaluated)
    assert ("k" in settings) == (rerank == "top-k")
    # Where the match was not evaluated there is no number; "none" has the similarity's own.
    assert scores.notna().sum().sum() == (scores.size if rerank == "none" else evaluated)


def test_exact_is_the_default_and_names_as_full_does(run):
    _, exact = run("--alpha", "0.5", "--dtype", "float32")
    _, full = run("--alpha", "0.5", "--rerank", "full", "--dtype", "float32")
    assert exact.uns["langcell"]["rerank"] == "exact"
    assert exact.obs["langcell_label"].tolist() == full.obs["langcell_label"].tolist()
    assert (exact.obs["langcell_confidence"] <= full.obs["langcell_confidence"] + 1e-6).all()


def test_a_table_counts_the_labels(run):
    stdout, written = run()
    counts = written.obs["langcell_label"].value_counts()
    for name in counts.index[counts > 0]:
        (row,) = [line for line in stdout.splitlines() if name[:40] in line and "│" in line]
        assert f" {counts[name]} " in row
        assert f"{counts[name] / N_CELLS:.1%}" in row
    assert "mean confidence" in stdout
    without = [name for name in NAMES if not counts[name]]
    assert without
    for name in without:
        (row,) = [line for line in stdout.splitlines() if name[:40] in line and "│" in line]
        assert row.split("│")[2:-1] == [f"{'0':>6} ", f"{'0.0%':>6} ", f"{'–':>16} "]


def test_unknown_by_a_number(run):
    _, written = run("--unknown", "1")
    assert (written.obs["langcell_label"] == "unknown").all()
    assert written.uns["langcell"]["rerank"] == "full"
    assert written.uns["langcell"]["unknown_below"] == 1.0
    _, written = run("--unknown", "0")
    assert (written.obs["langcell_label"] != "unknown").all()


def test_unknown_by_a_calibration(run, tmp_path):
    calibration = Calibration(temperature=0.5, threshold=0.46)
    calibration.save(tmp_path / "calibration.json")
    how = ("--unknown", str(tmp_path / "calibration.json"), "--dtype", "float32")
    _, written = run(*how, "--alpha", "1", "--rerank", "full")
    similarity = np.log(langcell.score_table(written).to_numpy())  # but for a number that all labels of a cell share
    expected = calibration.confidence(similarity, similarity.argmax(1))
    np.testing.assert_allclose(written.obs["langcell_confidence"], expected, atol=1e-5)
    assert ((written.obs["langcell_label"] == "unknown") == (expected < np.float32(0.46))).all()
    assert 0 < (expected < 0.46).mean() < 1
    _, written = run(*how, "--alpha", "0.5")
    assert written.uns["langcell"]["rerank"] == "exact"


def test_smoothing_is_written_and_scores_stay_distributions(run):
    _, plain = run("--rerank", "full", "--dtype", "float32")
    _, smooth = run("--smooth", "2", "--dtype", "float32")
    assert smooth.uns["langcell"]["smooth"] == 2.0
    np.testing.assert_allclose(langcell.score_table(smooth).sum(axis=1), 1, atol=1e-5)
    assert langcell.score_table(smooth).std().sum() < langcell.score_table(plain).std().sum()


def test_ontology_backoff_names_ancestors(run):
    _, written = run("--ontology-backoff", "1")
    broader = set(written.obs["langcell_label"]) - set(NAMES)
    assert written.uns["langcell"]["ontology_backoff"] == 1.0
    assert set(written.obs["langcell_label"].cat.categories) >= broader
    for name in broader:
        rows = written.obs[written.obs["langcell_label"] == name]
        assert rows["langcell_ontology_term_id"].str.startswith("CL:").all()


def test_a_budget_that_was_not_given_is_found(run):
    few, found = run("--max-batch-tokens", "64", "--dtype", "float32")[1], run("--dtype", "float32")[1]
    np.testing.assert_allclose(few.obsm["X_langcell"], found.obsm["X_langcell"], atol=1e-5)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float32"])
def test_embeddings_have_unit_length_in_every_dtype(run, dtype):
    _, written = run("--dtype", dtype)
    assert written.obsm["X_langcell"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(written.obsm["X_langcell"], axis=1), 1, atol=1e-6)
    assert written.uns["langcell"]["dtype"] == dtype or dtype == "auto"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"cells": "nowhere.h5ad"}, "nowhere.h5ad: no such file", id="cells"),
        pytest.param({"-o": "nowhere/out.h5ad"}, "does not exist; create it first", id="output"),
        pytest.param({"--labels": "B cell"}, "one label ('B cell')", id="labels"),
        pytest.param({"--alpha": "2"}, "alpha is 2.0; legal are 0", id="alpha"),
        pytest.param({"--rerank": "some"}, "'some' is not one of 'exact', 'full', 'top-k', 'none'", id="rerank"),
        pytest.param({"--rerank": "top-k", "--k": "0"}, "k is 0", id="k"),
        pytest.param({"--dtype": "float8"}, "dtype is 'float8'", id="dtype"),
        pytest.param({"--device": "abacus"}, "Device 'abacus'", id="device"),
        pytest.param({"--max-batch-tokens": "0"}, "max_batch_tokens is 0", id="max_batch_tokens"),
        pytest.param({"--unknown": "nowhere.json"}, "Cannot read the calibration", id="calibration"),
        pytest.param({"--smooth": "-1"}, "smooth is -1.0", id="smooth"),
        pytest.param({"--smooth": "1", "--smooth-over": "X_pca"}, "has no obsm 'X_pca'; it has none", id="smooth_over"),
        pytest.param({"--ontology-backoff": "2"}, "ontology_backoff is 2.0", id="ontology_backoff"),
        pytest.param({"-o": "cells.h5ad"}, "cells.h5ad is the input, which would be replaced", id="output_is_input"),
        pytest.param({"--layer": "umi"}, "unknown layer 'umi'", id="layer"),
        pytest.param({}, "is no model folder", id="nothing_else"),
    ],
)
def test_what_needs_no_model_is_refused_before_it_is_loaded(tmp_path, changes, message):
    source = tmp_path / "cells.h5ad"
    AnnData(tiny_counts(3), var=pd.DataFrame(index=tiny_gene_names())).write_h5ad(source)
    options = {"-o": "out.h5ad", "--labels": "B cell,monocyte", **changes, "--model": "no-such-model"}
    cells = Path(options.pop("cells", str(source)))
    options["-o"] = str(tmp_path / options["-o"])
    result = CliRunner().invoke(app, ["annotate", str(cells), *(word for pair in options.items() for word in pair)])
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_the_report_is_written_as_well_and_again_by_its_own_command(run, tmp_path):
    stdout, _ = run("--report", str(tmp_path / "report.html"))
    assert f"Wrote {tmp_path / 'report.html'}\n" in stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>cells.h5ad</h1>" in page
    assert f"Of 1 label the model read the name alone: {NAMES[-1]}" in page
    words = ["report", str(tmp_path / "out.h5ad"), "-o", str(tmp_path / "again.html"), "--max-drawn", "5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert f"5 of the {N_CELLS} cells are drawn" in (tmp_path / "again.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--report", "report.pdf"], "call it report.html", id="suffix"),
        pytest.param(["--report", "nowhere/report.html"], "does not exist", id="folder"),
        pytest.param(["--report", "r.html", "--sample-column", "x"], "unknown sample column 'x'", id="column"),
        pytest.param(["--sample-column", "x"], "give --report report.html, too", id="column_without_report"),
    ],
)
def test_a_report_that_could_not_be_written_is_refused_before_the_work(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    AnnData(tiny_counts(3), var=pd.DataFrame(index=tiny_gene_names())).write_h5ad("cells.h5ad")
    words = ["annotate", "cells.h5ad", "-o", "out.h5ad", "--labels", "B cell,T cell", "--model", "no such model"]
    result = CliRunner().invoke(app, [*words, *options])
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad"]
