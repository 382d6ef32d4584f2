import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import read_elem, write_elem

from langcell.processing.cells.cell_tables import CellTable, FrameTable, StoredTable

FRAME = pd.DataFrame(
    {
        "kind": pd.Categorical(["b", "a", None, "b", "a"]),
        "text": ["one", "two", "", "four", "fünf"],
        "number": np.arange(5) * 1.5,
        "flag": [True, False, True, True, False],
        "whole": pd.array([1, None, 3, 4, 5], dtype="Int64"),
    },
    index=[f"cell{i}" for i in range(5)],
)


@pytest.fixture(params=["memory", "h5ad", "zarr"])
def table(request, tmp_path: Path) -> CellTable:
    if request.param == "memory":
        return FrameTable(FRAME)
    root = h5py.File(tmp_path / "t.h5ad", "w") if request.param == "h5ad" else zarr.open_group(tmp_path / "t.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of zarr, about its next version
        write_elem(root, "obs", FRAME)
    return StoredTable(root["obs"], read_elem)


def test_what_is_there(table: CellTable) -> None:
    assert table.n_cells == 5
    assert table.columns == list(FRAME.columns)
    assert table.names(1, 3) == ["cell1", "cell2"]
    pd.testing.assert_frame_equal(table.whole(), FRAME, check_names=False)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (1, 4), (4, 5), (2, 2)])
def test_rows_of_every_kind_of_column(table: CellTable, start: int, stop: int) -> None:
    part = table.read(list(FRAME.columns), start, stop)
    assert list(part.index) == list(range(stop - start))
    for name in FRAME:
        expected = FRAME[name].iloc[start:stop].astype(object)
        assert [None if pd.isna(value) else value for value in part[name].astype(object)] == [
            None if pd.isna(value) else value for value in expected
        ]


def test_no_columns_still_have_rows(table: CellTable) -> None:
    assert table.read([], 1, 4).shape == (3, 0)


def test_rows_of_a_file_by_anndata(tmp_path: Path) -> None:
    anndata.AnnData(np.ones((5, 1)), obs=FRAME).write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad") as file:
        table = StoredTable(file["obs"], read_elem)
        assert table.read(["kind"], 1, 4)["kind"].astype(object).tolist()[0] == "a"
        assert table.read(["text"], 4, 5)["text"].tolist() == ["fünf"]
