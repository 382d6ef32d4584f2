"""`.h5` files of 10x Genomics' Cell Ranger as sources of cells, read in place, a chunk of cells at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.cell_source import CellSource
from langcell.processing.cells.cell_tables import FrameTable
from langcell.processing.cells.contents import Contents
from langcell.processing.cells.matrix_rows import CscRows, CsrRows, MatrixRows
from langcell.processing.cells.raw_counts import XKind

GENE_EXPRESSION = "Gene Expression"


def is_tenx_h5(path: Path) -> bool:
    """Whether an HDF5 file has the layout of Cell Ranger (version 2 or 3) rather than that of AnnData."""
    with h5py.File(path, "r") as file:
        return "obs" not in file and any(_is_matrix(file[name]) for name in file)


def open_tenx_h5(
    path: Path, *, x_is: XKind = "counts", gene_column: str | None = None, name: str | None = None
) -> CellSource:
    """Open an `.h5` file of Cell Ranger; of several kinds of features only the genes are read.

    Args:
        path: The file.
        x_is: What the values are.
        gene_column: Column of the features with the gene names: "id" (the default) or "name".
        name: What messages call the file; its path by default.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has another layout, no genes, or values that are not `x_is`.
    """
    name = str(path) if name is None else name
    if not path.exists():
        raise FileNotFoundError(f"{name}: no such file or folder")
    file = h5py.File(path, "r")
    try:
        matrix = _matrix_group(file, name)
        features = _features(matrix)
        is_gene = (features["feature_type"] == GENE_EXPRESSION).to_numpy()
        if not is_gene.any():
            raise ValueError(f"{name}: none of its {len(is_gene)} features is of the type {GENE_EXPRESSION!r}.")
        barcodes = pd.Index(_texts(matrix["barcodes"]))
        contents = Contents(
            name=name,
            cells=FrameTable(pd.DataFrame(index=barcodes)),
            var=features[is_gene].set_index("id", drop=False),
            raw_var=None,
            matrices={"X": lambda: _GeneRows(_rows(matrix, len(barcodes), len(is_gene)), is_gene)},
            close=file.close,
        )
        return CellSource(contents, x_is=x_is, gene_column=gene_column, layer=None)
    except KeyError as error:
        file.close()
        raise ValueError(f"{name}: a 10x matrix without {error}; write the file anew.") from error
    except BaseException:
        file.close()
        raise


class _GeneRows:
    """Rows of a matrix with the columns that are genes alone."""

    def __init__(self, rows: MatrixRows, is_gene: np.ndarray) -> None:
        self._rows, self._genes = rows, np.flatnonzero(is_gene)
        self._all = bool(is_gene.all())
        self.shape = (rows.shape[0], len(self._genes))
        self.dtype = rows.dtype

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `MatrixRows.read`."""
        counts = self._rows.read(start, stop)
        return counts if self._all else sparse.csr_matrix(counts[:, self._genes])

    def sample(self) -> Iterator[np.ndarray]:
        """See `MatrixRows.sample`."""
        return self._rows.sample()


def _is_matrix(group: Any) -> bool:
    return isinstance(group, h5py.Group) and {"data", "indices", "indptr", "barcodes"} <= set(group)


def _matrix_group(file: h5py.File, name: str) -> Any:
    """`matrix` since Cell Ranger 3; before, a group named after each genome."""
    groups = [key for key in file if _is_matrix(file[key])]
    if len(groups) != 1:
        found = f"the genomes {groups}; split them" if groups else f"only {sorted(file)}"
        raise ValueError(f"{name}: no 10x matrix of one genome: it has {found}.")
    return file[groups[0]]


def _features(matrix: Any) -> pd.DataFrame:
    if "features" in matrix:
        table = matrix["features"]
        return pd.DataFrame({key: _texts(table[key]) for key in ("id", "name", "feature_type")})
    table = pd.DataFrame({"id": _texts(matrix["genes"]), "name": _texts(matrix["gene_names"])})
    return table.assign(feature_type=GENE_EXPRESSION)


def _texts(dataset: Any) -> np.ndarray:
    return np.asarray(dataset.asstr()[:], dtype=object)


def _rows(matrix: Any, n_cells: int, n_features: int) -> MatrixRows:
    parts = [matrix[key] for key in ("data", "indices", "indptr")]
    reader = CscRows if matrix.attrs.get("sorted_by") == "gene" else CsrRows
    return reader(*parts, shape=(n_cells, n_features))
