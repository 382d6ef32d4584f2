"""`.loom` files (loompy, velocyto): a dense matrix, genes x cells, turned into a sparse h5ad file block by block.

Tables are read as loompy's specification 2 and 3 names them; graphs and arrays with several columns are left out.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from langcell.processing.containers.anndata_layout import GrowingRows, mark_anndata, write_table
from langcell.processing.files.atomic_output import atomic_output

# Values of a block of cells that are in memory at once.
_BLOCK_SIZE = 16_000_000
_CELL_NAMES = ("CellID", "obs_names", "cell_names", "barcode", "Barcode", "barcodes")
_GENE_NAMES = ("Gene", "var_names", "gene_names", "Symbol", "Name", "Accession", "gene_ids")


def convert_loom(source: Path, output: Path) -> None:
    """Write the cells of a loom file as an h5ad file, whole or not at all: matrix, layers and both tables.

    Raises:
        OSError: no room on the disk.
        ValueError: its matrix and tables do not fit.
    """
    with h5py.File(source, "r") as file, atomic_output(output) as temporary, h5py.File(temporary, "w") as root:
        matrix: Any = file["matrix"]
        n_genes, n_cells = matrix.shape
        mark_anndata(root)
        _write_table(root, "obs", file["col_attrs"], n_cells, _CELL_NAMES, source)
        _write_table(root, "var", file["row_attrs"], n_genes, _GENE_NAMES, source)
        _write_rows(root, "X", matrix)
        layers: Any = file.get("layers", {})
        for name in layers:
            if layers[name].shape == matrix.shape:
                _write_rows(root["layers"], name, layers[name])


def _write_rows(group: Any, name: str, matrix: Any) -> None:
    n_genes, n_cells = matrix.shape
    chunk = matrix.chunks[1] if matrix.chunks else 1
    step = max(1, _BLOCK_SIZE // max(1, n_genes) // chunk) * chunk
    rows = GrowingRows(group, name, n_genes)
    for start in range(0, n_cells, step):
        rows.add(sparse.csr_matrix(np.ascontiguousarray(matrix[:, start : start + step].T)))
    rows.finish()


def _write_table(root: Any, name: str, attributes: Any, length: int, candidates: tuple[str, ...], source: Path) -> None:
    columns = {key: _values(attributes[key]) for key in attributes if attributes[key].shape == (length,)}
    index_name = next((key for key in candidates if key in columns), None)
    index = [str(number) for number in range(length)] if index_name is None else list(map(str, columns[index_name]))
    if name == "var" and index_name is None:
        found = ", ".join(sorted(attributes)) or "none"
        raise ValueError(f"{source}: a loom file without names of genes: row_attrs has {found}, not Gene or Accession.")
    write_table(root, name, index, {key.replace("/", "_"): values for key, values in columns.items()})


def _values(dataset: Any) -> np.ndarray:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr()[:], dtype=object)
    return np.asarray(dataset[:])
