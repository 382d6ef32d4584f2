"""The texts of the metadata of one source, and what becomes of ontology ids that the ontologies do not have.

Ontologies grow with each schema of CELLxGENE: one new id, or one typing error, is no reason to lose a corpus.
"""

from collections import Counter
from collections.abc import Mapping

from langcell.processing.ontology.descriptions import ASPECT_COLUMNS, describe, known_values
from langcell.processing.ontology.terms import Ontology
from langcell.processing.sources.cell_metadata import METADATA_COLUMNS, Metadata
from langcell.processing.tokenization.options import OnUnknownId

_MOST_NAMED = 5


class MetadataTexts:
    """Describes combinations of metadata, and counts the cells of each unknown id.

    Args:
        ontology: where ids are looked up; obsolete and merged ones follow their successor.
        on_unknown_id: "error": all of them are refused at the end (`check`); "drop": the aspect is left out;
            "keep-name": the name that stands beside the id takes its place, or the aspect is left out where none does.

    Attributes:
        unknown: cells of each unknown id, by column and id.
    """

    def __init__(self, ontology: Ontology, on_unknown_id: OnUnknownId) -> None:
        self._ontology, self._on_unknown_id = ontology, on_unknown_id
        self._unknown_in: dict[Metadata, list[tuple[str, str]]] = {}
        self.unknown: Counter[tuple[str, str]] = Counter()

    def text(self, combination: Metadata, names: Mapping[tuple[str, str], str]) -> str:
        """Return the description of a combination.

        Args:
            combination: values of `METADATA_COLUMNS`.
            names: names of `names_of_ids`.

        Raises:
            ValueError: a value is no text.
        """
        unknown: list[tuple[str, str]] = []

        def stand_in(aspect: str, term_id: str) -> str | None:
            place = (ASPECT_COLUMNS[aspect], term_id)
            unknown.append(place)
            if self._on_unknown_id != "keep-name" or place not in names:
                return None
            return " ".join(known_values(names[place])) or None

        row = dict(zip(METADATA_COLUMNS, combination, strict=True))
        text = describe(row, ontology=self._ontology, on_unknown=stand_in)
        self._unknown_in[combination] = unknown
        return text

    def count(self, combination: Metadata, cells: int) -> None:
        """Count cells of a combination that has its text."""
        for place in self._unknown_in[combination]:
            self.unknown[place] += cells

    def check(self) -> None:
        """Refuse the unknown ids, where that was asked for.

        Raises:
            ValueError: one line with the ids and their cells.
        """
        if self.unknown and self._on_unknown_id == "error":
            raise ValueError(
                f"{said_of_unknown(self.unknown, self._ontology)} Correct them, or go on without these aspects "
                "(--on-unknown-id drop) or with the names beside the ids (--on-unknown-id keep-name)."
            )


def said_of_unknown(unknown: Mapping[tuple[str, str], int], ontology: Ontology) -> str:
    """Return the unknown ids of a source in a line, with the cells that have them."""
    lines = []
    for (column, term_id), cells in list(unknown.items())[:_MOST_NAMED]:
        try:
            ontology.term(term_id)
        except ValueError as error:
            lines.append(f"{column}: {str(error).rstrip('.')} ({cells:,} {'cell' if cells == 1 else 'cells'}).")
    more = len(unknown) - _MOST_NAMED
    return " ".join(lines) + (f" And {more} more." if more > 0 else "")
