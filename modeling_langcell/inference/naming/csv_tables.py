"""Names as CSV files: one row for each cell, as Loupe Browser and Seurat's AddMetaData read it, and one per cluster.

Columns of cells are called as in obs. So they replace no column of a Seurat object that has its own `cluster`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from langcell.processing.cells.annotation_values import check_table_place
from langcell.processing.files.atomic_output import atomic_output

# Columns of obs, in the order of the file.
_COLUMNS = (
    "langcell_label",
    "langcell_ontology_term_id",
    "langcell_confidence",
    "langcell_novelty",
    "langcell_label_alone",
    "langcell_label_broad",
    "langcell_label_medium",
    "langcell_label_fine",
    "langcell_cluster",
    "langcell_cluster_label",
)
_NUMBERS = "%.4f"
_CLUSTERS_BEGIN = b"cluster,cells,label,"


def check_csv(path: str | Path | None, *read: str | Path | None, clusters: bool = False) -> None:
    """Refuse a table that could not be written; None is no table.

    Args:
        path: CSV file of the cells.
        read: files that are read, which the table must not replace.
        clusters: whether the table of clusters is written, too.

    Raises:
        ValueError: another suffix than .csv, no such folder, a file that is read, or a table of somebody else where
            that of the clusters goes.
    """
    if path is None:
        return
    if Path(path).suffix.lower() != ".csv":
        raise ValueError(f"csv is {str(path)!r}; give a file that ends in .csv.")
    if not Path(path).parent.is_dir():
        raise ValueError(f"{Path(path).parent} does not exist; create it first.")
    check_table_place(path, *read)
    beside = Path(path).with_name(f"{Path(path).stem}_clusters.csv")
    if clusters and beside.exists() and not _is_our_table(beside):
        raise ValueError(
            f"{beside} is no table of clusters that annotate wrote, and would be replaced; give a csv elsewhere."
        )


def _is_our_table(path: Path) -> bool:
    """Whether a file begins as the table of clusters does. Nobody named that file, so only our own is replaced."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_CLUSTERS_BEGIN)) == _CLUSTERS_BEGIN


def tables_at(path: str | Path, uns: Mapping[str, Any]) -> list[Path]:
    """Return which files `write_tables` writes; arguments as there."""
    path = Path(path)
    return [path, *([path.with_name(f"{path.stem}_clusters.csv")] if "clusters" in uns else [])]


def write_tables(path: str | Path, cell_names: pd.Index, obs: Mapping[str, Any], uns: Mapping[str, Any]) -> None:
    """Write the names of cells, and of clusters where there are any.

    Args:
        path: CSV file of the cells; the clusters of names.csv stand beside it, in names_clusters.csv.
        cell_names: barcodes.
        obs: columns of the results, each of shape (cells,).
        uns: settings of the results; "clusters" holds the table of clusters.
    """
    found = {column: np.asarray(obs[column]) for column in _COLUMNS if column in obs}
    tables = [pd.DataFrame(found, index=cell_names.rename("barcode")).reset_index()]
    tables += [pd.DataFrame(uns["clusters"])] if "clusters" in uns else []
    for table, target in zip(tables, tables_at(path, uns), strict=True):
        with atomic_output(target) as temporary:
            table.to_csv(temporary, index=False, float_format=_NUMBERS)
