"""Row slices of a cells x genes matrix, wherever it lies (memory, HDF5, zarr) and however it is stored.

Every reader here holds the rows that were asked for and little else, so a file of a million cells costs no more memory
than one of a thousand. Arrays are anything that has `shape`, `dtype` and slicing: `numpy.ndarray`, `h5py.Dataset`,
`zarr.Array`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from scipy import sparse

# How many stored values one look at the first, middle or last part of a matrix reads.
SAMPLE_SIZE = 200_000
# Upper bound on the values of a dense block, and of a block of a column-wise file, that are in memory at once.
BLOCK_SIZE = 4_000_000
# Upper bound on the entries that a row band of a column-wise matrix keeps in memory (12 bytes each, 30 while built).
BAND_SIZE = 16_000_000


class MatrixRows(Protocol):
    """Reader of consecutive rows: what `CellSource` needs to know of a matrix."""

    shape: tuple[int, int]
    dtype: np.dtype

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """Return the rows `start` to `stop` as a new (stop - start) x genes matrix that shares no memory with the
        source."""
        ...

    def sample(self) -> Iterator[np.ndarray]:
        """Return the stored values from the first, the middle and the last part of the matrix, as flat arrays."""
        ...


class DenseRows:
    """Rows of a dense array, read in blocks so that a wide chunk never exists densely as a whole."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape: tuple[int, int] = (int(array.shape[0]), int(array.shape[1]))
        self.dtype = np.dtype(array.dtype)

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `MatrixRows.read`."""
        step = max(1, BLOCK_SIZE // max(1, self.shape[1]))
        blocks = [
            sparse.csr_matrix(_computable(np.asarray(self.array[first : min(first + step, stop)])))
            for first in range(start, stop, step)
        ]
        if not blocks:
            return sparse.csr_matrix((0, self.shape[1]), dtype=np.float32)
        return blocks[0] if len(blocks) == 1 else sparse.csr_matrix(sparse.vstack(blocks, format="csr"))

    def sample(self) -> Iterator[np.ndarray]:
        """See `MatrixRows.sample`."""
        for first, last in _sample_spans(self.shape[0], max(1, SAMPLE_SIZE // max(1, self.shape[1]))):
            yield np.asarray(self.array[first:last]).ravel()


class CsrRows:
    """Rows of a compressed row matrix given as its three arrays: one contiguous read a slice."""

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self.data, self.indices, self.shape = data, indices, shape
        self.dtype = np.dtype(data.dtype)
        self.indptr = indptr  # read by rows as well: that of 100 million cells is 800 MB
        _check_chunks(data, indices if shape[1] > 1 else data, indptr)
        _check_indptr(indptr, n_pointers=shape[0], data=data, indices=indices)

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `MatrixRows.read`."""
        pointers = np.asarray(self.indptr[start : stop + 1]).astype(np.int64)
        first, last = int(pointers[0]), int(pointers[-1])
        data = _computable(_own(self.data[first:last]))
        indices = _own(self.indices[first:last])
        _check_indices(indices, self.shape[1], "gene")
        pointers -= first
        if last - first <= np.iinfo(np.int32).max and indices.dtype != np.int32:
            indices = indices.astype(np.int32)  # what scipy would do itself, after looking for the largest index
        return sparse.csr_matrix(
            (data, indices, pointers.astype(indices.dtype)), shape=(stop - start, self.shape[1]), copy=False
        )

    def sample(self) -> Iterator[np.ndarray]:
        """See `MatrixRows.sample`."""
        for first, last in _sample_spans(int(self.data.shape[0]), SAMPLE_SIZE):
            yield np.asarray(self.data[first:last])


