"""What the nearest cells of a file are called, as one more voice beside the mixture.

A Gaussian per label takes the shape of a type for an ellipsoid. Where types have other shapes, the cells next to a cell
know better:

    q'[i, l] is proportional to q[i, l] * (mean of q[j, l] over the nearest cells j + 0.001)

in the first 15 components, which hold most of what separates types. Cells are looked for among the first 10,000 of the
sample. A file of few cells has fewer neighbours, one for each twenty cells. One such step is enough: more of them, or
more weight, make large types swallow small ones (training/EXPERIMENTS.md). Cost: 30 microseconds per cell.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a second of imports, for the one function that makes such an object
    from sklearn.neighbors import NearestNeighbors

MOST_CELLS = 10_000
N_NEIGHBORS = 15
N_COMPONENTS = 15

_CELLS_PER_NEIGHBOR = 20
_LEAST = 1e-3


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Cells of the sample, and what they are called.

    Attributes:
        search: finds them by their components.
        posterior: posterior of the labels, shape (cells of the search, labels).
        rows: int64, shape (cells of the search,); their places among the cells of `fit`.
    """

    search: "NearestNeighbors"
    posterior: np.ndarray
    rows: np.ndarray

    @classmethod
    def fit(cls, components: np.ndarray, posterior: np.ndarray) -> "Neighbours | None":
        """Remember cells; None where there are too few for a neighbour.

        Args:
            components: where the cells lie, shape (cells, components); NaN for an empty cell.
            posterior: posterior of the mixture, shape (cells, labels); zeros for a cell that it says nothing of.
        """
        used = np.flatnonzero(np.isfinite(components).all(axis=1) & posterior.any(axis=1))[:MOST_CELLS]
        wanted = min(N_NEIGHBORS, len(used) // _CELLS_PER_NEIGHBOR)
        if wanted < 1:
            return None
        # A cell of the sample is the first of its own neighbours.
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=wanted + 1, algorithm="brute").fit(components[used, :N_COMPONENTS])
        return cls(search, posterior[used], used)

    def nearest(self, components: np.ndarray, posterior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest cells of any cells of the file.

        Args:
            components: components of the cells, shape (cells, components).
            posterior: posterior of the mixture for the same cells. A cell without components, or with zeros, has none.

        Returns:
            int64, the rows of the cells that have neighbours, shape (placed cells,), and the places of these among the
            cells of the search, shape (placed cells, neighbours).
        """
        used = np.flatnonzero(np.isfinite(components).all(axis=1) & posterior.any(axis=1))
        if not len(used):
            return used, np.empty((0, 0), dtype=np.int64)
        return used, np.asarray(self.search.kneighbors(components[used, :N_COMPONENTS], return_distance=False))

    def heard(
        self, components: np.ndarray, posterior: np.ndarray, nearest: tuple[np.ndarray, np.ndarray] | None = None
    ) -> np.ndarray:
        """Return posteriors in which the neighbours are heard, float64, shape (cells, labels).

        Args:
            components: as in `nearest`.
            posterior: as in `nearest`; a cell without neighbours keeps what it has.
            nearest: what `nearest` found, where it is at hand.
        """
        found = posterior.astype(np.float64)
        used, near = self.nearest(components, posterior) if nearest is None else nearest
        if len(used):
            joined = found[used] * (self.posterior[near].mean(axis=1) + _LEAST)
            found[used] = joined / joined.sum(axis=1, keepdims=True)
        return found
