"""What people are told of the labels that they gave."""

from collections.abc import Iterable

from langcell.processing.labels.lookup import Label
from langcell.processing.ontology.terms import Ontology

CELL_ONTOLOGY = "the Cell Ontology"


def label_notes(labels: Iterable[Label], *, ontology: Ontology | None = None, searched: str | None = None) -> list[str]:
    """Lines on the labels whose texts somebody might want to look at: shorthands, and names without a term.

    Args:
        labels: resolved.
        ontology: where they were looked up; by default the bundled Cell Ontology.
        searched: how people call that; by default the Cell Ontology where `ontology` has it, else the file's name.

    >>> from langcell.processing.labels.resolve import resolve_labels
    >>> for note in label_notes(resolve_labels(["NK cell", "CD14+ Mono", "My odd cells"])):
    ...     print(note)
    Read as terms of the Cell Ontology: CD14+ Mono as CD14-positive monocyte (CL:0001054)
    Not in the Cell Ontology, used as they are: My odd cells
    """
    ontology = ontology or Ontology.cellxgene()
    labels, notes = list(labels), []
    where = searched or (CELL_ONTOLOGY if "CL" in ontology.prefixes else f"the ontology {ontology.version}")
    if read := [(label.name, label.ontology_term_id) for label in labels if label.match == "shorthand"]:
        listed = ", ".join(f"{name} as {ontology.term(id_).name} ({id_})" for name, id_ in read if id_)
        notes.append(f"Read as terms of {where}: {listed}")
    if plain := [label.name for label in labels if label.match is None]:
        notes.append(f"Not in {where}, used as they are: {', '.join(plain)}")
    return notes
