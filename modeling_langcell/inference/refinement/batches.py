"""The batches of a file moved onto one another, so that cells of one type lie together whatever batch they are of.

- **mean**: the mean of each batch is moved to that of all cells. Types that one batch alone has are moved with it.
- **harmony**: Harmony (Korsunsky et al. 2019, the package harmonypy, extra [harmony]) moves the cells of each batch by
  soft clusters: a type that one batch alone has stays where it is. It is run on the cells of the sample, at most
  `MOST_HARMONIZED`. Every cell moves as the nearest of these of its own batch does, so no result depends on the order
  of the file or on its chunks.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

BatchMethod = Literal["mean", "harmony"]
# Cells that Harmony is run on; ten seconds for these.
MOST_HARMONIZED = 20_000
# A batch of so few cells of the sample is moved halfway to the common mean.
_CELLS_HALFWAY = 10


class BatchMoves(Protocol):
    """How far the cells of each batch are moved."""

    def moved(self, places: np.ndarray, batches: np.ndarray) -> np.ndarray:
        """Return where cells lie once batches are moved onto one another, shape (cells, components)."""
        ...


def fit_moves(method: BatchMethod, places: np.ndarray, batches: np.ndarray, *, seed: int = 0) -> BatchMoves:
    """Fit moves to the sample of a file.

    Args:
        method: see the module.
        places: where its cells lie, shape (cells, components); NaN for a cell without counts.
        batches: the batch of each as text, shape (cells,).
        seed: random seed of Harmony.

    Raises:
        ValueError: Harmony is asked for and not installed.
    """
    used = np.isfinite(places).all(axis=1)
    places, batches = places[used].astype(np.float64), batches[used]
    if method == "harmony" and len(np.unique(batches)) > 1:
        return NearestMoves.fit(places[:MOST_HARMONIZED], batches[:MOST_HARMONIZED], seed=seed)
    return MeanMoves.fit(places, batches)


@dataclass(frozen=True)
class MeanMoves:
    """One move for each batch.

    Attributes:
        offsets: how far the mean of each batch lies from that of all cells, in components.
    """

    offsets: dict[str, np.ndarray]

    @classmethod
    def fit(cls, places: np.ndarray, batches: np.ndarray) -> "MeanMoves":
        """Fit to cells that all have a place; arguments as in `fit_moves`."""
        centre, offsets = places.mean(axis=0), {}
        for name in np.unique(batches):
            own = places[batches == name]
            offsets[str(name)] = (own.sum(axis=0) - len(own) * centre) / (len(own) + _CELLS_HALFWAY)
        return cls(offsets)

    def moved(self, places: np.ndarray, batches: np.ndarray) -> np.ndarray:
        """Return the places less how far the mean of the cell's batch lies from that of all cells."""
        names, codes = np.unique(batches, return_inverse=True)
        nothing = np.zeros(places.shape[1])
        return places - np.stack([self.offsets.get(str(name), nothing) for name in names])[codes]


@dataclass(frozen=True, eq=False)
class NearestMoves:
    """A move for each cell of the sample, which the cells beside it follow.

    Attributes:
        places: where the cells of the sample lay, shape (cells, components).
        batches: the batch of each as text, shape (cells,).
        moves: how far each was moved, shape (cells, components).
    """

    places: np.ndarray
    batches: np.ndarray
    moves: np.ndarray

    @classmethod
    def fit(cls, places: np.ndarray, batches: np.ndarray, *, seed: int) -> "NearestMoves":
        """Fit to cells that all have a place; arguments and errors as in `fit_moves`."""
        return cls(places, batches, harmonize(places, batches, seed=seed) - places)

    def moved(self, places: np.ndarray, batches: np.ndarray) -> np.ndarray:
        """Return the places, each moved as the nearest cell of the sample of its batch; a batch without stays."""
        from sklearn.neighbors import NearestNeighbors  # a second of imports, for this alone

        found = places.astype(np.float64)
        placed = np.isfinite(places).all(axis=1)
        for name in np.unique(batches):
            own, rows = np.flatnonzero(self.batches == name), np.flatnonzero((batches == name) & placed)
            if len(own) and len(rows):
                search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(self.places[own])
                nearest = search.kneighbors(found[rows], return_distance=False)[:, 0]
                found[rows] += self.moves[own[nearest]]
        return found


def check_harmony() -> None:
    """Refuse Harmony without the package that does it.

    Raises:
        ValueError: harmonypy is not installed.
    """
    try:
        import harmonypy  # noqa: F401
    except ImportError as error:
        raise ValueError(f'Harmony is missing ({error}); pip install "langcell[harmony]".') from error


def harmonize(places: np.ndarray, batches: np.ndarray, *, seed: int) -> np.ndarray:
    """Return places corrected by Harmony.

    Args:
        places: principal components, shape (cells, components).
        batches: the batch of each cell as text, shape (cells,).
        seed: random seed.

    Returns:
        float64, shape as given; the same for a seed whatever the number of cores.

    Raises:
        ValueError: harmonypy is not installed.
    """
    check_harmony()
    import harmonypy
    import pandas as pd

    meta = pd.DataFrame({"batch": batches})
    found = harmonypy.run_harmony(places.astype(np.float64), meta, ["batch"], random_state=seed, verbose=False)
    corrected = np.asarray(found.Z_corr, dtype=np.float64)
    # harmonypy 0.0 has cells in columns, 2.0 in rows.
    return corrected if corrected.shape == places.shape else corrected.T
