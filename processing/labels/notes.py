"""Notes for people on how their labels were read."""

import re
from collections.abc import Iterable, Sequence

from langcell.processing.labels.lookup import Label
from langcell.processing.labels.suggest import Suggestion, suggestions
from langcell.processing.ontology.terms import Ontology, normalize_name
from langcell.processing.ontology.unknown_values import says_nothing

CELL_ONTOLOGY = "the Cell Ontology"


def label_notes(
    labels: Iterable[Label],
    *,
    ontology: Ontology | None = None,
    searched: str | None = None,
    tissue: str | None = None,
) -> list[str]:
    """Return the lines on the readings of labels: each that is not the term's own name, and each name without a term.

    Args:
        labels: resolved.
        ontology: where they were looked up; by default the bundled Cell Ontology.
        searched: how people call that; by default the Cell Ontology where `ontology` has it, else the file's name.
        tissue: where the cells are from, in words; it helps to say what a name without a term may mean.

    >>> from langcell.processing.labels.resolve import resolve_labels
    >>> for note in label_notes(resolve_labels(["NK cell", "B cell", "My odd cells"])):
    ...     print(note)
    Read as terms of the Cell Ontology: NK cell as natural killer cell (CL:0000623)
    Not in the Cell Ontology, used as they are: My odd cells
    """
    ontology, labels = ontology or Ontology.cellxgene(), list(labels)
    where = searched or (CELL_ONTOLOGY if "CL" in ontology.prefixes else f"the ontology {ontology.version}")
    notes = [*_readings(labels, ontology, where), *(label.remark for label in labels if label.remark)]
    plain = [label for label in labels if label.match is None and not label.remark]
    words = [label.name for label in plain if not (_is_a_number(label.name) or says_nothing(label.name))]
    if words:
        notes.append(f"Not in {where}, used as they are: {', '.join(words)}")
    if numbers := [label.name for label in plain if _is_a_number(label.name)]:
        notes.append(
            f"Only numbers, which say nothing to a model that reads texts: {', '.join(numbers)}. Give names, or a text "
            "for each (--labels-file)"
        )
    if nothing := [label.name for label in plain if says_nothing(label.name)]:
        notes.append(f"Words for cells without a type, which no model can name by text: {', '.join(nothing)}")
    if searched in (None, CELL_ONTOLOGY) and (offered := suggestions(labels, ontology=ontology, tissue=tissue)):
        notes.append(suggestion_note(offered))
    return notes


def suggestion_note(offered: Sequence[Suggestion]) -> str:
    """Return one line on what labels without a term may mean."""
    return f"Did you mean (--accept-suggestions takes the first of each): {'; '.join(map(str, offered))}"


def _readings(labels: Sequence[Label], ontology: Ontology, where: str) -> list[str]:
    read = []
    for label in labels:
        if label.ontology_term_id is None or label.match in (None, "given") or label.ontology_term_id not in ontology:
            continue
        name = ontology.term(label.ontology_term_id).name
        if normalize_name(label.name) != normalize_name(name):
            read.append(f"{label.name} as {name} ({label.ontology_term_id})")
    return [f"Read as terms of {where}: {', '.join(read)}"] if read else []


def _is_a_number(name: str) -> bool:
    return re.fullmatch(r"\d+(?:\.\d+)?", name.strip()) is not None
