"""`.h5` files of 10x Genomics' Cell Ranger, and of tools that write alike (CellBender, STARsolo's converters).

Their matrix is genes x cells by columns, which is cells x genes by rows: an h5ad file of a few tables whose matrix is
links into the file reads it in place, a chunk of cells at a time.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from langcell.processing.containers.anndata_layout import mark_anndata, mark_sparse, write_table
from langcell.processing.containers.kinds import is_tenx_matrix

GENE_EXPRESSION = "Gene Expression"
# Other facts on features that Cell Ranger writes: the genome, and which tag an antibody has.
_FEATURE_TEXTS = ("genome", "read", "pattern", "sequence")


def link_tenx_h5(source: Path, target: Path) -> None:
    """Write an h5ad file whose matrix is links into an `.h5` file of Cell Ranger (version 2 or later).

    Without types of features, as CellBender writes it for input that is not Cell Ranger's, all features are genes.

    Raises:
        OSError: no room on the disk.
        ValueError: it has several genomes, no features, or is damaged.
    """
    with h5py.File(source, "r") as file, h5py.File(target, "w") as view:
        matrix = _matrix_group(file, source)
        try:
            features, barcodes = _features(matrix), _texts(matrix["barcodes"])
        except KeyError as error:
            raise ValueError(f"{source}: a 10x matrix without {error}; write the file again.") from error
        shape = (len(barcodes), len(features["id"]))
        mark_anndata(view)
        write_table(view, "obs", barcodes, {})
        write_table(view, "var", features["id"], features)
        x = view.create_group("X")
        for name in ("data", "indices", "indptr"):
            x[name] = h5py.ExternalLink(str(source.resolve()), f"{matrix.name}/{name}")
        mark_sparse(x, "csr", shape)


def _matrix_group(file: h5py.File, source: Path) -> Any:
    """`matrix` since Cell Ranger 3; before, a group named after each genome."""
    groups = [key for key in file if is_tenx_matrix(file[key])]
    if len(groups) != 1:
        found = f"the genomes {groups}; split them" if groups else f"only {sorted(file)}"
        raise ValueError(f"{source}: no 10x matrix of one genome: it has {found}.")
    return file[groups[0]]


def _features(matrix: Any) -> dict[str, np.ndarray]:
    """Columns of the features: id, name and feature_type, and what else there is."""
    if "features" not in matrix:
        names = {"id": _texts(matrix["genes"]), "name": _texts(matrix["gene_names"])}
        return {**names, "feature_type": np.full(len(names["id"]), GENE_EXPRESSION, dtype=object)}
    table = matrix["features"]
    ids = _texts(table["id"])
    columns = {"id": ids, "name": _texts(table["name"])}
    columns["feature_type"] = (
        _texts(table["feature_type"]) if "feature_type" in table else np.full(len(ids), GENE_EXPRESSION, dtype=object)
    )
    more = {name: _texts(table[name]) for name in _FEATURE_TEXTS if name in table}
    return columns | {name: values for name, values in more.items() if len(values) == len(ids)}


def _texts(dataset: Any) -> np.ndarray:
    return np.asarray(dataset.asstr()[:], dtype=object)
