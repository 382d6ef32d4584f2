"""AnnData in and out: h5ad files, zarr folders and objects in memory as chunks of rows, and results written back.

The only module that imports anndata. Files are never loaded whole: a `CellSource` reads the tables of cells and genes
and one chunk of rows at a time, and `write_annotated` copies a file and adds elements to the copy. Only files older
than anndata 0.7 (2020) have no elements that can be read one by one, and are loaded.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset
from anndata.io import read_elem, sparse_dataset, write_elem
from scipy import sparse

from langcell.processing.cells.annotation_values import (
    check_key,
    check_output,
    fitted_column,
    fitted_matrix,
)
from langcell.processing.cells.cell_source import CellChunk, CellSource
from langcell.processing.cells.cell_tables import FrameTable, StoredTable
from langcell.processing.cells.contents import Contents
from langcell.processing.cells.matrix_rows import (
    CscRows,
    CsrRows,
    DenseRows,
    MatrixRows,
)
from langcell.processing.cells.raw_counts import X_KINDS, XKind
from langcell.processing.cells.row_blocks import RowBlocks
from langcell.processing.cells.store_conversion import convert_store
from langcell.processing.cells.stores import (
    GROUPS,
    can_be_copied,
    copy_store,
    is_legacy,
    is_legacy_file,
    new_store,
    no_late_writes,
    open_for_adding,
    open_store,
    stored_bytes,
)
from langcell.processing.files.atomic_output import atomic_output

__all__ = ["CellChunk", "CellSource", "XKind", "check_output", "open_cells", "open_elements", "write_annotated"]

Source = str | Path | AnnData
TABLES = ("obs", "var", "raw/var")


def open_cells(
    source: Source,
    *,
    x_is: XKind = "counts",
    gene_column: str | None = None,
    layer: str | None = None,
    read_obs: bool = True,
) -> CellSource:
    """Open a data set and find its values.

    With `x_is="counts"`, raw counts are looked for in X, then `layers["counts"]`, then raw: the first whose first,
    middle and last values are non-negative whole numbers (of any type) is taken. Otherwise X is taken at the caller's
    word and only NaN, infinite and negative values are refused.

    Args:
        source: An .h5ad file, a zarr folder, or an AnnData in memory.
        x_is: What the values are: raw "counts", "linear" (TPM, CP10k), or "log1p" of linear values.
        gene_column: Column of the gene table with the gene names; var_names by default.
        layer: Read this layer (or "raw") and look nowhere else.
        read_obs: Read the whole table of cells now, so that damage is found; without it, `CellSource.metadata` reads
            what it is asked for, which is all that fits into memory where there are very many cells.

    Raises:
        FileNotFoundError: There is no such file or folder.
        OSError: It cannot be opened.
        ValueError: It is no AnnData, is empty, has no such values, layer or gene column.

    >>> with open_cells(AnnData(np.array([[0.0, 2.0], [3.0, 0.0]]))) as cells:
    ...     [chunk.counts.toarray().tolist() for chunk in cells.chunks(rows_per_chunk=1)]
    [[[0.0, 2.0]], [[3.0, 0.0]]]
    """
    if x_is not in X_KINDS:
        raise ValueError(f"unknown kind of values {x_is!r}; x_is is one of {list(X_KINDS)}")
    contents = _from_memory(source, "the AnnData object") if isinstance(source, AnnData) else _open_path(Path(source))
    try:
        if read_obs:
            contents.cells.whole()
        return CellSource(contents, x_is=x_is, gene_column=gene_column, layer=layer)
    except BaseException:
        contents.close()
        raise


def write_annotated(
    source: Source, output: str | Path, *, obs: Mapping[str, Any], obsm: Mapping[str, Any], uns: Mapping[str, Any]
) -> None:
    """Write `source` with results added to `output`, whole or not at all.

    A file is copied, if need be from one format into the other, and its copy extended, without loading X (but for files
    older than anndata 0.7); `output` may be `source`. Elements of the same name are replaced, everything else stays. An
    existing output is replaced at the end.

    Args:
        source: What was annotated: an .h5ad file, a zarr folder, or an AnnData, which is not changed.
        output: Path that ends in .h5ad or .zarr.
        obs: Column name to one value a cell: an array, or a pandas Categorical (its order is kept).
        obsm: Name to an array (cells x anything), a DataFrame with obs_names (or 0, 1, ...) as index, or `RowBlocks`,
            which are written block by block. A "/" in a column name, which AnnData files cannot hold, becomes "_".
        uns: Name to any value that AnnData can write.

    Raises:
        FileNotFoundError: No such source, or the folder of `output` does not exist.
        OSError: No room (one line with the bytes free), or no permission.
        ValueError: Wrong suffix, an output that must not be replaced, or values that do not fit the cells.
    """
    output = Path(output)
    check_output(output)
    if not isinstance(source, AnnData):
        source = Path(source)
        _open_path(source).close()  # refuses what is no AnnData, before anything is written
    copied = source if isinstance(source, Path) and can_be_copied(source, output) else None
    with (
        _quiet(),
        atomic_output(output, needed_bytes=stored_bytes(copied) if copied else None) as temporary,
        no_late_writes(),
    ):
        if copied:
            copy_store(copied, temporary)
        elif isinstance(source, Path) and not is_legacy_file(source):
            _convert(source, temporary)
        else:
            _write_whole(source, temporary, suffix=output.suffix)
        with open_for_adding(temporary) as root:
            _add_elements(root, obs=obs, obsm=obsm, uns=uns)


@contextmanager
def open_elements(path: str | Path) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """The root group of an AnnData file, with nothing read, and the function that reads an element of it.

    For what works on one element of a file, such as the embeddings, whatever else the file lacks.

    Raises:
        FileNotFoundError: There is no such file or folder.
        OSError: It cannot be opened.
        ValueError: It is no AnnData, or one older than anndata 0.7, which has no elements.
    """
    root, close = open_store(path := Path(path))
    try:
        if is_legacy(root):
            raise ValueError(f"{path}: written before anndata 0.7; read it and write it anew with anndata")
        yield root, partial(_read_part, path=path)
    finally:
        close()


def _open_path(path: Path) -> Contents:
    root, close = open_store(path)
    try:
        return _from_store(root, path, close)
    except BaseException:
        close()
        raise


def _from_store(root: Any, path: Path, close: Callable[[], None]) -> Contents:
    if is_legacy(root):
        close()
        return _from_memory(_read_whole(path), str(path))
    locations = ["X", "raw/X", *(f"layers/{name}" for name in root.get("layers", {}))]
    return Contents(
        name=str(path),
        cells=_stored_cells(root, path),
        var=_read_table(root, "var", path),
        raw_var=_read_table(root, "raw/var", path) if "raw/var" in root else None,
        matrices={key: partial(_row_reader, root[key]) for key in locations if _holds_matrix(root, key)},
        close=close,
    )


def _holds_matrix(root: Any, key: str) -> bool:
    return key in root and root[key].attrs.get("encoding-type") != "null"


def _stored_cells(root: Any, path: Path) -> StoredTable:
    try:
        return StoredTable(root["obs"], partial(_read_part, path=path))
    except (KeyError, AttributeError):
        raise ValueError(f"{path}: no AnnData: 'obs' is no table; write it with anndata") from None


def _read_table(root: Any, key: str, path: Path) -> pd.DataFrame:
    return _read_part(root[key], path)


def _read_part(part: Any, path: Path) -> Any:
    """A table, or a column of one."""
    key = part.name.strip("/")
    try:
        with _quiet():
            values = read_elem(part)
    except Exception as error:  # whatever the damage raises in anndata, the user needs to know which file and part
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: its table {key!r} cannot be read: {reason}") from error
    if not isinstance(values, pd.DataFrame) and key in TABLES:
        raise ValueError(f"{path}: no AnnData: {key!r} is no table; write it with anndata")
    return values


def _read_whole(path: Path) -> AnnData:
    with _quiet():
        return anndata.read_zarr(path) if path.is_dir() else anndata.read_h5ad(path)


def _from_memory(adata: AnnData, name: str) -> Contents:
    obs, var = adata.obs, adata.var
    if not isinstance(obs, pd.DataFrame) or not isinstance(var, pd.DataFrame):
        raise ValueError(f"{name} is lazy; give the path of its file, or adata.to_memory()")
    matrices: dict[str, Callable[[], MatrixRows]] = {}
    if adata.X is not None:
        matrices["X"] = lambda: _row_reader(adata.X)
    for layer in adata.layers:
        matrices[f"layers/{layer}"] = partial(lambda key: _row_reader(adata.layers[key]), layer)
    raw = adata.raw
    if raw is not None:
        matrices["raw/X"] = lambda: _row_reader(raw.X)
    return Contents(
        name=name,
        cells=FrameTable(obs),
        var=var,
        raw_var=None if raw is None else raw.var,
        matrices=matrices,
        close=lambda: None,
    )


def _row_reader(matrix: Any) -> MatrixRows:
    if isinstance(matrix, GROUPS):
        matrix = _as_sparse(matrix)
    if isinstance(matrix, CSRDataset | CSCDataset):
        group: Any = matrix.group  # pyright: ignore[reportAttributeAccessIssue]  # public, but absent from the abstract type
        parts = [group[name] for name in ("data", "indices", "indptr")]
    elif sparse.issparse(matrix):
        matrix = matrix if matrix.format in ("csr", "csc") else matrix.tocsr()
        parts = [matrix.data, matrix.indices, matrix.indptr]
    elif hasattr(matrix, "compute"):
        raise ValueError("it is lazy (dask); give the path of the file, or adata.to_memory()")
    else:
        return DenseRows(matrix)
    reader = CsrRows if matrix.format == "csr" else CscRows
    return reader(*parts, shape=(int(matrix.shape[0]), int(matrix.shape[1])))


def _as_sparse(group: Any) -> CSRDataset | CSCDataset:
    missing = [name for name in ("data", "indices", "indptr") if name not in group]
    missing += [name for name in ("encoding-type", "shape") if name not in group.attrs]
    if missing and "h5sparse_format" not in group.attrs:  # how anndata marked them before 0.7
        raise ValueError(f"it is no sparse matrix, or a damaged one: it has no {missing[0]!r}")
    try:
        return sparse_dataset(group)
    except (KeyError, ValueError) as error:
        raise ValueError(f"it is no sparse matrix, or a damaged one: {error}") from error


def _convert(source: Path, target: Path) -> None:
    root, close = open_store(source)
    try:
        with new_store(target, is_zarr=not source.is_dir(), zarr_format=anndata.settings.zarr_write_format) as copy:
            convert_store(root, copy, lambda group, name, element: write_elem(group, name, read_elem(element)))
    finally:
        close()


def _write_whole(source: Path | AnnData, target: Path, *, suffix: str) -> None:
    adata = _read_whole(source) if isinstance(source, Path) else source
    if adata.isbacked:
        adata = adata.to_memory()  # writing a backed object would move it to the new file
    write = adata.write_zarr if suffix == ".zarr" else adata.write_h5ad
    write(target, convert_strings_to_categoricals=False)  # which would change the caller's object


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence notes on storage formats, which a user who only reads and writes can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=anndata.OldFormatWarning)
        warnings.filterwarnings("ignore", "Moving element from", category=FutureWarning)
        warnings.filterwarnings("ignore", "Observation names are not unique", category=UserWarning)
        warnings.filterwarnings("ignore", "Variable names are not unique", category=UserWarning)
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", category=UserWarning)
        warnings.filterwarnings("ignore", "Writing zarr v2 data", category=UserWarning)
        warnings.filterwarnings("ignore", "zarr v3 autosharding", category=UserWarning)
        yield
