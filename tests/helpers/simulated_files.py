"""Small simulated files: cells of known types with counts, and similarities that are right for most of them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class SimulatedFile:
    """Counts (cells, genes), similarities (cells, labels) and the column of the right label, (cells,)."""

    counts: sparse.csr_matrix
    similarity: np.ndarray
    truth: np.ndarray

    def alone(self) -> float:
        """Accuracy of each cell's most similar label."""
        return float(np.mean(self.similarity.argmax(axis=1) == self.truth))

    def rows(self, chosen: np.ndarray) -> "SimulatedFile":
        return SimulatedFile(self.counts[chosen], self.similarity[chosen], self.truth[chosen])


def simulate(
    cells_per_type: tuple[int, ...], *, n_labels: int | None = None, noise: float = 1.5, seed: int = 0, genes: int = 120
) -> SimulatedFile:
    """Draw cells of `len(cells_per_type)` types; labels beyond these have no cells.

    A cell is 12 similar to its own label, 9 to the others of its file, 5 to absent ones, each with normal noise.
    """
    rng = np.random.default_rng(seed)
    n_types = len(cells_per_type)
    n_labels = n_labels or n_types
    base = rng.gamma(1.0, 1.0, genes)
    profiles = base * np.exp(rng.normal(0.0, 0.9, (n_types, genes)))
    truth = np.repeat(np.arange(n_types), cells_per_type)
    depth = rng.lognormal(np.log(600), 0.3, len(truth))
    mean = profiles[truth] / profiles[truth].sum(axis=1, keepdims=True) * depth[:, None]
    counts = rng.poisson(mean).astype(np.float32)
    similarity = np.where(np.arange(n_labels) < n_types, 9.0, 5.0) + rng.normal(0.0, noise, (len(truth), n_labels))
    similarity[np.arange(len(truth)), truth] += 3.0
    order = rng.permutation(len(truth))
    return SimulatedFile(sparse.csr_matrix(counts[order]), similarity[order], truth[order])


def doublets(file: SimulatedFile, share: float, *, seed: int = 0) -> SimulatedFile:
    """Add the sum of random pairs of cells, as many as this share of the file; the truth is that of the first."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, len(file.truth), (2, int(share * len(file.truth))))
    counts = sparse.vstack([file.counts, file.counts[first] + file.counts[second]], format="csr")
    similarity = np.vstack([file.similarity, (file.similarity[first] + file.similarity[second]) / 2])
    return SimulatedFile(sparse.csr_matrix(counts), similarity, np.concatenate([file.truth, file.truth[first]]))


def continuum(n_cells: int, *, noise: float = 1.5, seed: int = 0, genes: int = 120) -> SimulatedFile:
    """Cells all along the way between two types; the nearer end is right, and similarities change along it."""
    rng = np.random.default_rng(seed)
    ends = rng.gamma(1.0, 1.0, genes) * np.exp(rng.normal(0.0, 0.9, (2, genes)))
    ends /= ends.sum(axis=1, keepdims=True)
    way = rng.uniform(0.0, 1.0, n_cells)
    counts = rng.poisson(600 * ((1 - way)[:, None] * ends[0] + way[:, None] * ends[1])).astype(np.float32)
    similarity = 9 + 3 * np.stack([1 - way, way], axis=1) + rng.normal(0.0, noise, (n_cells, 2))
    return SimulatedFile(sparse.csr_matrix(counts), similarity, (way > 0.5).astype(np.int64))


def one_type_of_two_ends(n_cells: int, *, seed: int = 0, genes: int = 120) -> SimulatedFile:
    """Cells of one type along a gradient; at one end above all, the text prefers a second label, which no cell has."""
    rng = np.random.default_rng(seed)
    ends = rng.gamma(1.0, 1.0, genes) * np.exp(rng.normal(0.0, 0.25, (2, genes)))
    ends /= ends.sum(axis=1, keepdims=True)
    way = rng.normal(0.5, 0.25, n_cells)[:, None].clip(0, 1)
    counts = rng.poisson(1500 * ((1 - way) * ends[0] + way * ends[1])).astype(np.float32)
    similarity = (
        rng.normal(0.0, 0.7, (n_cells, 3)) + np.array([9.0, 9.3, 3.0]) + (way - 0.5) * np.array([0.0, 2.0, 0.0])
    )
    return SimulatedFile(sparse.csr_matrix(counts), similarity, np.zeros(n_cells, dtype=np.int64))
