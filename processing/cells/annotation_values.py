"""Results on their way into an AnnData file: checked against its cells and brought into a form that can be stored."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def check_output(output: Path) -> None:
    """Refuse a path whose suffix names no format, or where something stands that must not be replaced.

    Raises:
        FileNotFoundError: Its folder does not exist.
        ValueError: One line that says which.
    """
    if output.suffix not in (".h5ad", ".zarr"):
        raise ValueError(f"cannot write {output}: the name has to end in .h5ad or .zarr")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"cannot write {output}: the folder {output.parent} does not exist; create it first")
    if output.suffix == ".h5ad" and output.is_dir():
        raise ValueError(f"cannot write {output}: it is a folder; name a file")
    is_zarr = any((output / marker).is_file() for marker in ("zarr.json", ".zgroup"))
    if output.suffix == ".zarr" and output.exists() and not is_zarr:
        raise ValueError(f"cannot write {output}: it exists and is no zarr folder; name another, or remove it first")


def refuse_same_file(data: str | Path | None, output: str | Path) -> None:
    """Refuse an output that is the input, or is inside it where that is a folder: what was there would be replaced.

    Args:
        data: what is read; None where that is no file.
        output: what will be written; links of either are followed.

    Raises:
        ValueError: they are the same.

    >>> refuse_same_file("cells.h5ad", "./cells.h5ad")
    Traceback (most recent call last):
    ValueError: ./cells.h5ad is the input, which would be replaced; name another output.
    """
    if data is None:
        return
    source, target = Path(os.path.realpath(data)), Path(os.path.realpath(output))
    is_same = source.exists() and target.exists() and source.samefile(target)  # a hard link has another name
    if is_same or source == target or source in target.parents:
        raise ValueError(f"{output} is the input, which would be replaced; name another output.")


def check_page_place(output: str | Path) -> None:
    """Refuse a path where no HTML page can be written.

    Raises:
        FileNotFoundError: Its folder does not exist.
        ValueError: Another suffix, or something that must not be replaced.
    """
    output = Path(output)
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"The report is an HTML file; call it {output.with_suffix('.html')} instead of {output}.")
    if not output.resolve().parent.is_dir():
        raise FileNotFoundError(f"cannot write {output}: the folder {output.parent} does not exist; create it first")
    check_table_place(output)


def check_table_place(output: str | Path, *read: str | Path | None) -> None:
    """Refuse a table, page or picture beside the output that would take the place of something else.

    Args:
        output: file to write.
        read: files that are read; None for one that was not given.

    Raises:
        ValueError: it is a folder, is in one that cannot be written to, or is one of the files that are read.
    """
    if Path(output).is_dir():
        raise ValueError(f"cannot write {output}: it is a folder; name a file")
    folder = Path(os.path.realpath(output)).parent
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise ValueError(f"cannot write {output}: the folder {folder} cannot be written to; name another")
    for path in read:
        refuse_same_file(path, output)


def check_key(name: str, value: Any = None) -> None:
    """Refuse an element name (or a name in a nested dict) with a "/", which would become a path inside the file."""
    if not name or "/" in name:
        raise ValueError(f"cannot write the element {name!r}: a name must not be empty or hold '/'; rename it")
    if isinstance(value, Mapping):
        for inner_name, inner in value.items():
            check_key(inner_name, inner)


def fitted_column(name: str, values: Any, n_cells: int) -> np.ndarray | pd.Categorical:
    """Return one value a cell as an array, or as the categorical that it was (order of the categories kept)."""
    column = (
        pd.Categorical(values)
        if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype)
        else np.asarray(values)
    )
    if len(column.shape) != 1 or len(column) != n_cells:
        raise ValueError(
            f"obs[{name!r}] has the shape {column.shape}, but there are {n_cells} cells; give one value a cell"
        )
    return column


def fitted_matrix(name: str, values: Any, obs_names: pd.Index) -> np.ndarray | pd.DataFrame:
    """Return the rows for all cells as an array, or as a DataFrame indexed by `obs_names` with storable column names.

    A "/" in a column name becomes "_": HDF5 and zarr would read it as a path. Every other character is kept.

    >>> scores = pd.DataFrame([[0.9, 0.1]], columns=["NK/T cell", "B cell"])
    >>> list(fitted_matrix("scores", scores, pd.Index(["AAAC"])).columns)
    ['NK_T cell', 'B cell']
    """
    rows = values if isinstance(values, pd.DataFrame) else np.asarray(values)
    if rows.ndim < 2 or rows.shape[0] != len(obs_names):
        raise ValueError(
            f"obsm[{name!r}] has the shape {rows.shape}, but there are {len(obs_names)} cells; give a row a cell"
        )
    if not isinstance(rows, pd.DataFrame):
        return rows
    if not isinstance(rows.index, pd.RangeIndex) and not rows.index.equals(obs_names):
        raise ValueError(f"obsm[{name!r}]: its index is not obs_names; give the rows in the order of the cells")
    columns = [str(column).replace("/", "_") for column in rows.columns]
    if len(set(columns)) < len(columns) or "_index" in columns:
        raise ValueError(f"obsm[{name!r}]: column names have to differ (also with '_' for '/') and not be '_index'")
    return rows.set_axis(obs_names, axis="index").set_axis(columns, axis="columns")
