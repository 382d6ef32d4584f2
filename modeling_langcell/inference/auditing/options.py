"""Options of `langcell audit`; imports no library."""

from dataclasses import dataclass
from typing import ClassVar

from langcell.processing.options import option


@dataclass(frozen=True)
class AuditOptions:
    """What is looked at, and what the groups may be called; see `audit`."""

    panel: ClassVar[str] = "Audit"

    label_column: str = option(help="Column of obs with the labels to look at.")
    cluster_column: str | None = option(
        None, "Column of obs with clusters, such as leiden: each cluster within a label is looked at, too."
    )
    id_column: str | None = option(
        None,
        "Column of obs with the ontology id of each label; cell_type_ontology_term_id or cl_id when not given, where "
        "there is one.",
    )
    candidates: str | None = option(
        None, 'Further labels that a group may be called, with commas between them, "B cell,NK cell,...".'
    )
    top: int = option(10, "Largest number of genes per list.")

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"top is {self.top}; give at least one gene per list.")
