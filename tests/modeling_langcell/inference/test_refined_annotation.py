"""Names from the whole file in `langcell.annotate`: what is written, and what must not change it."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from tiny import save_tiny_folder
from tiny_groups import N_CELLS, SMALL, grouped_cells

import langcell
from langcell.loading.load import load

LABELS = ["natural killer cell", "B cell", "monocyte"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(save_tiny_folder(tmp_path_factory.mktemp("model") / "tiny", reference=True), device="cpu")


@pytest.fixture
def cells():
    return grouped_cells()


@pytest.fixture(scope="module")
def refined(loaded):
    """The cells named together; read only."""
    return langcell.annotate(grouped_cells(), LABELS, model=loaded, **SMALL)


def test_both_answers_are_written_and_what_was_done(refined):
    assert {"langcell_label", "langcell_label_alone", "langcell_novelty"} <= set(refined.obs)
    facts = refined.uns["langcell"]
    changed = (refined.obs["langcell_label"] != refined.obs["langcell_label_alone"]).sum()
    assert facts["refined"] is True
    assert facts["refined_cells"] == changed
    assert facts["refined_with_cells"] == N_CELLS
    assert 0 <= facts["cells_that_fit_no_label"] <= N_CELLS
    assert refined.obs["langcell_novelty"].between(0, 1).all()


def test_without_refinement_each_cell_has_the_name_that_it_has_alone(cells, refined, loaded):
    alone = langcell.annotate(cells, LABELS, model=loaded, refine="none", **SMALL)
    assert_array_equal(alone.obs["langcell_label"], refined.obs["langcell_label_alone"])
    assert_array_equal(alone.obsm["langcell_scores"], refined.obsm["langcell_scores"])
    assert alone.uns["langcell"]["refined"] is False
    assert "langcell_label_alone" not in alone.obs


@pytest.mark.parametrize(
    "options",
    [pytest.param({"rows_per_chunk": N_CELLS}, id="one_chunk"), pytest.param({"max_batch_tokens": 90}, id="batch")],
)
def test_chunks_and_batches_change_nothing(cells, refined, loaded, options):
    other = langcell.annotate(cells, LABELS, model=loaded, **SMALL | options)
    assert_array_equal(other.obs["langcell_label"], refined.obs["langcell_label"])
    for name in ("langcell_confidence", "langcell_novelty"):
        assert_allclose(other.obs[name], refined.obs[name], atol=1e-4)


def test_the_order_of_the_cells_changes_nothing(cells, refined, loaded):
    order = np.random.default_rng(0).permutation(N_CELLS)
    other = langcell.annotate(cells[order].copy(), LABELS, model=loaded, **SMALL)
    assert_array_equal(other.obs["langcell_label"], refined.obs["langcell_label"].iloc[order])
    for name in ("langcell_confidence", "langcell_novelty"):
        assert_allclose(other.obs[name], refined.obs[name].iloc[order], atol=1e-4)


def test_a_file_gives_what_an_object_gives(cells, refined, loaded, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    langcell.annotate(tmp_path / "cells.h5ad", LABELS, model=loaded, output=tmp_path / "out.h5ad", **SMALL)
    import anndata

    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert_array_equal(written.obs["langcell_label"], refined.obs["langcell_label"])
    assert_allclose(written.obs["langcell_novelty"], refined.obs["langcell_novelty"], atol=1e-6)


def test_few_cells_are_named_alone_and_the_log_says_so(loaded, caplog):
    with caplog.at_level("INFO", logger="langcell"):
        few = langcell.annotate(grouped_cells(20), LABELS, model=loaded, **SMALL)
    assert few.uns["langcell"]["refined"] is False
    assert "the file has 20 cells, and cells name each other from 100 on" in caplog.text


def test_the_log_says_how_many_cells_fit_none_of_the_labels(cells, loaded, caplog):
    with caplog.at_level("INFO", logger="langcell"):
        langcell.annotate(cells, LABELS, model=loaded, **SMALL)
    assert f"of {N_CELLS} cells fit none of these labels" in caplog.text


def test_known_cells_keep_their_label_and_the_others_follow(cells, loaded):
    cells.obs["known"] = ["B cell" if i % 3 == 0 and i < 30 else "monocyte" if i % 3 == 1 and i < 30 else ""
                          for i in range(N_CELLS)]  # fmt: skip
    named = langcell.annotate(cells, LABELS, model=loaded, known_column="known", **SMALL)
    label, known = named.obs["langcell_label"].astype(str), cells.obs["known"]
    assert (label[known != ""] == known[known != ""]).all()
    of_first = label[np.arange(N_CELLS) % 3 == 0]
    assert (of_first == "B cell").mean() > 0.9


def test_a_known_label_that_is_no_candidate_is_refused(cells, loaded):
    cells.obs["known"] = ["odd cell", *[""] * (N_CELLS - 1)]
    with pytest.raises(ValueError, match=r"has 'odd cell', which is none of the labels; they are"):
        langcell.annotate(cells, LABELS, model=loaded, known_column="known", **SMALL)


def test_each_cluster_gets_one_name(cells, loaded):
    named = langcell.annotate(cells, LABELS, model=loaded, cluster_column="leiden", **SMALL)
    table = pd.DataFrame(named.uns["langcell"]["clusters"])
    assert table["cluster"].tolist() == ["c0", "c1", "c2"]
    assert table["cells"].sum() == N_CELLS
    by_cluster = named.obs.groupby("leiden", observed=True)["langcell_cluster_label"].nunique()
    assert (by_cluster == 1).all()


def test_a_matrix_of_obsm_takes_the_place_of_the_counts(cells, loaded):
    cells.obsm["X_two"] = np.column_stack([np.arange(N_CELLS) % 3, np.arange(N_CELLS) % 2]) + 1.0
    named = langcell.annotate(cells, LABELS, model=loaded, refine_over="X_two", **SMALL)
    assert named.uns["langcell"]["refine_over"] == "X_two"


@pytest.mark.parametrize("correction", ["mean", "harmony"])
def test_batches_are_moved_onto_one_another(cells, loaded, caplog, correction):
    if correction == "harmony":
        pytest.importorskip("harmonypy")
    counts = cells.X.toarray()
    shifted = counts + 3.0 * (cells.obs["batch"] == "y").to_numpy()[:, None] * (np.arange(counts.shape[1]) % 2)
    cells.X = sparse.csr_matrix(shifted.astype(np.float32))
    how = {"model": loaded, "batch_column": "batch", "batch_correction": correction}
    with caplog.at_level("INFO", logger="langcell"):
        named = langcell.annotate(cells, LABELS, **how, **SMALL)
    assert named.uns["langcell"]["batch_column"] == "batch"
    assert named.uns["langcell"]["batch_correction"] == correction
    assert f"moved onto one another by {'their means' if correction == 'mean' else 'Harmony'}" in caplog.text
    again = langcell.annotate(cells.copy(), LABELS, **how, **SMALL | {"rows_per_chunk": 150})
    assert_array_equal(again.obs["langcell_label"], named.obs["langcell_label"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"refine": "much"}, r"refine is 'much'; legal are", id="refine"),
        pytest.param({"refine": "none", "batch_column": "batch"}, "refines no cell", id="batches_without"),
        pytest.param({"smooth": 1.0, "known_column": "batch"}, "smooth refines no cell", id="known_with_smoothing"),
        pytest.param({"batch_correction": "harmony"}, "without batch_column; name", id="correction_without_batches"),
        pytest.param({"batch_column": "day"}, "unknown batch column 'day'; obs has", id="no_batches"),
        pytest.param({"cluster_column": "day"}, "unknown cluster column 'day'; obs has", id="no_clusters"),
        pytest.param({"refine_over": "X_no"}, "no obsm 'X_no'", id="no_matrix"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(cells, loaded, options, message):
    with pytest.raises(ValueError, match=message):
        langcell.annotate(cells, LABELS, model=loaded, **SMALL | options)
    assert "langcell_label" not in cells.obs


def test_unknown_auto_goes_by_novelty_and_needs_reference_cells(cells, loaded, tiny_model_dir):
    named = langcell.annotate(cells, LABELS, model=loaded, unknown="auto", **SMALL)
    above = named.obs["langcell_novelty"] > named.uns["langcell"]["unknown_above_novelty"]
    assert_array_equal(named.obs["langcell_label"] == "unknown", above)
    with pytest.raises(ValueError, match="needs a model with reference cells"):
        langcell.annotate(grouped_cells(), LABELS, model=tiny_model_dir, device="cpu", unknown="auto", **SMALL)


def test_a_model_without_reference_cells_is_refined_from_its_own_similarities(cells, tiny_model_dir):
    named = langcell.annotate(cells, LABELS, model=tiny_model_dir, device="cpu", **SMALL)
    assert named.uns["langcell"]["refined"] is True
    assert "langcell_novelty" not in named.obs


def test_a_file_with_few_cells_that_have_known_genes_is_named_alone_and_nothing_is_lost(loaded, caplog):
    cells = grouped_cells()
    counts = cells.X.tolil()
    counts[10:] = 0
    counts[10:, -1] = 5  # of a gene that the model does not know
    cells.X = counts.tocsr()
    with caplog.at_level("INFO", logger="langcell"):
        named = langcell.annotate(cells, LABELS, model=loaded, **SMALL)
    assert "10 cells have known genes, and 100 are needed" in caplog.text
    assert (named.obs["langcell_label"] == "unassigned").sum() == N_CELLS - 10
    assert named.uns["langcell"]["refined"] is False


def test_the_log_says_how_labels_were_read(cells, loaded, caplog):
    with caplog.at_level("INFO", logger="langcell"):
        langcell.annotate(cells.copy(), ["B cell", "NK cell", "my odd cells"], model=loaded, progress=False)
    assert "Read as terms of the Cell Ontology: NK cell as natural killer cell (CL:0000623)." in caplog.messages
    assert "Not in the Cell Ontology, used as they are: my odd cells." in caplog.messages
    assert any("are in the model's vocabulary" in message for message in caplog.messages)