class CscRows:
    """Rows of a compressed column matrix, gathered a band of rows at a time.

    The entries of one row are spread over the whole file, so a band (as many rows as hold `BAND_SIZE` entries) is
    gathered by one pass over the matrix and kept until rows outside it are asked for. Memory stays bounded; the price
    is one read of the matrix per band, and one to count the entries of each row. Small matrices are a single band.
    """

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self.data, self.indices, self.shape = data, indices, shape
        self.dtype = np.dtype(data.dtype)
        _check_chunks(data, indices if shape[0] > 1 else data, indptr)
        _check_indptr(indptr, n_pointers=shape[1], data=data, indices=indices)
        self.indptr = np.asarray(indptr[:]).astype(np.int64)
        self._row_ends: np.ndarray | None = None  # entries in rows 0..i, counted on first use
        self._band: tuple[int, int, sparse.csr_matrix] | None = None  # first row, end, rows

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `MatrixRows.read`."""
        parts, row = [], start
        while row < stop:
            first, band_end, band = self._band_holding(row)
            last = min(stop, band_end)
            parts.append(band[row - first : last - first].copy())
            row = last
        if not parts:
            return sparse.csr_matrix((0, self.shape[1]), dtype=np.float32)
        return parts[0] if len(parts) == 1 else sparse.csr_matrix(sparse.vstack(parts, format="csr"))

    def sample(self) -> Iterator[np.ndarray]:
        """See `MatrixRows.sample`."""
        for first, last in _sample_spans(int(self.data.shape[0]), SAMPLE_SIZE):
            yield np.asarray(self.data[first:last])

    def _band_holding(self, row: int) -> tuple[int, int, sparse.csr_matrix]:
        if self._band is None or not self._band[0] <= row < self._band[1]:
            self._band = None  # freed before the next one is built
            end = self._band_end(row)
            self._band = (row, end, self._gather(row, end))
        return self._band

    def _band_end(self, row: int) -> int:
        if self._row_ends is None:
            per_row = np.zeros(self.shape[0], dtype=np.int64)
            for first in range(0, int(self.indptr[-1]), BLOCK_SIZE):
                indices = np.asarray(self.indices[first : first + BLOCK_SIZE])
                _check_indices(indices, self.shape[0], "cell")
                per_row += np.bincount(indices, minlength=self.shape[0])
            self._row_ends = np.cumsum(per_row)
        before = int(self._row_ends[row - 1]) if row else 0
        return max(row + 1, int(np.searchsorted(self._row_ends, before + BAND_SIZE, side="right")))

    def _gather(self, start: int, stop: int) -> sparse.csr_matrix:
        values, rows, columns = [], [], []
        for first in range(0, int(self.indptr[-1]), BLOCK_SIZE):
            indices = np.asarray(self.indices[first : first + BLOCK_SIZE])
            inside = np.flatnonzero((indices >= start) & (indices < stop))
            values.append(_computable(np.asarray(self.data[first : first + BLOCK_SIZE]))[inside])
            rows.append((indices[inside] - start).astype(np.int32))
            columns.append((np.searchsorted(self.indptr, first + inside, side="right") - 1).astype(np.int32))
        shape = (stop - start, self.shape[1])
        if not values:
            return sparse.csr_matrix(shape, dtype=np.float32)
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csr_matrix(entries, shape=shape)


def _sample_spans(length: int, size: int) -> list[tuple[int, int]]:
    """Return the first, middle and last `size` of `length` positions; everything where they would overlap."""
    if length <= 3 * size:
        return [(0, length)] if length else []
    middle = (length - size) // 2
    return [(0, size), (middle, middle + size), (length - size, length)]


def _computable(values: np.ndarray) -> np.ndarray:
    """The values in a type that scipy computes with (it has no half precision, booleans or foreign byte orders)."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        return values.astype(np.float32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _own(values: Any) -> np.ndarray:
    """Values that may be changed in place: a slice of an array in memory is copied, what a file gave is new."""
    values = np.asarray(values)
    return values if values.flags.owndata else values.copy()


def _check_chunks(*arrays: Any) -> None:
    """Look for files of a zarr folder that are not there: zarr reads zeros in their place, without a word.

    Arrays of zeros are stored without files too, but no chunk of the counts of a sparse matrix, or of the numbers of
    their genes, is all zero. Dense matrices may have such chunks and cannot be checked.

    Raises:
        ValueError: Some are missing.
    """
    for array in arrays:
        whole, stored = getattr(array, "nchunks", 0), getattr(array, "nchunks_initialized", 0)
        if stored < whole:
            raise ValueError(
                f"the sparse matrix is incomplete ({whole - stored} of {whole} chunks of {array.name} are missing); "
                "copy the zarr folder again, with all of its files"
            )


def _check_indptr(indptr: Any, *, n_pointers: int, data: Any, indices: Any) -> None:
    """Look through the pointers, a block at a time.

    Raises:
        ValueError: They cannot be those of this matrix.
    """
    whole, last = int(indptr.shape[0]) == n_pointers + 1, 0
    for start in range(0, n_pointers + 1 if whole else 0, BLOCK_SIZE):
        block = np.asarray(indptr[start : start + BLOCK_SIZE]).astype(np.int64)
        whole &= bool(block[0] == 0 if start == 0 else block[0] >= last) and bool(np.all(np.diff(block) >= 0))
        last = int(block[-1])
    if not whole or last > min(data.shape[0], indices.shape[0]):
        raise ValueError("the sparse matrix is damaged (its row or column pointers do not fit); write the file again")


def _check_indices(indices: np.ndarray, length: int, what: str) -> None:
    # scipy trusts indices: one out of range would crash the process later, far from the damaged file.
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < length:
        raise ValueError(f"the sparse matrix is damaged (it names a {what} beyond the {length}); write the file again")
