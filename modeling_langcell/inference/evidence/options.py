"""Options of `langcell explain`; imports no library."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from langcell.processing.options import option

LABEL_COLUMN = "langcell_label"
TOP = 10


@dataclass(frozen=True)
class EvidenceOptions:
    """Which cells are explained, and by what; see `explain`."""

    panel: ClassVar[str] = "Evidence"

    label: str | None = option(None, "Label to explain; all labels of the column when not given.")
    cluster: str | None = option(None, "Cluster to explain, by its name in the cluster column.")
    cell: str | None = option(
        None, "Cell to explain, by its name or its row: which of its genes make it similar to its label.", cli_type=str
    )
    against: str | None = option(
        None, "Second label: what would make the cells of the label (or the cell) one of these."
    )
    label_column: str = option(LABEL_COLUMN, "Column of obs with the label of each cell.")
    cluster_column: str | None = option(
        None, "Column of obs with clusters, such as leiden: clusters are explained instead of labels."
    )
    markers: str | Path | None = option(
        None,
        "Marker lists of your own: a GMT file (name, description, genes), or a CSV file with the columns label and "
        "gene.",
        metavar="FILE",
        cli_type=str,
    )
    top: int = option(TOP, "Largest number of genes per list.")

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"top is {self.top}; give at least one gene per list.")
        if self.cell is not None and (self.cluster is not None or self.cluster_column is not None):
            raise ValueError("cell and cluster exclude each other; explain one of them.")
        if self.against is not None and self.label is None and self.cell is None and self.cluster is None:
            raise ValueError(f"against is {self.against!r} without a label, cluster or cell; say what is compared.")
