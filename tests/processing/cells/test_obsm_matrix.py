import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from langcell.processing.cells.obsm_matrix import read_obsm

VALUES = np.array([[1.0, -2.0], [0.5, 3.0], [4.0, 0.0]])
NAMES = ["a", "b", "c"]


def cells(**obsm) -> AnnData:
    return AnnData(np.ones((3, 2), dtype=np.float32), obs=pd.DataFrame(index=NAMES), obsm=obsm)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(VALUES, id="array"),
        pytest.param(csr_matrix(VALUES), id="sparse"),
        pytest.param(pd.DataFrame(VALUES, index=NAMES, columns=["x", "y"]), id="table"),
    ],
)
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("kind", ["memory", "h5ad", "zarr"])
def test_it_reads_every_kind_of_matrix(stored, kind, tmp_path):
    source = adata = cells(X_pca=stored)
    if kind == "h5ad":
        adata.write_h5ad(source := tmp_path / "cells.h5ad")
    elif kind == "zarr":
        adata.write_zarr(source := tmp_path / "cells.zarr")
    found = read_obsm(source, "X_pca")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VALUES.astype(np.float32))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        pytest.param({}, r"has no obsm 'X_pca'; it has none\.", id="none"),
        pytest.param({"X_umap": VALUES}, r"has no obsm 'X_pca'; it has X_umap\.", id="another"),
        pytest.param({"X_pca": VALUES * [[1], [np.nan], [1]]}, "has 1 rows with NaN .* the first is row 1", id="nan"),
        pytest.param({"X_pca": VALUES * [[1], [1], [0]]}, "of zeros alone; the first is row 2", id="zeros"),
        pytest.param(
            {"X_pca": pd.DataFrame({"x": list("xyz")}, index=NAMES)}, "has to be a table of numbers", id="words"
        ),
    ],
)
def test_a_matrix_that_cannot_be_used_is_one_line(stored, message):
    with pytest.raises(ValueError, match=message):
        read_obsm(cells(**stored), "X_pca")
