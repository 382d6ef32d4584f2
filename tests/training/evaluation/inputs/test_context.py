import anndata
import numpy as np
import pytest
import scipy.sparse
import tiny
import tiny_evaluation

import langcell
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.inputs.expression import log_normalize


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")


@pytest.fixture
def context(cells, tiny_model_dir):
    return EvaluationContext(cells, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)


def test_embeddings_are_those_of_embed(context, cells, tiny_model_dir):
    adata = anndata.read_h5ad(cells)
    langcell.embed(adata, model=tiny_model_dir, hidden=True, device="cpu", dtype="float32", progress=False)
    np.testing.assert_allclose(context.embeddings.projected, adata.obsm["X_langcell"], atol=1e-5)
    np.testing.assert_allclose(context.embeddings.hidden, adata.obsm["X_langcell_hidden"], atol=1e-4)


def test_scores_of_the_file_and_of_cells_in_memory_agree_and_are_kept(context, cells, tiny_model_dir):
    labels = context.labelled.labels
    from_file = context.scored(labels)
    assert context.scored(labels) is from_file
    assert "cells" not in context.__dict__  # a large file is read in chunks
    other = EvaluationContext(cells, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)
    assert other.cells.n_obs == 36
    np.testing.assert_allclose(other.scored(labels).similarity, from_file.similarity, atol=1e-5)


def test_some_rows_of_a_file_are_embedded_alike_without_the_others(context):
    rows = np.array([0, 5, 35])
    found = context.embed_rows(rows)
    assert "cells" not in context.__dict__
    np.testing.assert_allclose(found, context.embeddings.projected[rows], atol=1e-5)
    np.testing.assert_array_equal(context.embed_rows(rows), context.embeddings.projected[rows])


def test_a_draw_of_the_cells_is_the_same_for_everything(cells, tiny_model_dir):
    options = {"model": tiny_model_dir, "label_column": "cell_type", "device": "cpu", "progress": False}
    few = EvaluationContext(cells, max_cells=10, seed=3, **options)
    again = EvaluationContext(cells, max_cells=10, seed=3, **options)
    assert few.cells.n_obs == len(few.labelled.truth) == len(few.embeddings.projected) == 10
    np.testing.assert_array_equal(few.cells.X.toarray(), again.cells.X.toarray())
    other = EvaluationContext(cells, max_cells=10, seed=4, **options)
    assert (few.cells.X != other.cells.X).nnz
    assert EvaluationContext(cells, max_cells=1000, **options).cells.n_obs == 36


@pytest.mark.parametrize("x_is", ["log1p", "linear"])
def test_values_that_are_no_counts_are_linear_in_memory(tmp_path, cells, tiny_model_dir, x_is):
    adata = anndata.read_h5ad(cells)
    linear = scipy.sparse.csr_matrix(adata.X, dtype=np.float32) * np.float32(0.5)
    adata.X = np.log1p(linear) if x_is == "log1p" else linear
    adata.write_h5ad(path := tmp_path / "other.h5ad")
    context = EvaluationContext(
        path, model=tiny_model_dir, label_column="cell_type", x_is=x_is, device="cpu", progress=False
    )
    np.testing.assert_allclose(context.cells.X.toarray(), linear.toarray(), rtol=1e-4)
    assert context.memory_reading["x_is"] == "linear"
    plain = EvaluationContext(cells, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)
    np.testing.assert_allclose(context.embeddings.projected, plain.embeddings.projected, atol=1e-4)
    np.testing.assert_allclose(
        log_normalize(context.cells.X).toarray(), plain.log_counts.toarray(), rtol=1e-3, atol=1e-5
    )
    assert context.describe("few-shot", context.embeddings.settings)["data"]["x_is"] == x_is


def test_other_labels_share_the_cells_and_the_model(context):
    embeddings = context.embeddings
    other = context.with_labels(label_column="disease", label_ids_column=None, labels_file=None)
    assert other.embeddings is embeddings
    assert other.loaded is context.loaded
    assert other.labelled.names == ["lung adenocarcinoma", "normal"]
    assert context.labelled.names == list(tiny_evaluation.TYPES)


def test_texts_are_embedded_alike_in_any_batch(context):
    texts = [f"cell type: {'b ' * n}cell" for n in range(1, 8)] * 12
    together = context.embed_texts(texts)
    np.testing.assert_allclose(together[:7], context.embed_texts(texts[:7]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


def test_the_facts_say_which_data_and_model(context):
    facts = context.describe("zero-shot", context.embeddings.settings, context.labelled)
    assert facts["model"]["vocabulary_fingerprint"] == tiny.tiny_vocabulary().fingerprint
    assert facts["data"]["labelled_cells"] == 36
    assert facts["data"]["cells_in_file"] == 36
    assert [label["support"] for label in facts["labels"]] == [12, 12, 12]
    assert {"langcell", "torch", "peft", "scanpy"} <= facts["versions"].keys()


def test_a_missing_label_column_and_too_few_cells_are_refused(cells, tiny_model_dir):
    with pytest.raises(ValueError, match=r"name it \(--label-column\)"):
        EvaluationContext(cells, model=tiny_model_dir).read_labels()
    with pytest.raises(ValueError, match="max_cells is 1; give at least 2"):
        EvaluationContext(cells, max_cells=1)
