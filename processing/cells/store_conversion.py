"""An AnnData store copied into one of another format (h5ad, zarr), element by element and block by block."""

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

# Bytes of a block on its way; also about a chunk of an array in zarr.
_BYTES_PER_BLOCK = 1 << 24
# What numbers and truth values are; text and records go the way that anndata knows.
_NUMERIC = "biufc"

CopyElement = Callable[[Any, str, Any], None]


def convert_store(source: Any, target: Any, copy_element: CopyElement) -> None:
    """Copy all that is below a group into a group of another store, usually of the other format.

    What HDF5 copies by itself (links are followed) keeps its chunks and its compression. Otherwise: the encodings of
    anndata are the same in both formats, so groups, their marks (attributes) and numeric arrays can be copied as they
    are, and arrays need never be in memory as a whole.

    Args:
        source: group of h5py or zarr, open for reading.
        target: group of h5py or zarr, open for writing.
        copy_element: writes what is no numeric array (texts, scalars, records) into a group by a name, whole.
    """
    _copy_marks(source, target)
    for name in source:
        element: Any = source[name]
        if isinstance(element, h5py.Group | h5py.Dataset) and isinstance(target, h5py.Group):
            if name in target:
                del target[name]
            target.copy(element, target, name, expand_external=True)
        elif hasattr(element, "keys"):
            if name in target:
                del target[name]
            convert_store(element, target.create_group(name), copy_element)
        elif _is_numeric(element):
            _copy_array(element, target, name)
        else:
            copy_element(target, name, element)


def _is_numeric(array: Any) -> bool:
    return bool(array.shape) and np.dtype(array.dtype).kind in _NUMERIC


def _copy_marks(source: Any, target: Any) -> None:
    # A list first: h5py holds its global lock while it iterates, and zarr, which writes in another thread, waits for
    # ever should that thread come to collect an h5py object meanwhile.
    for name, value in list(source.attrs.items()):
        # zarr keeps JSON, which knows no numpy.
        target.attrs[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _copy_array(source: Any, group: Any, name: str) -> None:
    """Copy a numeric array in blocks of rows; a block of the source is a chunk of the copy."""
    shape, dtype = tuple(source.shape), np.dtype(source.dtype)
    bytes_per_row = max(1, dtype.itemsize * int(np.prod(shape[1:])))
    rows = max(1, min(shape[0], _BYTES_PER_BLOCK // bytes_per_row))
    if isinstance(group, h5py.Group):
        copy = group.create_dataset(name, shape=shape, dtype=dtype)
    else:
        copy = group.create_array(name, shape=shape, dtype=dtype, chunks=(rows, *(max(1, n) for n in shape[1:])))
    _copy_marks(source, copy)
    for start in range(0, shape[0], rows):
        copy[start : start + rows] = source[start : start + rows]


def forget_column(root: Any, place: tuple[str, ...]) -> None:
    """Take a column that was left out from the list of its table's columns; anything else is no column."""
    *above, column = place
    table = root["/".join(above)] if above and "/".join(above) in root else None
    if table is not None and "column-order" in table.attrs:
        columns = [str(name) for name in table.attrs["column-order"] if str(name) != column]
        if isinstance(root, h5py.Group):
            table.attrs.create("column-order", columns, dtype=h5py.string_dtype())
        else:
            table.attrs["column-order"] = columns
