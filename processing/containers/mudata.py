"""`.h5mu` files (CITE-seq, multiome): the AnnData of the modality with RNA, with what the file says of its cells.

Columns on cells stand in the table of the modality, in that of the whole file, or in both. Those of the whole file are
added by a file of links, which takes nothing from the matrix into memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from langcell.processing.containers.anndata_layout import link_all, mark_table

_RNA = ("rna", "gex", "gene expression", "transcriptome")


def rna_modality(names: Sequence[str], where: Path) -> str:
    """Return the modality that holds RNA.

    Raises:
        ValueError: none is called so, and there are several.

    >>> rna_modality(["prot", "rna"], Path("cells.h5mu"))
    'rna'
    """
    found = [name for wanted in _RNA for name in names if name.lower().replace("_", " ") == wanted]
    if found or len(names) == 1:
        return (found or list(names))[0]
    raise ValueError(
        f"{where}: a MuData file without a modality 'rna': it has {', '.join(names) or 'none'}; write the one with "
        "gene expression as h5ad: mudata.read_h5mu(...).mod[NAME].write_h5ad(...)."
    )


def link_h5mu(source: Path, target: Path) -> str | None:
    """Write an h5ad file of links to the RNA modality, with columns on cells from the whole file.

    Returns:
        None; or, where the whole file has no more columns, the group to read, and nothing is written.

    Raises:
        ValueError: no modality with RNA.
    """
    with h5py.File(source, "r") as file:
        modalities: Any = file["mod"]
        name = rna_modality(list(modalities), source)
        modality, key = modalities[name], f"mod/{name}"
        if not isinstance(modality.get("obs"), h5py.Group):
            return key  # of no layout that is read: who opens it says so
        rows = _rows_of_cells(file, name, modality)
        columns = [] if rows is None else _more_columns(file, name, modality)
        if rows is None or not columns:
            return key
        with h5py.File(target, "w") as view:
            _copy_marks(modality, view)
            link_all(view, source, modality, but=["obs"])
            table = view.create_group("obs")
            _copy_marks(modality["obs"], table)
            link_all(table, source, modality["obs"])
            every: Any = file["obs"]
            for column in columns:
                _take(every[column], table, column, rows)
            index = str(table.attrs["_index"])
            mark_table(table, [*map(str, modality["obs"].attrs.get("column-order", [])), *columns], index=index)
    return None


def _rows_of_cells(file: Any, name: str, modality: Any) -> np.ndarray | None:
    """Row in the whole file's table of each cell of the modality; None where the file does not say."""
    place = f"obsmap/{name}"
    table = modality["obs"]
    if place not in file or "obs" not in file or "_index" not in table.attrs:
        return None
    numbers = np.asarray(file[place][:]).astype(np.int64).ravel()  # 1 for the modality's first cell, 0 for none
    rows = np.full(int(numbers.max(initial=0)), -1, dtype=np.int64)
    rows[numbers[numbers > 0] - 1] = np.flatnonzero(numbers > 0)
    index = table[table.attrs["_index"]]
    n_cells = int((index if hasattr(index, "shape") else index["values"]).shape[0])
    return rows if len(rows) == n_cells and (rows >= 0).all() else None


def _more_columns(file: Any, name: str, modality: Any) -> list[str]:
    """Columns of the whole file's table that are neither the modality's nor another modality's."""
    others = tuple(f"{modality_name}:" for modality_name in file["mod"])
    own = set(modality["obs"]) | {f"{name}:{column}" for column in modality["obs"]}
    columns = map(str, file["obs"].attrs.get("column-order", []))
    return [column for column in columns if column not in own and not column.startswith(others)]


def _take(element: Any, target: h5py.Group, name: str, rows: np.ndarray) -> None:
    """Write some rows of a column, of any encoding: categories are copied whole."""
    if isinstance(element, h5py.Dataset):
        values = element.asstr()[:] if h5py.check_string_dtype(element.dtype) is not None else element[:]
        target.create_dataset(name, data=values[rows], dtype=element.dtype)
    else:
        group = target.create_group(name)
        for part in element:
            if part == "categories":
                element.file.copy(element[part], group, part)
            else:
                _take(element[part], group, part, rows)
    _copy_marks(element, target[name])


def _copy_marks(source: Any, target: Any) -> None:
    for name, value in list(source.attrs.items()):
        target.attrs[name] = value
