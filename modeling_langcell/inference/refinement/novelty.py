"""Cells that fit none of the labels: one of the given labels always wins, and this says where none should.

Evidence that a cell i is of one of the labels, from its similarities s (cos / temperature, which the model's reference
cells make comparable between files):

    e[i] = 4 log sum over labels of exp(s[i, l] / 4)  +  1.8 max over labels of (s[i, l] - t[l])

t[l] is the similarity to label l that one cell in a hundred of the file exceeds: a cell of a type is about as similar
to its label as the best of the file, a cell of another type is not. Where each label is a term of the Cell Ontology,
the types of the reference cells that are none of the labels are heard, too (`scoring.other_types`):

    e'[i] = e[i] + log sum over labels of exp(s'[i, l]) - log sum over other types of exp(s'[i, o])

with similarities s' that are on one scale for labels and other types. Evidence is averaged over the cell and its 20
nearest neighbours, and novelty is 1 / (1 + exp((e - midpoint) / scale)), which falls as evidence grows. The scales, and
the midpoint without other types, are a logistic regression over five real sets and a panel form of one, each type left
out of the candidates in turn, sets and types weighted equally. The midpoint with other types is such that the line for
"unknown" is the same.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logsumexp

if TYPE_CHECKING:  # it takes a second
    from sklearn.neighbors import NearestNeighbors

# Neighbours are looked for among so many cells of the file: the first of the sample.
MOST_CELLS = 10_000
N_NEIGHBORS = 20
# Without other types, and with them.
MIDPOINT, SCALE = 9.6, 4.4
MIDPOINT_WITH_TYPES, SCALE_WITH_TYPES = 5.0, 6.1
# `--unknown auto`: at most 5 % of the cells of known types lie above it, mean of six real sets; 2.6 % with other types.
UNKNOWN_ABOVE = 0.72

_SOFTNESS = 4.0
_RELATIVE_WEIGHT = 1.8
_HIGH = 0.99


@dataclass(frozen=True, eq=False)
class Novelty:
    """What is needed to say of each cell of a file how little any label fits it.

    Attributes:
        high: t above, shape (labels,).
        evidence: evidence of the cells among which neighbours are looked for, shape (cells,).
        search: finds them by their components; None where cells have none, and each stands alone.
        with_types: whether other types are heard.
    """

    high: np.ndarray
    evidence: np.ndarray
    search: "NearestNeighbors | None"
    with_types: bool = False

    @classmethod
    def fit(
        cls, similarity: np.ndarray, components: np.ndarray | None = None, margin: np.ndarray | None = None
    ) -> "Novelty":
        """Look at a sample of the file, in the order of `sampling`.

        Args:
            similarity: cos / temperature, shape (cells, labels); NaN for a cell without a known gene.
            components: where the cells lie, shape (cells, components); NaN for an empty cell. Without, no neighbours.
            margin: what is added to e above, shape (cells,); None where other types are not heard.

        Raises:
            ValueError: no cell with similarities, or shapes that do not fit.
        """
        if similarity.ndim != 2 or (components is not None and len(components) != len(similarity)):
            raise ValueError(
                f"similarity {similarity.shape} and components {None if components is None else components.shape} do "
                "not fit; give a row of each for every cell."
            )
        heard = np.isfinite(similarity).all(axis=1)
        if not heard.any():
            raise ValueError("No cell has similarities; novelty needs at least one.")
        high = np.quantile(similarity[heard].astype(np.float64), _HIGH, axis=0)
        used = heard if components is None else heard & np.isfinite(components).all(axis=1)
        chosen = np.flatnonzero(used)[:MOST_CELLS]
        evidence = _evidence(similarity[chosen], high, None if margin is None else margin[chosen])
        if components is None or len(chosen) < 2:
            return cls(high, evidence, None, margin is not None)
        neighbors = min(N_NEIGHBORS, len(chosen))
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(components[chosen])
        return cls(high, evidence, search, margin is not None)

    def score(
        self, similarity: np.ndarray, components: np.ndarray | None = None, margin: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the novelty of a block of cells.

        Args:
            similarity: as in `fit`.
            components: as in `fit`.
            margin: as in `fit`, for these cells.

        Returns:
            float64, 0 to 1, shape (cells,); 1 for a cell without similarities, which nothing speaks for.

        Raises:
            ValueError: a margin where `fit` had none, or none where it had one.
        """
        found = np.ones(len(similarity))
        heard = np.isfinite(similarity).all(axis=1)
        if (margin is not None) != self.with_types:
            raise ValueError("other types are heard of some cells and not of others; give a margin for all, or none.")
        evidence = _evidence(similarity[heard], self.high, None if margin is None else margin[heard])
        if self.search is not None and components is not None and heard.any():
            placed = np.isfinite(components[heard]).all(axis=1)
            if placed.any():
                near = self.search.kneighbors(components[heard][placed], return_distance=False)
                around = self.evidence[near]
                evidence[placed] = (evidence[placed] + around.sum(axis=1)) / (1 + around.shape[1])
        midpoint, scale = (MIDPOINT_WITH_TYPES, SCALE_WITH_TYPES) if self.with_types else (MIDPOINT, SCALE)
        found[heard] = expit((midpoint - evidence) / scale)
        return found


def is_unknown(novelty: np.ndarray, above: float = UNKNOWN_ABOVE) -> np.ndarray:
    """Return which cells are called unknown, bool, shape (cells,).

    Raises:
        ValueError: `above` is outside 0 to 1.
    """
    if not 0 <= above <= 1:
        raise ValueError(f"above is {above}; legal are 0 (every cell is unknown) to 1 (none is).")
    return novelty > above


def sentence(novelty: np.ndarray, above: float = UNKNOWN_ABOVE) -> str:
    """Say how many cells fit no label.

    >>> sentence(np.array([0.1, 0.99, 0.3]))
    '1 of 3 cells fit none of these labels'
    """
    count = int(is_unknown(novelty, above).sum())
    return f"{count:,} of {len(novelty):,} cells fit none of these labels"


def _evidence(similarity: np.ndarray, high: np.ndarray, margin: np.ndarray | None) -> np.ndarray:
    similarity = similarity.astype(np.float64)
    total = _SOFTNESS * np.asarray(logsumexp(similarity / _SOFTNESS, axis=1))
    own = total + _RELATIVE_WEIGHT * (similarity - high).max(axis=1)
    return own if margin is None else own + margin.astype(np.float64)
