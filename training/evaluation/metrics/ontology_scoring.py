"""Scoring that knows the ontology: how far a wrong label is from the true one.

The rule, which every report repeats: the right term and any term below it count 1 (a finer answer is not wrong); a term
d steps above the right one counts 1 / (1 + d), so that the parent counts a half and "cell", which is true of every
cell, next to nothing; everything else counts 0. Steps are is_a edges. A type without an ontology id is scored strictly.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology

RULE = (
    "Ontology-aware accuracy: the right term or one below it counts 1, a term d is_a steps above the right one "
    "1 / (1 + d), any other 0; a type without an ontology id is scored strictly."
)


class TermDistances:
    """Steps between terms along is_a edges, for terms of one ontology.

    Args:
        ontology: where ancestors are looked up.

    >>> distances = TermDistances(Ontology.cellxgene())
    >>> distances.between("CL:0000236", "CL:0000236"), distances.between("CL:0000236", "CL:0000945")  # B, its parent
    (0, 1)
    >>> distances.credit("CL:0000236", "CL:0000945"), distances.credit("CL:0000945", "CL:0000236")
    (0.5, 1.0)
    """

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        # One instance serves thousands of pairs of a few hundred terms.
        self.steps_up = lru_cache(maxsize=None)(self._steps_up)

    @cached_property
    def _ancestors(self) -> dict[str, frozenset[str]]:
        return {}

    def _above(self, term_id: str) -> frozenset[str]:
        if term_id not in self._ancestors:
            self._ancestors[term_id] = frozenset(self._ontology.ancestors(term_id))
        return self._ancestors[term_id]

    def _parents(self, term_id: str) -> list[str]:
        """Return the nearest ancestors: those that are above no other ancestor."""
        above = self._above(term_id)
        covered = set().union(*(self._above(other) for other in above)) if above else set()
        return sorted(above - covered)

    def _steps_up(self, term_id: str) -> dict[str, int]:
        """Return the term itself (0) and each ancestor, with the fewest steps up to it."""
        steps, frontier = {term_id: 0}, [term_id]
        while frontier:
            reached = {parent for term in frontier for parent in self._parents(term)} - steps.keys()
            depth = steps[frontier[0]] + 1
            steps |= dict.fromkeys(sorted(reached), depth)
            frontier = sorted(reached)
        return steps

    def between(self, first: str, second: str) -> int | None:
        """Return the fewest steps from one term up to a common ancestor and down to the other; None where they share
        none."""
        up, other = self.steps_up(first), self.steps_up(second)
        return min((up[term] + other[term] for term in up.keys() & other.keys()), default=None)

    def credit(self, truth: str, predicted: str) -> float:
        """Return what the answer `predicted` counts where `truth` is right; see the rule at the top of this file."""
        if truth in self.steps_up(predicted):  # the same term, or a finer one
            return 1.0
        steps = self.steps_up(truth).get(predicted)
        return 0.0 if steps is None else 1 / (1 + steps)


def credit_matrix(labels: Sequence[Label], ontology: Ontology) -> np.ndarray:
    """Return what each label counts for each true type.

    Args:
        labels: the candidates; those whose id the ontology lacks are scored strictly.
        ontology: where their ids are.

    Returns:
        float64, shape (labels, labels + 1): row the true type, column the answer; the last column is "no label", 0.
    """
    credit = np.eye(len(labels), len(labels) + 1)
    distances = TermDistances(ontology)
    known = [
        (i, ontology.current(label.ontology_term_id).id)
        for i, label in enumerate(labels)
        if label.ontology_term_id and label.ontology_term_id in ontology
    ]
    for row, truth in known:
        for column, predicted in known:
            if row != column:
                credit[row, column] = distances.credit(truth, predicted)
    return credit
