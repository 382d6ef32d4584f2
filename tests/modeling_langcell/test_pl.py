import matplotlib as mpl
import numpy as np
import pytest
from tiny_evidence import TYPES, markers_of, typed_cells, typed_model, typed_reference
from tiny_named import named_cells, refined_cells

import langcell

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:No data for colormapping"),
]


@pytest.fixture(autouse=True)
def no_windows():
    with mpl.rc_context({"backend": "agg"}):
        yield
        mpl.pyplot.close("all")


def test_a_map_is_made_once_and_kept():
    cells = named_cells(30)
    axes = langcell.pl.map(cells, show=False)
    assert axes.get_title() == "label"
    made = cells.obsm["X_langcell_umap"]
    langcell.pl.map(cells, "confidence", show=False)
    assert cells.obsm["X_langcell_umap"] is made


def test_the_map_of_the_file_is_taken_where_there_is_one():
    cells = named_cells(30)
    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(30, 2))
    axes = langcell.pl.map(cells, show=False)
    assert "X_langcell_umap" not in cells.obsm
    points = np.concatenate([drawn.get_offsets() for drawn in axes.collections if len(drawn.get_offsets())])
    assert {tuple(point) for point in points} == {tuple(point) for point in cells.obsm["X_umap"]}


@pytest.mark.parametrize("by", ["alone", "novelty", "leiden"])
def test_whatever_there_is_can_be_shown(by):
    cells = refined_cells(30)
    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(30, 2))
    assert langcell.pl.map(cells, by, show=False).get_title() == by


@pytest.mark.parametrize("by", ["label", "leiden"])
def test_evidence_shows_the_genes_of_each_group_beside_each_other(by):
    cells, model = typed_cells(), typed_model(typed_reference())
    options = {"label_column": "label"} if by == "label" else {"label_column": "label", "cluster_column": "leiden"}
    found = langcell.explain(cells, model=model, progress=False, **options)
    axes = langcell.pl.evidence(cells, found=found, genes_per_label=2, show=False)["mainplot_ax"]
    shown = [text.get_text() for text in axes.get_xticklabels()]
    assert len(shown) == 2 * len(TYPES)
    for place, group in enumerate(found.groups):
        assert set(shown[2 * place : 2 * place + 2]) <= set(markers_of(group.label))


@pytest.mark.parametrize("by", ["label", "cluster", "my_types"])
def test_evidence_of_a_column_that_is_not_there_is_said(by):
    cells = typed_cells(2)
    del cells.obs["leiden"]
    with pytest.raises(ValueError, match="legal are label, cluster and any column of obs with labels"):
        langcell.pl.evidence(cells, by)


@pytest.mark.parametrize(
    ("by", "options", "message"),
    [
        pytest.param("novelty", {}, "legal are label, confidence, any column of obs", id="column"),
        pytest.param("label", {"basis": "X_tsne"}, "obsm has no 'X_tsne'; it has X_langcell", id="basis"),
    ],
)
def test_what_is_not_there_is_said(by, options, message):
    with pytest.raises(ValueError, match=message):
        langcell.pl.map(named_cells(8), by, **options)
