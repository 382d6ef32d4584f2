import matplotlib as mpl
import numpy as np
import pytest
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
