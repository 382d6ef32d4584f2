"""An h5ad file written by hand: tables, and matrices that are links into another file or grow block by block.

The layout is that of anndata's on-disk specification (AnnData 0.1.0, dataframe 0.2.0, csr_matrix 0.1.0).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

# Values of a chunk of an array that grows.
_CHUNK = 1 << 16


def mark_anndata(root: h5py.Group) -> None:
    """Give a group the marks of an AnnData, and the empty parts that some readers expect."""
    root.attrs["encoding-type"], root.attrs["encoding-version"] = "anndata", "0.1.0"
    for name in ("layers", "obsm", "uns"):
        if name not in root:
            group = root.create_group(name)
            group.attrs["encoding-type"], group.attrs["encoding-version"] = "dict", "0.1.0"


def write_table(
    root: h5py.Group, name: str, index: Sequence[str] | np.ndarray, columns: Mapping[str, np.ndarray]
) -> None:
    """Write a table with text and number columns as `root[name]`."""
    table = root.create_group(name)
    mark_table(table, list(columns))
    _write_column(table, "_index", np.asarray(index, dtype=object))
    for column, values in columns.items():
        _write_column(table, column, values)


def mark_table(table: h5py.Group, columns: Sequence[str], *, index: str = "_index") -> None:
    """Give a group the marks of a table."""
    table.attrs["encoding-type"], table.attrs["encoding-version"] = "dataframe", "0.2.0"
    table.attrs["_index"] = index
    table.attrs.create("column-order", list(columns), dtype=h5py.string_dtype())


def _write_column(table: h5py.Group, name: str, values: np.ndarray) -> None:
    is_text = values.dtype.kind in "OSU"
    kind = h5py.string_dtype() if is_text else None
    column = table.create_dataset(name, data=[str(value) for value in values] if is_text else values, dtype=kind)
    column.attrs["encoding-type"] = "string-array" if is_text else "array"
    column.attrs["encoding-version"] = "0.2.0"


def mark_sparse(group: h5py.Group, form: Literal["csr", "csc"], shape: tuple[int, int]) -> None:
    """Give a group with data, indices and indptr the marks of a sparse matrix (cells x genes)."""
    group.attrs["encoding-type"], group.attrs["encoding-version"] = f"{form}_matrix", "0.1.0"
    group.attrs["shape"] = np.array(shape, dtype=np.int64)


def link_all(group: h5py.Group, source: Path, inside: h5py.Group, *, but: Sequence[str] = ()) -> None:
    """Put links to all members of a group of another file here."""
    for name in inside:
        if name not in but:
            group[name] = h5py.ExternalLink(str(source.resolve()), f"{str(inside.name).rstrip('/')}/{name}")


class GrowingRows:
    """A csr matrix that rows are added to, block by block."""

    def __init__(self, root: h5py.Group, name: str, n_genes: int) -> None:
        self._group, self._n_genes, self._pointers = root.create_group(name), n_genes, [np.zeros(1, dtype=np.int64)]

    def add(self, rows: Any) -> None:
        """Add a scipy csr matrix at the end."""
        for name, values in (("data", rows.data), ("indices", rows.indices.astype(np.int32))):
            if name not in self._group:
                shape = {"shape": (0,), "maxshape": (None,), "chunks": (_CHUNK,)}
                self._group.create_dataset(name, dtype=values.dtype, **shape)
            array: Any = self._group[name]
            start = array.shape[0]
            array.resize((start + len(values),))
            array[start:] = values
        self._pointers.append(rows.indptr[1:].astype(np.int64) + self._pointers[-1][-1])

    def finish(self) -> None:
        """Write what the matrix lacks: its pointers and its marks."""
        pointers = np.concatenate(self._pointers)
        self._group["indptr"] = pointers
        mark_sparse(self._group, "csr", (len(pointers) - 1, self._n_genes))
