"""Candidates that come from the ontology, beside the true types of a file: a branch, or the types of a tissue."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from langcell.inference.naming.candidates import chosen
from langcell.inference.naming.options import LabelOptions
from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology
from langcell.training.labelled.labelled_cells import LabelledCells


def candidates_of_branch(
    config: Callable[[], Any], *, ontology_root: str | None = None, tissue: str | None = None
) -> list[Label] | None:
    """Return what `langcell annotate` takes for the same options; None where neither is given.

    Args:
        config: returns the configuration of the model; called where it is needed.
        ontology_root: Cell Ontology id or name; the candidates are the model's training types at or below it.
        tissue: the candidates are the training types of this tissue.

    Raises:
        ValueError: both are given, or see `chosen`.
    """
    if ontology_root is None and tissue is None:
        return None
    if ontology_root is not None and tissue is not None:
        raise ValueError("--ontology-root and --tissue both give the candidates; leave one of them out.")
    return chosen(LabelOptions(ontology_root=ontology_root, tissue=tissue), config).labels


def with_candidates(labelled: LabelledCells, candidates: Sequence[Label]) -> LabelledCells:
    """Return the same cells, judged by other candidates than their types.

    A true type that is read as the term of a candidate is that candidate. The others come after the candidates: no cell
    is called so, and the ontology says how near an answer is.

    Args:
        labelled: true types.
        candidates: what cells can be called.

    Raises:
        ValueError: no type has an ontology id, so that no answer can be judged.
    """
    ontology = Ontology.cellxgene()
    terms = [_current(label, ontology) for label in labelled.labels]
    if not any(terms):
        raise ValueError(
            "None of the true types has a term of the ontology, so no answer of a branch can be judged; give their ids "
            "by --label-ids-column."
        )
    code = {term: place for place, label in enumerate(candidates) if (term := _current(label, ontology))}
    labels, place_of = list(candidates), []
    for label, term in zip(labelled.labels, terms, strict=True):
        if term in code:
            place_of.append(code[term])
        else:
            place_of.append(len(labels))
            labels.append(label)
    truth = np.where(labelled.truth >= 0, np.array(place_of)[labelled.truth], -1)
    return replace(labelled, labels=labels, truth=truth, n_candidates=len(candidates))


def _current(label: Label, ontology: Ontology) -> str | None:
    term = label.ontology_term_id
    return ontology.current(term).id if term and term in ontology else None
