"""AnnData as chunks of rows: files of every kind that is read, and objects in memory.

Files are never loaded whole: a `CellSource` reads the tables of cells and genes and one chunk of rows at a time. Only
files older than anndata 0.7 (2020) have no elements that can be read one by one, and are loaded. `anndata_output`
writes; no other module imports anndata.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
from anndata import AnnData
from anndata.abc import CSCDataset, CSRDataset
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from langcell.processing.cells.cell_source import CellChunk, CellSource
from langcell.processing.cells.cell_tables import FrameTable, StoredTable
from langcell.processing.cells.contents import Contents, layer_names
from langcell.processing.cells.matrix_rows import (
    CscRows,
    CsrRows,
    DenseRows,
    MatrixRows,
)
from langcell.processing.cells.raw_counts import X_KINDS
from langcell.processing.cells.stores import (
    GROUPS,
    is_hdf5,
    is_legacy,
    open_store,
)
from langcell.processing.containers.readable import readable
from langcell.processing.gene_naming.found_genes import GeneNaming
from langcell.processing.options import Species, XKind

__all__ = ["CellChunk", "CellSource", "XKind", "open_cells", "open_elements"]

logger = logging.getLogger("langcell")

Source = str | Path | AnnData
TABLES = ("obs", "var", "raw/var")
_MODALITY = re.compile(r"^mod/[^/]+/")


def open_cells(
    source: Source,
    *,
    x_is: XKind = "counts",
    gene_column: str | None = None,
    layer: str | None = None,
    species: Species = "auto",
    orthologs: str | Path | None = None,
    read_obs: bool = True,
    name: str | None = None,
) -> CellSource:
    """Open a data set and find its values.

    With `x_is="counts"`, raw counts are looked for in X, in layers that are called counts, and in raw: where the first,
    middle and last values are non-negative whole numbers (of any type). Of several the one with the most genes is taken
    (`find_values`). Otherwise X is taken at the caller's word and only NaN, infinite and negative values are refused.
    Rows of the gene table that are no genes are left out (`gene_rows`).

    Args:
        source: An AnnData in memory, or a container of cells, which is found by its content: .h5ad, zarr (folder or
            zip), .h5mu, .loom, 10x .h5, a folder with matrix.mtx, a .gz of these, or hf://datasets/....
        x_is: What the values are: raw "counts", "linear" (TPM, CP10k), or of linear values "log1p" (natural logarithms,
            or to the base that uns["log1p"] names) or "log2p" (to base 2).
        gene_column: Column of the gene table with the gene names; var_names by default.
        layer: Read this layer (or "raw") and look nowhere else.
        species: Species of the genes: "human", "mouse", or "auto", which looks at their names.
        orthologs: Table that names the human gene of each mouse gene (`read_orthologs`).
        read_obs: Read the whole table of cells now, so that damage is found; without it, `CellSource.metadata` reads
            what it is asked for, which is all that fits into memory where there are very many cells.
        name: What messages call the data; the path by default.

    Raises:
        FileNotFoundError: There is no such file or folder.
        OSError: It cannot be opened.
        ValueError: It is no container of cells, is empty, has no such values, layer or gene column.

    >>> import numpy as np
    >>> with open_cells(AnnData(np.array([[0.0, 2.0], [3.0, 0.0]]))) as cells:
    ...     [chunk.counts.toarray().tolist() for chunk in cells.chunks(rows_per_chunk=1)]
    [[[0.0, 2.0]], [[3.0, 0.0]]]
    """
    if x_is not in X_KINDS:
        raise ValueError(f"unknown kind of values {x_is!r}; x_is is one of {list(X_KINDS)}")
    contents = _from_memory(source, "the AnnData object") if isinstance(source, AnnData) else open_path(Path(source))
    contents = contents if name is None else replace(contents, name=name)
    try:
        if read_obs:
            contents.cells.whole()
        naming = GeneNaming(species, None if orthologs is None else str(orthologs))
        return CellSource(contents, x_is=x_is, gene_column=gene_column, layer=layer, naming=naming)
    except BaseException:
        contents.close()
        raise


@contextmanager
def open_elements(path: str | Path) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Yield the root group of an AnnData file, with nothing read, and the function that reads an element of it.

    For what works on one element of a file, such as the embeddings, whatever else the file lacks.

    Raises:
        FileNotFoundError: There is no such file or folder.
        OSError: It cannot be opened.
        ValueError: It is no AnnData, or one older than anndata 0.7, which has no elements.
    """
    root, close = open_store(path := Path(path))
    try:
        if is_legacy(root):
            raise ValueError(f"{path}: written before anndata 0.7; read it and write it again with anndata")
        yield root, partial(_read_part, path=path)
    finally:
        close()


def open_path(path: Path) -> Contents:
    root, close = open_store(path)
    try:
        return _from_store(root, path, close)
    except BaseException:
        close()
        raise


def _from_store(root: Any, path: Path, close: Callable[[], None]) -> Contents:
    if is_legacy(root):
        close()
        return _from_memory(read_whole(path), str(path))
    locations = ["X", "raw/X", *(f"layers/{name}" for name in root.get("layers", {}))]
    return Contents(
        name=str(path),
        cells=_stored_cells(root, path),
        var=_read_table(root, "var", path),
        raw_var=_read_table(root, "raw/var", path) if "raw/var" in root else None,
        matrices={key: partial(_row_reader, root[key]) for key in locations if _holds_matrix(root, key)},
        close=close,
        log_base=_stored_log_base(root),
    )


def _stored_log_base(root: Any) -> float | None:
    """Return what scanpy notes in uns["log1p"]["base"]; None stands for e there."""
    try:
        return _log_base({"log1p": {"base": read_elem(root["uns/log1p/base"])}})
    except Exception:  # a note that is not there, or not as scanpy writes it, says nothing
        return None


def _log_base(uns: Any) -> float | None:
    try:
        return float(uns["log1p"]["base"])
    except (KeyError, TypeError, ValueError, IndexError):
        return None


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
    """Return a table, or a column of one."""
    key = _MODALITY.sub("", part.name.strip("/"))
    try:
        with quiet():
            values = read_elem(part)
    except Exception as error:  # whatever the damage raises in anndata, the user needs to know which file and part
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: its table {key!r} cannot be read: {reason}") from error
    if not isinstance(values, pd.DataFrame) and key in TABLES:
        raise ValueError(f"{path}: no AnnData: {key!r} is no table; write it with anndata")
    return values


def read_whole(path: Path) -> AnnData:
    stored = readable(path).path
    with quiet():
        return anndata.read_h5ad(stored) if is_hdf5(stored) else anndata.read_zarr(stored)


def _from_memory(adata: AnnData, name: str) -> Contents:
    obs, var = adata.obs, adata.var
    if not isinstance(obs, pd.DataFrame) or not isinstance(var, pd.DataFrame):
        raise ValueError(f"{name} is lazy; give the path of its file, or adata.to_memory()")
    matrices: dict[str, Callable[[], MatrixRows]] = {}
    if adata.X is not None:
        matrices["X"] = lambda: _row_reader(adata.X)
    for layer in layer_names(adata):
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
        log_base=_log_base(adata.uns),
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


@contextmanager
def quiet() -> Iterator[None]:
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
