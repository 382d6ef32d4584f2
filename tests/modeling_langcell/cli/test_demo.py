import anndata
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from numpy.testing import assert_array_equal
from tiny_sample import save_sample_model
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app
from langcell.cli.demo import draw_confusion, run_demo, summary_table
from langcell.loading.load import bundled_model_folder
from langcell.processing.ontology.terms import Ontology
from langcell.sample_data import BULK_LABELS, sample_cells

LABELS = list(BULK_LABELS.values())

pytestmark = [
    # Other people's notes on their own plans, raised while they run.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:n_jobs value 1 overridden:UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def no_windows():
    with mpl.rc_context({"backend": "agg"}):
        yield


@pytest.fixture(scope="module")
def sample():
    """The sample; read only."""
    return sample_cells()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A tiny model that knows the sample's genes by their symbols."""
    return save_sample_model(tmp_path_factory.mktemp("hub") / "langcell-sample")


def test_the_sample_has_whole_counts_of_the_right_depth(sample):
    counts = sample.X
    assert sample.shape == (700, 765)
    assert counts.dtype == np.float32
    assert_array_equal(counts.data, np.rint(counts.data))
    assert counts.data.min() >= 1
    depth, known = sample.obs["n_counts"].to_numpy(), np.asarray(counts.sum(1)).ravel()
    assert (known > 0).all()
    assert (known <= depth).all()  # the depth counts all genes, and the sample kept some of them


def test_the_counts_make_the_sample_s_values_again(sample):
    expected = sc.datasets.pbmc68k_reduced().raw.X.toarray()
    again = np.log1p(sample.X.toarray() * (10_000 / sample.obs["n_counts"].to_numpy())[:, None])
    assert np.abs(again - expected).max() < 1e-3


def test_another_sample_is_refused(monkeypatch):
    other = sc.datasets.pbmc68k_reduced()
    other.obs["n_counts"] *= 1.37
    monkeypatch.setattr(sc.datasets, "pbmc68k_reduced", lambda: other)
    with pytest.raises(ValueError, match="do not come back as whole counts"):
        sample_cells()


def test_every_population_is_a_name_of_the_cell_ontology(sample):
    assert set(BULK_LABELS) == set(sample.obs["bulk_labels"])
    assert sample.obs["cell_type"].tolist() == [BULK_LABELS[name] for name in sample.obs["bulk_labels"]]
    ontology = Ontology.cellxgene()
    for label in LABELS:
        found = ontology.find(label, prefix="CL")
        assert found is not None, label
        assert found[0].name == label


def test_summary_table():
    named = pd.Series(["B cell", "B cell", "T cell", "B cell"])
    truth = pd.Series(["B cell", "T cell", "T cell", "B cell"])
    table = summary_table(named, truth, pd.Series([0.5, 0.7, 0.9, 0.6]), ["T cell", "neuron", "B cell"])
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [("B cell", "3", "0.60", "67%"), ("T cell", "1", "0.90", "100%"), ("neuron", "0", "", "")]


def test_long_names_stand_once_in_the_comparison(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    names = np.random.default_rng(0).choice(["B cell", "T cell"], 60)
    draw_confusion(pd.Series(names), pd.Series(names[::-1]), ["B cell", "T cell"], tmp_path / "confusion.png")
    (axis,) = drawn[0].axes
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "2"]
    assert axis.get_yticklabels()[0].get_text() == f"B cell ({(names == 'B cell').sum()})  1"


@pytest.mark.slow
def test_the_demo_from_end_to_end(model_dir, tmp_path):
    result = CliRunner().invoke(app, ["demo", "-o", str(tmp_path / "demo"), "--model", str(model_dir)])
    assert result.exit_code == 0, result.output
    assert "700 cells, 10 labels" in result.stdout
    assert "mean confidence" in result.stdout
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        "cells.png",
        "confusion.png",
        "pbmc_named.h5ad",
    ]
    written = anndata.read_h5ad(tmp_path / "demo" / "pbmc_named.h5ad")
    assert list(langcell.score_table(written).columns) == LABELS
    assert written.obs["cell_type"].notna().all()
    assert written.uns["langcell"]["gene_coverage"] == 1


@pytest.mark.slow
@pytest.mark.skipif(not bundled_model_folder().is_dir(), reason="the bundled weights are not there yet")
def test_the_bundled_weights_name_the_sample(tmp_path):
    cells = run_demo(tmp_path, device="cpu")
    accuracy = np.mean(cells.obs["langcell_label"].astype(str) == cells.obs["cell_type"].astype(str))
    assert accuracy > 0.45  # the largest population holds 240 of 700: 0.34
