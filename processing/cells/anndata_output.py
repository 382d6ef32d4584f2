"""Results written beside the cells that they belong to: a copy of the data, extended, whole or not at all."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, write_elem

from langcell.processing.cells.anndata_io import Source, open_path, quiet, read_whole
from langcell.processing.cells.annotation_values import (
    check_key,
    check_output,
    fitted_column,
    fitted_matrix,
)
from langcell.processing.cells.row_blocks import RowBlocks
from langcell.processing.cells.store_conversion import convert_store, forget_column
from langcell.processing.cells.stores import (
    copy_store,
    is_legacy,
    is_legacy_file,
    new_store,
    no_late_writes,
    open_for_adding,
    open_store,
    stored_bytes,
    to_copy,
)
from langcell.processing.cells.unwritable import (
    Unwritable,
    find_unconvertible,
    find_unwritable,
    named,
    parts_of,
    write_parts,
)
from langcell.processing.files.atomic_output import atomic_output

logger = logging.getLogger("langcell")


def check_writable(source: Source, output: str | Path, *, drop_unwritable: bool = False) -> None:
    """Refuse data with entries that the output cannot hold, before hours of work rather than after.

    Only what is not copied as it is, is looked at: an AnnData, or a file that is converted into the other format.

    Args:
        source: See `write_annotated`.
        output: The file to write.
        drop_unwritable: Such entries will be left out: they are no reason to refuse.

    Raises:
        ValueError: One line that names them, with what to do.
    """
    found = [] if drop_unwritable else _unwritable(source, Path(output))
    if found:
        raise ValueError(
            f"cannot write {output}: {named(found)}. Change these entries, or leave them out: --drop-unwritable, in "
            "Python drop_unwritable=True."
        )


def not_convertible(path: Path) -> list[Unwritable]:
    """Return what of a file another format (h5ad, zarr) cannot hold, or cannot be read at all; large matrices are not
    read."""
    root, close = open_store(path)
    try:
        with quiet():
            is_hdf5 = isinstance(root, h5py.Group)
            return [] if is_legacy(root) else find_unconvertible(root, read_elem, write_elem, is_zarr=is_hdf5)
    finally:
        close()


def write_annotated(
    source: Source,
    output: str | Path,
    *,
    obs: Mapping[str, Any],
    obsm: Mapping[str, Any],
    uns: Mapping[str, Any],
    drop_unwritable: bool = False,
) -> None:
    """Write `source` with results added to `output`, whole or not at all.

    A file is copied, if need be from one format into the other, and its copy extended, without loading X (but for files
    older than anndata 0.7); `output` may be `source`. Elements of the same name are replaced, everything else stays. An
    existing output is replaced at the end.

    Args:
        source: What was annotated: what `open_cells` reads; an AnnData is not changed. Of a file of several modalities
            that with RNA is written.
        output: Path that ends in .h5ad or .zarr.
        obs: Column name to one value a cell: an array, or a pandas Categorical (its order is kept).
        obsm: Name to an array (cells x anything), a DataFrame with obs_names (or 0, 1, ...) as index, or `RowBlocks`,
            which are written block by block. A "/" in a column name, which AnnData files cannot hold, becomes "_".
        uns: Name to any value that AnnData can write.
        drop_unwritable: Leave out what the output cannot hold, such as columns that mix kinds of values; a warning
            names them. Otherwise they are an error.

    Raises:
        FileNotFoundError: No such source, or the folder of `output` does not exist.
        OSError: No room (one line with the bytes free), or no permission.
        ValueError: Wrong suffix, an output that must not be replaced, or values that do not fit the cells.
    """
    output = Path(output)
    check_output(output)
    if not isinstance(source, AnnData):
        source = Path(source)
        open_path(source).close()  # refuses what is no AnnData, before anything is written
    copied = to_copy(source, output) if isinstance(source, Path) else None
    dropped = _unwritable(source, output) if drop_unwritable else []
    if dropped:
        logger.warning(f"Left out of {output}: {named(dropped)}.")
    with (
        quiet(),
        atomic_output(output, needed_bytes=stored_bytes(copied) if copied else None) as temporary,
        no_late_writes(),
    ):
        if copied:
            copy_store(copied, temporary)
        elif isinstance(source, Path) and not is_legacy_file(source):
            _convert(source, temporary, is_zarr=output.suffix == ".zarr", dropped=dropped)
        else:
            _write_whole(source, temporary, is_zarr=output.suffix == ".zarr", dropped=dropped)
        with open_for_adding(temporary) as root:
            _add_elements(root, obs=obs, obsm=obsm, uns=uns)


def _zarr_format() -> int:
    """What anndata itself writes; from anndata 0.13 on, asking for it warns, and from 0.14 on it is 3 for all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return int(getattr(anndata.settings, "zarr_write_format", 3))


