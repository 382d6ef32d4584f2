from pathlib import Path

import pytest

from langcell.inference.naming.outputs import named_output


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ("a/pbmc.h5ad", "pbmc_named.h5ad"),
        ("cells.h5ad.gz", "cells_named.h5ad"),
        ("filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix_named.h5ad"),
        ("runs/filtered_feature_bc_matrix", "filtered_feature_bc_matrix_named.h5ad"),
        ("atlas.v2.zarr/", "atlas.v2_named.h5ad"),
    ],
)
def test_the_output_is_called_after_the_input(cells, name):
    assert named_output(cells) == Path(name)
