"""How far a cell and its neighbours agree on a name: the evidence that a confidence is made of.

Posteriors of a mixture are near 0 or 1, since every component counts as evidence of its own, and the errors that are
left are those of whole groups. The text of a single cell wavers. What tells right names from wrong ones is whether the
cells around got the same name, each by itself and by the file:

    A[i, l] = mean over cell i and its nearest cells j of ([l is the name of j alone] + q[j, l]) / 2

with the posterior q. Rows sum to 1, so the agreement on a branch of the ontology is the sum over its labels. The
nearest cells are those of `neighbours`, the cell itself among them where it is in the sample: then it counts twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Agreement:
    """Votes of the cells among which neighbours are looked for.

    Attributes:
        votes: float32, shape (cells of the search, labels); rows sum to 1.
        text: what similarities say of the labels, with which a cell is named alone; of the same shape.
    """

    votes: np.ndarray
    text: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def fit(
        cls, similarity: np.ndarray, posterior: np.ndarray, text: Callable[[np.ndarray], np.ndarray]
    ) -> "Agreement":
        """Remember the votes of cells.

        Args:
            similarity: their similarities, shape (cells, labels).
            posterior: their posteriors of the file, likewise.
            text: see above.
        """
        return cls(_votes(text(similarity), posterior).astype(np.float32), text)

    def around(self, similarity: np.ndarray, posterior: np.ndarray, rows: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Return A above for any cells of the file, float64, shape (cells, labels).

        Args:
            similarity: their similarities, shape (cells, labels); NaN for a cell without a known gene.
            posterior: their posteriors of the file, likewise; zeros for such a cell, whose agreement is zeros, too.
            rows: int, shape (placed cells,); cells that have neighbours. Others stand for themselves.
            near: int, shape (placed cells, neighbours); their nearest cells among those of the search.
        """
        found = _votes(self.text(similarity), posterior)
        if len(rows):
            around = self.votes[near].sum(axis=1, dtype=np.float64)
            found[rows] = (found[rows] + around) / (1 + near.shape[1])
        return found


def _votes(text: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Half a vote for the name alone, half by the posterior; float64, zeros for a cell that has none."""
    votes = posterior.astype(np.float64) / 2
    heard = np.flatnonzero(posterior.any(axis=1) & np.isfinite(text).all(axis=1))
    votes[heard, text[heard].argmax(axis=1)] += 0.5
    return votes