def _unwritable(source: Source, output: Path) -> list[Unwritable]:
    """Return what of the source the output cannot hold; nothing where the file is copied as it is."""
    is_zarr = output.suffix == ".zarr"
    with quiet():
        if isinstance(source, AnnData):
            return find_unwritable(source, write_elem)
        if to_copy(path := Path(source), output) is not None:
            return []
        if is_legacy_file(path):
            return find_unwritable(read_whole(path), write_elem)
        root, close = open_store(path)
        try:
            return find_unconvertible(root, read_elem, write_elem, is_zarr=is_zarr)
        finally:
            close()


def _convert(source: Path, target: Path, *, is_zarr: bool, dropped: Sequence[Unwritable]) -> None:
    root, close = open_store(source)
    try:
        with new_store(target, is_zarr=is_zarr, zarr_format=_zarr_format()) as copy:
            copy_element = partial(_copy_element, {"/".join(entry.place) for entry in dropped}, copy.name)
            convert_store(root, copy, copy_element)
            for entry in dropped:
                forget_column(copy, entry.place)
    finally:
        close()


def _copy_element(dropped: set[str], top: str, group: Any, name: str, element: Any) -> None:
    place = f"{group.name.removeprefix(top).strip('/')}/{name}".strip("/")
    if place not in dropped:
        write_elem(group, name, read_elem(element))


def _write_whole(source: Path | AnnData, target: Path, *, is_zarr: bool, dropped: Sequence[Unwritable]) -> None:
    adata = read_whole(source) if isinstance(source, Path) else source
    if adata.isbacked:
        adata = adata.to_memory()  # of a backed object the matrix lies in a file
    with new_store(target, is_zarr=is_zarr, zarr_format=_zarr_format()) as root:
        write_parts(root, parts_of(adata, without=dropped), write_elem)


def _add_elements(root: Any, *, obs: Mapping[str, Any], obsm: Mapping[str, Any], uns: Mapping[str, Any]) -> None:
    table = root["obs"]
    index = table[table.attrs["_index"]]
    n_cells = int((index if hasattr(index, "shape") else index["values"]).shape[0])
    for name, values in obs.items():
        check_key(name)
        _add_column(table, name, fitted_column(name, values, n_cells))
    for group, elements in (("obsm", obsm), ("uns", uns)):
        if elements and group not in root:
            write_elem(root, group, {})
        for name, value in elements.items():
            check_key(name, value)
            if isinstance(value, RowBlocks):
                _add_row_blocks(root[group], name, value, index, n_cells)
            elif group == "obsm":
                write_elem(root[group], name, fitted_matrix(name, value, pd.Index(read_elem(index))))
            else:
                write_elem(root[group], name, value)


def _add_row_blocks(group: Any, name: str, value: RowBlocks, index: Any, n_cells: int) -> None:
    if value.n_rows != n_cells:
        raise ValueError(f"obsm[{name!r}] has {value.n_rows} rows, but there are {n_cells} cells; give a row a cell")
    if name in group:
        del group[name]
    if value.columns is not None:
        write_elem(group, name, pd.DataFrame())  # all the marks of a table; its index is copied, columns come below
        table = group[name]
        del table[table.attrs["_index"]]
        if isinstance(table, h5py.Group):
            table.copy(index, table, name="_index")  # without a million names in memory
        else:
            write_elem(table, "_index", read_elem(index))
        table.attrs["_index"] = "_index"
    value.write(group, name)


def _add_column(table: Any, name: str, values: np.ndarray | pd.Categorical) -> None:
    if name == table.attrs["_index"]:
        raise ValueError(f"obs[{name!r}] holds the names of the cells in this file; rename the result")
    old_categories = f"__categories/{name}"  # where anndata 0.7 kept them
    if old_categories in table:
        del table[old_categories]
    write_elem(table, name, values)
    order = [str(column) for column in table.attrs.get("column-order", [])]
    table.attrs["column-order"] = order if name in order else [*order, name]
