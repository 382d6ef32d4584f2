"""A broader answer where two narrow ones are equally likely: `langcell annotate --ontology-backoff`.

The words used here, all by the ontology's is_a relation:

- A *parent* of a term is an ancestor that is above no other ancestor of the term.
- The *lowest common ancestors* of two terms are their common ancestors that are above no other common ancestor. Where
  there are several, the one that takes the fewest steps from both together is meant, of equals the first by id. The
  ontology's root ("cell") is none: it would say nothing.
- Two terms are *siblings* if neither is above the other and their lowest common ancestor is at most `MOST_STEPS`
  parents away from each. (One step alone would tear B cell and T cell apart, which the Cell Ontology joins in
  "lymphocyte" after one and two steps.)
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology, Term

MOST_STEPS = 2


def back_off(
    scores: np.ndarray, labels: Sequence[Label], *, margin: float, ontology: Ontology
) -> tuple[list[str], list[str]]:
    """Name each cell by its best label, or by what its two best have in common where they are siblings and close.

    Args:
        scores: (cells, labels); NaN counts as lower than everything. A runner-up that was not evaluated is never close,
            so that only `rerank="full"` (or "none") finds every case.
        labels: the candidates, in the order of the columns.
        margin: the greatest difference between the two best scores that counts as close; 0 to 1.
        ontology: where the labels' terms are.

    Returns:
        Names and ontology ids ("" where a label has none), one of each for every cell. A cell without any score
        has "" for both.

    Raises:
        ValueError: a margin outside 0 to 1, or scores whose columns are not the labels.

    >>> from langcell.processing.labels.resolve import resolve_labels
    >>> labels = resolve_labels(["CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell", "hepatocyte"])
    >>> scores = np.array([[0.48, 0.46, 0.06], [0.7, 0.2, 0.1], [0.46, 0.06, 0.48]])
    >>> back_off(scores, labels, margin=0.05, ontology=Ontology.cellxgene())[0]
    ['mature alpha-beta T cell', 'CD4-positive, alpha-beta T cell', 'hepatocyte']
    """
    if not 0 <= margin <= 1:
        raise ValueError(f"margin is {margin}; legal are 0 (ties only) to 1.")
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ValueError(f"scores have shape {scores.shape}, but there are {len(labels)} labels; give a column each.")
    if not len(scores):
        return [], []
    best, second, close = _two_best(scores, margin)
    names = np.array([label.name for label in labels], dtype=object)[best]
    ids = np.array([label.ontology_term_id or "" for label in labels], dtype=object)[best]
    names[np.isnan(scores).all(axis=1)] = ids[np.isnan(scores).all(axis=1)] = ""

    @cache
    def answer(one: str, other: str) -> Term | None:
        return common_parent(one, other, ontology=ontology)

    for row in np.flatnonzero(close):
        one, other = sorted(labels[i].ontology_term_id or "" for i in (best[row], second[row]))
        if one and (term := answer(one, other)):
            names[row], ids[row] = term.name, term.id
    return names.tolist(), ids.tolist()


def common_parent(one: str, other: str, *, ontology: Ontology) -> Term | None:
    """Return the lowest common ancestor of two siblings; None where the terms are no siblings (see above).

    >>> ontology = Ontology.cellxgene()
    >>> common_parent("CL:0000236", "CL:0000084", ontology=ontology).name  # B cell, T cell
    'lymphocyte'
    >>> common_parent("CL:0000084", "CL:0000624", ontology=ontology)  # T cell, CD4-positive, alpha-beta T cell
    """
    if one == other or one not in ontology or other not in ontology:
        return None
    if one in ontology.ancestors(other) or other in ontology.ancestors(one):
        return None
    common = ontology.ancestors(one) & ontology.ancestors(other)
    lowest = {term for term in _lowest(common, ontology) if ontology.ancestors(term)}
    steps_one, steps_other = _steps_up(one, ontology), _steps_up(other, ontology)
    near = [term for term in lowest if max(steps_one.get(term, 9), steps_other.get(term, 9)) <= MOST_STEPS]
    if not near:
        return None
    return ontology.term(min(near, key=lambda term: (steps_one[term] + steps_other[term], term)))


def _two_best(scores: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column of the best and of the second best score, and whether they are close; each (cells,)."""
    filled = np.where(np.isnan(scores), -np.inf, scores)
    rows = np.arange(len(filled))
    best = filled.argmax(axis=1)
    first = filled[rows, best]
    filled[rows, best] = -np.inf
    second = filled.argmax(axis=1)
    runner_up = filled[rows, second]
    close = np.isfinite(runner_up) & (runner_up >= first - margin)
    return best, second, close


def _lowest(terms: set[str], ontology: Ontology) -> set[str]:
    """Return those of the terms that are above no other of them."""
    above: set[str] = set().union(*(ontology.ancestors(term) for term in terms))
    return terms - above


def _steps_up(term_id: str, ontology: Ontology) -> dict[str, int]:
    """Fewest steps from a term to each term up to `MOST_STEPS` parents above it."""
    steps, level = {term_id: 0}, [term_id]
    for distance in range(1, MOST_STEPS + 1):
        parents = {parent for term in level for parent in _lowest(ontology.ancestors(term), ontology)}
        level = [parent for parent in parents if parent not in steps]
        steps |= dict.fromkeys(level, distance)
    return steps
