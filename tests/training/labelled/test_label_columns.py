"""Columns of obs that hold no types are refused in one line that says why, and columns of types pass."""

import anndata
import numpy as np
import pandas as pd
import pytest

from langcell.training.labelled.label_columns import check_label_column

N_CELLS = 240


def cells(values) -> anndata.AnnData:
    obs = pd.DataFrame({"type": values, "batch": "a"}, index=[str(i) for i in range(N_CELLS)])
    return anndata.AnnData(np.ones((N_CELLS, 2), dtype=np.float32), obs=obs)


BARCODES = [f"AAAC-{i}" for i in range(N_CELLS)]
TYPES = ["B cell", "T cell", "monocyte"] * 80
CLUSTERS = np.arange(N_CELLS) % 24
SINGLE = "has only the type 'B cell' (240 cells)"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(TYPES, id="names"),
        pytest.param(pd.Categorical(TYPES), id="categories"),
        pytest.param(CLUSTERS, id="cluster numbers"),
        pytest.param(pd.Categorical(CLUSTERS), id="cluster numbers as categories"),
        pytest.param(pd.Categorical(np.where(CLUSTERS == 3, None, CLUSTERS)), id="a missing cluster number"),
        pytest.param(np.where(CLUSTERS == 3, np.nan, CLUSTERS), id="cluster numbers and NaN"),
        pytest.param([f"{i % 3}.{i % 2}" for i in range(N_CELLS)], id="subclusters as text"),
        pytest.param([True, False] * 120, id="yes and no"),
        pytest.param([None] * 230 + BARCODES[:10], id="a few types of one cell"),
        pytest.param([f"type {i % 120}" for i in range(N_CELLS)], id="two cells of each of many types"),
        pytest.param([None] * N_CELLS, id="none, which is refused elsewhere"),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_types_pass(tmp_path, values, in_file):
    data = cells(values)
    if in_file and any(value is not None for value in values):
        data.write_h5ad(tmp_path / "cells.h5ad")
        data = tmp_path / "cells.h5ad"
    check_label_column(data, "type")
    check_label_column(data, "absent")


def test_one_type_passes_where_there_are_other_candidates():
    check_label_column(cells(["B cell"] * N_CELLS), "type", least_types=1)
    with pytest.raises(ValueError, match="numbers with decimals"):
        check_label_column(cells([0.5] * N_CELLS), "type", least_types=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(np.linspace(0, 5, N_CELLS), "has numbers with decimals, such as 0.0209205", id="decimals"),
        pytest.param(
            pd.Categorical(np.where(CLUSTERS == 1, 0.5, 1.0)), "has numbers with decimals, such as 0.5", id="categories"
        ),
        pytest.param(np.array([None, 0.25] * 120, dtype=object), "decimals, such as 0.25", id="decimals as objects"),
        pytest.param(
            BARCODES, "has 240 different values, such as 'AAAC-0', in 240 cells, but types have 2", id="unique"
        ),
        pytest.param(np.arange(N_CELLS), "in 240 cells, but numbers that are types have 10 cells or more", id="counts"),
        pytest.param(np.arange(N_CELLS) % 60, "has 60 different values, such as '0'", id="numbers that repeat"),
        pytest.param(["B cell"] * N_CELLS, SINGLE, id="one type"),
        pytest.param(pd.Categorical(["B cell"] * N_CELLS, ["B cell", "T cell"]), SINGLE, id="one category used"),
        pytest.param(["B cell", None] * 120, "has only the type 'B cell' (120 cells)", id="one type and NaN"),
        pytest.param(["B cell", "unknown"] * 120, "only the type 'B cell' (120 cells)", id="one type and unknown"),
    ],
)
def test_other_columns_are_refused_by_file_and_column(tmp_path, values, message):
    data = cells(values)
    if not (isinstance(values, np.ndarray) and values.dtype == object):  # which no file holds
        data.write_h5ad(tmp_path / "cells.h5ad")
        data = tmp_path / "cells.h5ad"
    with pytest.raises(ValueError, match=r"obs\['type'\].* Name a column .* others of obs are batch\.$") as refused:
        check_label_column(data, "type")
    assert message in str(refused.value)
    assert str(refused.value).startswith("the AnnData: " if isinstance(data, anndata.AnnData) else f"{data}: ")
    assert "\n" not in str(refused.value)
