from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from scipy import sparse

from langcell.processing.cells import matrix_rows
from langcell.processing.cells.matrix_rows import CscRows, CsrRows, DenseRows, MatrixRows

MATRIX = sparse.random(23, 11, density=0.3, format="csr", random_state=np.random.default_rng(0), dtype=np.float32)


def on_disk(path: Path, form: str) -> MatrixRows:
    file = h5py.File(path / "matrix.h5", "w")
    if form == "dense":
        return DenseRows(file.create_dataset("x", data=MATRIX.toarray(), chunks=(4, 4), compression="gzip"))
    stored = MATRIX.asformat(form)
    arrays = [file.create_dataset(name, data=getattr(stored, name)) for name in ("data", "indices", "indptr")]
    return (CsrRows if form == "csr" else CscRows)(*arrays, shape=MATRIX.shape)


def in_memory(form: str) -> MatrixRows:
    if form == "dense":
        return DenseRows(MATRIX.toarray())
    stored = MATRIX.asformat(form)
    return (CsrRows if form == "csr" else CscRows)(stored.data, stored.indices, stored.indptr, shape=MATRIX.shape)


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_read_gives_the_rows(form: str, place: str, tmp_path: Path) -> None:
    rows = on_disk(tmp_path, form) if place == "disk" else in_memory(form)
    assert rows.shape == MATRIX.shape
    for start, stop in [(0, 23), (0, 1), (5, 5), (20, 23), (3, 17), (0, 4)]:
        part = rows.read(start, stop)
        np.testing.assert_array_equal(part.toarray(), MATRIX[start:stop].toarray())


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_read_is_the_same_whatever_the_size_of_blocks_and_bands(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_rows, "BLOCK_SIZE", 7)
    monkeypatch.setattr(matrix_rows, "BAND_SIZE", 10)
    rows = in_memory(form)
    np.testing.assert_array_equal(rows.read(2, 21).toarray(), MATRIX[2:21].toarray())
    np.testing.assert_array_equal(rows.read(0, 3).toarray(), MATRIX[0:3].toarray())  # back to an earlier band


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_read_shares_no_memory_with_the_source(form: str) -> None:
    rows = in_memory(form)
    rows.read(0, 23).data[:] = -1
    np.testing.assert_array_equal(rows.read(0, 23).toarray(), MATRIX.toarray())


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_sample_sees_first_middle_and_last(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_rows, "SAMPLE_SIZE", 11)
    assert [len(block) for block in in_memory(form).sample()] == [11, 11, 11]
    monkeypatch.setattr(matrix_rows, "SAMPLE_SIZE", 1000)
    assert sum(float(block.sum()) for block in in_memory(form).sample()) == pytest.approx(float(MATRIX.sum()))


@pytest.mark.parametrize(
    ("given", "expected"), [("?", "uint8"), ("f2", "float32"), (">f4", "float32"), (">i8", "int64"), ("u2", "uint16")]
)
@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_types_that_scipy_cannot_compute_with_are_converted(form: str, given: str, expected: str) -> None:
    values = np.array([[1, 0], [0, 1]]).astype(given)
    rows = DenseRows(values)
    if form != "dense":
        stored = sparse.eye(2, format="csr")
        rows = (CsrRows if form == "csr" else CscRows)(
            np.ones(2).astype(given), stored.indices, stored.indptr, shape=(2, 2)
        )
    part = rows.read(0, 2)
    assert part.dtype == np.dtype(expected)
    assert part.dtype.isnative
    np.testing.assert_array_equal(part.toarray(), [[1, 0], [0, 1]])


def test_no_stored_value_at_all() -> None:
    empty = sparse.csc_matrix((3, 2), dtype=np.float32)
    rows = CscRows(empty.data, empty.indices, empty.indptr, shape=(3, 2))
    assert rows.read(0, 3).nnz == 0
    assert list(rows.sample()) == []


@pytest.mark.parametrize("reader", [CsrRows, CscRows])
@pytest.mark.parametrize(
    ("indices", "indptr"),
    [
        pytest.param([0, 1], [0, 1], id="too_few_pointers"),
        pytest.param([0, 1], [0, 2, 1], id="falling_pointers"),
        pytest.param([0, 1], [0, 1, 3], id="pointers_beyond_the_values"),
        pytest.param([0, 2], [0, 1, 2], id="index_out_of_range"),
        pytest.param([0, -1], [0, 1, 2], id="negative_index"),
    ],
)
def test_damaged_matrix_is_refused(
    reader: type[CsrRows] | type[CscRows], indices: list[int], indptr: list[int]
) -> None:
    with pytest.raises(ValueError, match="damaged"):
        reader(np.ones(2), np.array(indices), np.array(indptr), shape=(2, 2)).read(0, 2)


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("part", ["data", "indices"])
@pytest.mark.parametrize("shards", [pytest.param(None, id="files_of_one_chunk"), pytest.param((20,), id="shards")])
def test_a_zarr_folder_that_lacks_a_file_is_refused(form: str, part: str, shards, tmp_path: Path) -> None:
    # zarr itself reads zeros: counts would vanish, or all be those of the first gene.
    stored = MATRIX.asformat(form)
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    for name in ("data", "indices", "indptr"):
        group.create_array(name, data=getattr(stored, name), chunks=(10,), shards=shards)
    reader = CsrRows if form == "csr" else CscRows
    arrays = [group[name] for name in ("data", "indices", "indptr")]
    np.testing.assert_array_equal(reader(*arrays, shape=MATRIX.shape).read(0, 23).toarray(), MATRIX.toarray())
    (tmp_path / "x.zarr" / part / "c" / "1").unlink()
    with pytest.raises(ValueError, match=rf"incomplete \(\d+ of \d+ chunks of /{part} are missing\); copy the zarr"):
        reader(*arrays, shape=MATRIX.shape)
