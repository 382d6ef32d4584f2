from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from numpy.testing import assert_array_equal

from langcell.processing.cells import row_blocks
from langcell.processing.cells.anndata_output import write_annotated
from langcell.processing.cells.row_blocks import RowBlocks, regrouped

MATRIX = np.arange(28, dtype=np.float32).reshape(7, 4)
NAMES = ["B cell", "NK/T cell", "other", "Zelle"]


def in_blocks(*ends: int, columns: list[str] | None = None) -> RowBlocks:
    return RowBlocks(7, 4, lambda: np.split(MATRIX, ends), columns)


def write_cells(path: Path) -> Path:
    cells = AnnData(np.ones((7, 2), dtype=np.float32), obs=pd.DataFrame(index=[f"c{i}" for i in range(7)]))
    cells.write_h5ad(path) if path.suffix == ".h5ad" else cells.write_zarr(path)
    return path


@pytest.mark.parametrize("ends", [(), (3,), (1, 2, 3, 4, 5, 6)])
def test_in_memory_it_is_the_whole(ends):
    index = pd.Index([f"c{i}" for i in range(7)])
    assert_array_equal(in_blocks(*ends).to_memory(index), MATRIX)
    table = in_blocks(*ends, columns=NAMES).to_memory(index)
    assert isinstance(table, pd.DataFrame)
    assert table.equals(pd.DataFrame(MATRIX, index=index, columns=NAMES))


@pytest.mark.parametrize("bytes_per_block", [1, 2 * 4 * 4, 1 << 24])
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
def test_a_file_holds_what_anndata_would_write(tmp_path, monkeypatch, suffix, bytes_per_block):
    monkeypatch.setattr(row_blocks, "_BYTES_PER_BLOCK", bytes_per_block)
    source, output = write_cells(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}"
    obsm = {"scores": in_blocks(3, 5, columns=NAMES), "embeddings": in_blocks(4)}
    for _ in range(2):  # the second time over itself
        write_annotated(source, output, obs={}, obsm=obsm, uns={})
        source = output
    written = anndata.read_h5ad(output) if suffix == ".h5ad" else anndata.read_zarr(output)
    assert_array_equal(written.obsm["embeddings"], MATRIX)
    assert written.obsm["embeddings"].dtype == np.float32
    scores = written.obsm["scores"]
    assert list(scores.columns) == ["B cell", "NK_T cell", "other", "Zelle"]
    assert list(scores.index) == list(written.obs_names)
    assert_array_equal(scores, MATRIX)


def test_the_marks_in_the_file_are_anndata_s_own(tmp_path):
    source = write_cells(tmp_path / "in.h5ad")
    whole = pd.DataFrame(MATRIX, index=[f"c{i}" for i in range(7)], columns=NAMES)
    write_annotated(source, tmp_path / "blocks.h5ad", obs={}, obsm={"s": in_blocks(2, columns=NAMES)}, uns={})
    write_annotated(source, tmp_path / "whole.h5ad", obs={}, obsm={"s": whole}, uns={})
    with h5py.File(tmp_path / "blocks.h5ad") as blocks, h5py.File(tmp_path / "whole.h5ad") as expected:
        for name in ("obsm/s", "obsm/s/other", "obsm/s/_index"):
            found = {key: np.asarray(value).tolist() for key, value in blocks[name].attrs.items()}
            assert found == {key: np.asarray(value).tolist() for key, value in expected[name].attrs.items()}
        assert blocks["obsm/s/other"].dtype == expected["obsm/s/other"].dtype


def test_a_zarr_chunk_is_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(row_blocks, "_BYTES_PER_BLOCK", 3 * 4 * 4)
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    in_blocks(1).write(group, "m")
    assert group["m"].chunks == (3, 4)


def test_another_number_of_cells_is_refused(tmp_path):
    source = write_cells(tmp_path / "in.h5ad")
    short = RowBlocks(6, 4, lambda: [MATRIX[:6]])
    with pytest.raises(ValueError, match="has 6 rows, but there are 7 cells; give a row a cell"):
        write_annotated(source, tmp_path / "out.h5ad", obs={}, obsm={"s": short}, uns={})
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_regrouped_blocks_have_the_size_asked_for(rows):
    blocks = list(regrouped(np.split(MATRIX, (1, 4)), rows))
    assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
    assert_array_equal(np.concatenate(blocks), MATRIX)
