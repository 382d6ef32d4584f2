"""Labels read beside each other: each is the context of the others, and no two may end up with one text."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from langcell.processing.labels.checks import check_labels
from langcell.processing.labels.field_names import context_words
from langcell.processing.labels.lookup import Label, look_up, plain_label
from langcell.processing.labels.suggest import accepted
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology

_READ_FREELY = ("table", "shorthand")


def resolve_entries(
    entries: Sequence[LabelEntry | Label],
    ontology: Ontology,
    *,
    tissue: str | None = None,
    accept_suggestions: bool = False,
) -> list[Label]:
    """Look labels up, and check that they can be told apart; see `resolve.resolve_labels`.

    Raises:
        ValueError: see `resolve.resolve_labels`.
    """
    alone = [entry if isinstance(entry, Label) else look_up(entry, ontology) for entry in entries]
    labels = [
        entry if isinstance(entry, Label) else look_up(entry, ontology, context=_around(place, alone, ontology, tissue))
        for place, entry in enumerate(entries)
    ]
    labels = _each_with_a_text_of_its_own(labels, ontology)
    if accept_suggestions:
        labels = accepted(labels, ontology, tissue=tissue)
    check_labels(labels, [entry.name for entry in entries])
    return labels


def _around(place: int, labels: Sequence[Label], ontology: Ontology, tissue: str | None) -> frozenset[str]:
    """Return the words around a label: the tissue, and names and terms of the other labels."""
    others = [label for other, label in enumerate(labels) if other != place]
    terms = [ontology.term(label.ontology_term_id).name for label in others if label.ontology_term_id]
    return context_words([tissue, *(label.name for label in others), *terms])


def _each_with_a_text_of_its_own(labels: Sequence[Label], ontology: Ontology) -> list[Label]:
    """Labels whose reading is that of another label stay as they are, so that no two share a text."""
    same: dict[str | None, list[Label]] = defaultdict(list)
    for label in labels:
        if label.match not in (None, "given"):
            same[label.ontology_term_id].append(label)
    result = []
    for label in labels:
        group = same[label.ontology_term_id] if label.ontology_term_id else []
        if label.match in _READ_FREELY and len(group) > 1:
            others = ", ".join(other.name for other in group if other is not label)
            term = ontology.term(str(label.ontology_term_id))
            remark = f"{label.name} is used as it is: it means {term.name} ({term.id}), as {others} does"
            label = plain_label(label.name, remark=remark)
        result.append(replace(label))
    return result
