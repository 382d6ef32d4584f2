import anndata
import numpy as np
import pandas as pd
import pytest
from tiny_named import LABELS, named_cells, refined_cells

from langcell.processing.cells.cell_tables import FrameTable
from langcell.reporting.contents import best_labels, counts_by_sample, drawn_rows, found_sample_column, read_named

N_CELLS = 60


@pytest.fixture(scope="module")
def cells():
    return named_cells(N_CELLS)


@pytest.mark.parametrize("kind", ["memory", "h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data", "ignore:zarr v3 autosharding")
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_all_that_a_report_shows_is_read(cells, tmp_path, kind):
    source = cells
    if kind != "memory":
        source = tmp_path / f"named.{kind}"
        cells.write_h5ad(source) if kind == "h5ad" else cells.write_zarr(source)
    named = read_named(source)
    assert named.labels.astype(str).tolist() == cells.obs["langcell_label"].astype(str).tolist()
    np.testing.assert_allclose(named.confidence, cells.obs["langcell_confidence"])
    assert named.sample_column == "donor_id"
    assert named.samples is not None
    assert named.samples.astype(str).tolist() == cells.obs["donor_id"].astype(str).tolist()
    assert named.term_ids["B cell"] == "CL:0000236"
    assert named.without_definition == LABELS[-1:]
    # Cells of the map are in another order, but each has its own name, label and scores.
    scores = pd.DataFrame(cells.obsm["langcell_scores"], index=cells.obs_names, columns=pd.Index(LABELS))
    for name, label, top, values in zip(
        named.drawn.names, named.drawn.labels, named.drawn.top_labels, named.drawn.top_scores, strict=True
    ):
        best = scores.loc[name].dropna().sort_values(ascending=False)[:3]
        assert label == (best.index[0] if len(best) else "unassigned")
        assert list(filter(None, top)) == list(best.index)
        np.testing.assert_allclose(values[: len(best)], best)


def test_tables_of_older_files_are_read_as_well(cells, tmp_path):
    older = cells.copy()
    older.obsm["langcell_scores"] = pd.DataFrame(
        cells.obsm["langcell_scores"], index=cells.obs_names, columns=pd.Index(LABELS)
    )
    older.write_h5ad(tmp_path / "named.h5ad")
    np.testing.assert_array_equal(
        read_named(tmp_path / "named.h5ad").drawn.top_labels, read_named(cells).drawn.top_labels
    )


def test_cells_without_a_label_or_a_sample_have_a_name_that_says_so(cells):
    some = cells.copy()
    for column in ("langcell_label", "donor_id"):
        some.obs[column] = some.obs[column].where(np.arange(N_CELLS) > 2).astype("category")
    named = read_named(some)
    assert named.labels.tolist()[:4] == ["(none)"] * 3 + [cells.obs["langcell_label"].iloc[3]]
    assert named.samples.tolist()[:3] == ["(none)"] * 3
    assert sum(label == "(none)" for label in named.drawn.labels) == 3


def test_of_many_cells_some_are_drawn(cells):
    named = read_named(cells, most_drawn=20)
    assert (len(named.drawn), named.n_cells) == (20, N_CELLS)
    assert read_named(cells, most_drawn=20).drawn.names == named.drawn.names
    assert len(set(drawn_rows(1000, 100, seed=1))) == 100


def test_best_labels_leave_out_what_was_not_scored():
    scores = np.array([[0.1, np.nan, 0.3, 0.2], [np.nan, np.nan, np.nan, np.nan], [0.2, 0.2, 0.2, 0.2]])
    codes, values = best_labels(scores.T, np.arange(3))
    assert codes.tolist() == [[2, 3, 0], [-1, -1, -1], [0, 1, 2]]
    np.testing.assert_allclose(values, [[0.3, 0.2, 0.1], [np.nan] * 3, [0.2] * 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        pytest.param({"donor_id": ["a", "b"] * 4, "batch": ["x"] * 8}, "donor_id", id="the_likeliest"),
        pytest.param({"Sample": ["a", "b"] * 4}, "Sample", id="whatever_the_case"),
        pytest.param({"sample": list("abcdefgh"), "batch": ["x"] * 8}, "batch", id="a_sample_has_several_cells"),
        pytest.param({"sample": [None] * 8}, None, id="empty"),
        pytest.param({"cell_type": ["a"] * 8}, None, id="none"),
    ],
)
def test_the_column_of_the_samples_is_found(columns, expected):
    assert found_sample_column(FrameTable(pd.DataFrame(columns))) == expected


def test_cells_are_counted_by_sample_and_label():
    counts = counts_by_sample(pd.Categorical(["x", "y", "x"]), pd.Categorical(["B", "B", "T"], ["B", "NK", "T"]))
    assert counts.to_dict() == {"B": {"x": 1, "y": 1}, "T": {"x": 1, "y": 0}}


def without(name):
    adata = named_cells(8)
    if name in adata.obs:
        del adata.obs[name]
    elif name in adata.obsm:
        del adata.obsm[name]
    else:
        del adata.uns["langcell"][name]
    return adata


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        pytest.param(lambda: without("langcell_label"), {}, "no langcell_label; name them first", id="no_labels"),
        pytest.param(lambda: without("X_langcell"), {}, "no embeddings", id="no_embeddings"),
        pytest.param(lambda: without("labels"), {}, "does not say which labels", id="no_candidates"),
        pytest.param(
            lambda: named_cells(8), {"sample_column": "x"}, "no column 'x'; it has .*donor_id", id="sample_column"
        ),
        pytest.param(lambda: anndata.AnnData(np.ones((3, 2))), {}, "no embeddings", id="not_named"),
    ],
)
def test_what_cannot_be_shown_is_refused(source, options, message):
    with pytest.raises(ValueError, match=message):
        read_named(source(), **options)


@pytest.mark.parametrize("kind", ["memory", "h5ad"])
def test_what_refinement_adds_is_read(tmp_path, kind):
    cells = source = refined_cells(N_CELLS)
    if kind == "h5ad":
        source = tmp_path / "named.h5ad"
        cells.write_h5ad(source)
    named = read_named(source)
    np.testing.assert_allclose(named.novelty, cells.obs["langcell_novelty"])
    assert named.clusters is not None
    assert named.clusters["mixed"].tolist() == [False, True]
    obs = cells.obs.loc[named.drawn.names]
    assert named.drawn.alone.tolist() == obs["langcell_label_alone"].astype(str).tolist()
    assert named.drawn.clusters.tolist() == obs["leiden"].astype(str).tolist()
    assert [cells.obs_names[row] for row in named.drawn.rows] == list(named.drawn.names)


def test_the_file_s_own_map_is_taken(cells):
    own = cells.copy()
    own.obsm["X_umap"] = np.random.default_rng(0).normal(size=(N_CELLS, 2))
    named = read_named(own)
    assert named.has_own_map
    np.testing.assert_allclose(named.drawn.places, own.obsm["X_umap"][named.drawn.rows], rtol=1e-6)
    own.obsm["X_umap"][5] = np.nan  # a cell without a place would be missing from the map
    assert not read_named(own).has_own_map
    assert np.isfinite(read_named(own).drawn.places).all()
