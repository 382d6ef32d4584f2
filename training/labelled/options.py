"""Options that say what the types of labelled cells are; imports no library."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from langcell.processing.options import option


@dataclass(frozen=True)
class LabelColumnOptions:
    """The column with the known types, and where their texts come from."""

    panel: ClassVar[str] = "Known types"

    label_column: str = option(
        help="Column of obs with the known types: names, or numbers of clusters.", show_default=False
    )
    label_ids_column: str | None = option(
        None, "Column of obs with the ontology id of each cell's type; the texts of the types come from these ids."
    )
    labels_file: str | Path | None = option(
        None,
        "File with the texts of the types: label<TAB>text, or JSON. It has to name every type in the column.",
        cli_type=Path,
        show_default=False,
    )
