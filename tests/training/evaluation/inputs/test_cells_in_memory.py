import anndata
import numpy as np
import pandas as pd
import pytest
import tiny
import tiny_evaluation

from langcell.loading.load import load
from langcell.training.evaluation.inputs.cells_in_memory import embed_cells, memory_reading, read_cells, source_options

VOCABULARY = tiny.tiny_vocabulary()


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")


def test_chosen_rows_are_those_of_the_file(cells):
    whole, few = anndata.read_h5ad(cells), read_cells(cells, {}, vocabulary=VOCABULARY, rows=np.array([1, 7, 35]))
    np.testing.assert_array_equal(few.X.toarray(), whole.X[[1, 7, 35]].toarray())
    assert few.obs["cell_type"].tolist() == whole.obs["cell_type"].iloc[[1, 7, 35]].tolist()
    assert few.obs_names.tolist() == ["1", "7", "35"]


def test_a_draw_depends_on_the_seed_alone(cells):
    drawn = [
        read_cells(cells, {}, vocabulary=VOCABULARY, max_cells=10, seed=seed).obs_names.tolist() for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 10
    assert read_cells(cells, {}, vocabulary=VOCABULARY, max_cells=1000).n_obs == 36


def test_reading_options_are_parted_between_file_and_memory(cells):
    given = {"x_is": "counts", "layer": None, "device": "cpu", "max_batch_tokens": 64}
    assert source_options(given) == {"x_is": "counts", "layer": None}
    read = read_cells(cells, source_options(given), vocabulary=VOCABULARY)
    assert memory_reading(read, given) == {
        "device": "cpu",
        "max_batch_tokens": 64,
        "x_is": "counts",
        "gene_column": "gene",
    }


def test_embedding_leaves_the_cells_alone(cells, tiny_model_dir):
    read = read_cells(cells, {}, vocabulary=VOCABULARY)
    found = embed_cells(read, load(tiny_model_dir), {"device": "cpu", "progress": False})
    assert found.projected.shape[0] == found.hidden.shape[0] == read.n_obs
    np.testing.assert_allclose(np.linalg.norm(found.projected, axis=1), 1, atol=1e-5)
    assert not read.obsm
    assert "langcell" not in read.uns


def test_cells_in_memory_have_the_genes_that_the_file_is_read_by(cells, tmp_path):
    renamed = anndata.read_h5ad(cells)
    ids = list(renamed.var_names)
    renamed.var = pd.DataFrame({"gene_ids": ids}, index=[f"renamed{i}" for i in range(len(ids))])
    renamed.write_h5ad(tmp_path / "renamed.h5ad")
    read = read_cells(tmp_path / "renamed.h5ad", {}, vocabulary=VOCABULARY, rows=np.array([0, 3]))
    assert read.var["gene"].tolist() == ids
