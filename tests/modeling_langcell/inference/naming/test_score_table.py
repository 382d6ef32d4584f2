"""Scores with names, and what CELLxGENE asks of obs and obsm.

The rules are those of the published schema (cellxgene-schema 7.1: obs and obsm) and what `cellxgene launch` (1.3) needs
to open a file; both were run on a file of `annotate` when this was written.
"""

import re

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tiny import tiny_counts, tiny_gene_names

import langcell

LABELS = ["natural killer cell", "B cell", "NK/T doublet"]


@pytest.fixture(scope="module", params=["memory", "file"])
def named(request, tiny_model_dir, tmp_path_factory):
    cells = AnnData(tiny_counts(6), obs=pd.DataFrame(index=[f"cell{i}" for i in range(6)]))
    cells.var_names = tiny_gene_names()
    model = langcell.load(tiny_model_dir, device="cpu")
    if request.param == "memory":
        return langcell.annotate(cells, LABELS, model=model, rerank="full", progress=False)
    folder = tmp_path_factory.mktemp("named")
    cells.write_h5ad(folder / "cells.h5ad")
    langcell.annotate(
        folder / "cells.h5ad", LABELS, output=folder / "n.h5ad", model=model, rerank="full", progress=False
    )
    return anndata.read_h5ad(folder / "n.h5ad")


def test_a_row_a_cell_and_a_column_a_label(named):
    table = langcell.score_table(named)
    assert list(table.columns) == LABELS
    assert table.index.equals(named.obs_names)
    assert table.idxmax(axis=1).tolist() == named.obs["langcell_label"].astype(str).tolist()
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)


def test_cells_without_names_are_refused():
    with pytest.raises(ValueError, match="name its cells first"):
        langcell.score_table(AnnData(np.ones((2, 2))))


def test_categories_are_the_labels_in_their_order(named):
    column = named.obs["langcell_label"]
    assert list(column.cat.categories) == LABELS  # no cell is unassigned
    assert not column.isna().any()
    for name in ("langcell_label", "langcell_ontology_term_id"):
        categories = named.obs[name].cat.categories
        assert categories.is_unique
        assert {type(category) for category in categories} == {str}
    assert named.obs["langcell_confidence"].dtype == np.float32


def test_cellxgene_opens_it(named):
    for name, values in named.obsm.items():
        # A table stops it: `cellxgene launch` gives the cells another index, and the schema asks for numpy arrays.
        assert type(values) is np.ndarray, name
        assert values.ndim == 2
        assert values.shape[0] == named.n_obs
        assert values.shape[1] >= 2
        assert np.issubdtype(values.dtype, np.floating)
        assert not np.isinf(values).any()
        assert not np.isnan(values).all()
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]*", name.removeprefix("X_"))
    # What is drawn as a layout has the prefix; scores are none.
    assert [name for name in named.obsm if name.startswith("X_")] == ["X_langcell"]
    assert named.obsm["X_langcell"].dtype == np.float32
    assert not [key for key in named.uns if key.endswith("_colors")]
