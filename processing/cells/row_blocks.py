"""Matrices with a row a cell that are made and written block by block, so that they never exist as a whole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pandas as pd

# Bytes of a block on its way into a file; one block is one chunk of a zarr array.
_BYTES_PER_BLOCK = 1 << 24


@dataclass(frozen=True)
class RowBlocks:
    """A float32 matrix (cells x width) that is produced in blocks of rows.

    Attributes:
        n_rows: number of cells.
        width: number of columns.
        blocks: makes the blocks (rows, width), in order; called once for each time that the matrix is needed.
        columns: names that make it a table; None for a plain array.
    """

    n_rows: int
    width: int
    blocks: Callable[[], Iterable[np.ndarray]]
    columns: Sequence[str] | None = None

    def to_memory(self, index: pd.Index) -> np.ndarray | pd.DataFrame:
        """Return the whole matrix, as a DataFrame over `index` where the columns have names.

        >>> blocks = RowBlocks(3, 2, lambda: [np.zeros((2, 2)), np.ones((1, 2))], columns=["B cell", "T cell"])
        >>> blocks.to_memory(pd.Index(["c1", "c2", "c3"]))["T cell"].tolist()
        [0.0, 0.0, 1.0]
        """
        whole = np.empty((self.n_rows, self.width), dtype=np.float32)
        for start, block in self._placed():
            whole[start : start + len(block)] = block
        return whole if self.columns is None else pd.DataFrame(whole, index=index, columns=pd.Index(self.columns))

    def write(self, group: Any, name: str) -> None:
        """Write it as `group[name]` of an h5ad or zarr file.

        Args:
            group: open for writing, of h5py or zarr.
            name: name of a new array; or of a table without columns that stands there already, if the columns have
                names.
        """
        rows = min(self.n_rows, max(1, _BYTES_PER_BLOCK // (4 * self.width)))
        if self.columns is None:
            array = _create_array(group, name, (self.n_rows, self.width), rows)
            for start, block in self._placed(rows):
                array[start : start + len(block)] = block
            return
        table, columns = group[name], [column.replace("/", "_") for column in self.columns]
        arrays = [_create_array(table, column, (self.n_rows,), rows) for column in columns]
        table.attrs["column-order"] = columns
        for start, block in self._placed(rows):
            for array, values in zip(arrays, np.ascontiguousarray(block.T), strict=True):
                array[start : start + len(values)] = values

    def _placed(self, rows: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Each block with its first row; regrouped into blocks of `rows`, where given, and checked to be complete."""
        start = 0
        for block in self.blocks() if rows is None else regrouped(self.blocks(), rows):
            yield start, block
            start += len(block)
        assert start == self.n_rows, f"{start} rows were made of {self.n_rows}"


def regrouped(blocks: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Yield the same rows in blocks of `rows`; the last may have fewer.

    >>> [block.tolist() for block in regrouped([np.arange(3), np.arange(3, 5)], 2)]
    [[0, 1], [2, 3], [4]]
    """
    waiting: list[np.ndarray] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        if n_waiting < rows:
            continue
        joined = np.concatenate(waiting)
        whole = n_waiting - n_waiting % rows
        yield from (joined[start : start + rows] for start in range(0, whole, rows))
        waiting, n_waiting = [joined[whole:]], n_waiting - whole
    if n_waiting:
        yield np.concatenate(waiting)


def _create_array(group: Any, name: str, shape: tuple[int, ...], rows_per_chunk: int) -> Any:
    """Return an empty float32 array with the marks by which anndata knows it."""
    if isinstance(group, h5py.Group):
        array = group.create_dataset(name, shape=shape, dtype="f4")
    else:
        array = group.create_array(name, shape=shape, dtype="f4", chunks=(rows_per_chunk, *shape[1:]))
    array.attrs["encoding-type"], array.attrs["encoding-version"] = "array", "0.2.0"
    return array
