"""Clusters that lie between two labels, as clusters of doublets do.

The posteriors of doublets do not say it: a mixture gives each of them to one of its two types with a probability near
1. Where they lie does. For a cluster with centre c and two labels with means p and q,

    t = (c - p) . (q - p) / |q - p|^2                 how far c lies on the way from p to q
    r = |c - p - t (q - p)| / |q - p|                 how far c lies beside it
    score = min(t, 1 - t) - r

in components that are whitened by the covariance within labels. A cluster of one type lies at an end of the way
(t near 0), or far beside it. Means and covariance are those of cells outside the cluster. One of the two labels is that
of the cluster, unless no other cells have it. Labels that lie close together have no cluster between them: that would
be a continuum. training/EXPERIMENTS.md has what it finds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

# Components that are read.
N_COMPONENTS = 30
# Score from which on a cluster counts as lying between two labels.
BETWEEN_ABOVE = 0.1
# Cells of a label outside the cluster, and of the cluster, from which on their mean says something.
_LEAST_CELLS = 10
# Squared distance, in units of the variance within labels, from which on two labels count as lying apart.
_APART = 20.0
_SHRINKAGE = 0.2


@dataclass(frozen=True, eq=False)
class ClusterPlaces:
    """Where the cells of each cluster and label lie, in sums.

    Attributes:
        clusters: names of the clusters as text, sorted.
        counts: cells, shape (clusters, labels).
        sums: sums of their places, shape (clusters, labels, components).
        products: sums of the outer product of a place with itself, shape (clusters, components, components).
    """

    clusters: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    products: np.ndarray

    @classmethod
    def of(
        cls, blocks: Iterable[tuple[np.ndarray, np.ndarray]], clusters: np.ndarray, n_labels: int
    ) -> "ClusterPlaces | None":
        """Return the sums over the cells of a file; None where there is none.

        Args:
            blocks: places, shape (cells, components), and the column of the most probable label of each cell, -1
                without, in the order of the file. A cell with NaN does not count.
            clusters: the cluster of each cell as text, shape (cells of the file,).
            n_labels: number of labels.
        """
        names, codes = np.unique(clusters.astype(str), return_inverse=True)
        counts, sums, products, start = np.zeros((len(names), n_labels)), None, None, 0
        for places, label in blocks:
            places, own = places[:, :N_COMPONENTS].astype(np.float64), codes[start : start + len(label)]
            start += len(label)
            used = np.isfinite(places).all(axis=1) & (label >= 0)
            places, pair = places[used], (own[used], label[used])
            if sums is None or products is None:
                width = places.shape[1]
                sums, products = np.zeros((*counts.shape, width)), np.zeros((len(names), width, width))
            np.add.at(counts, pair, 1.0)
            np.add.at(sums, pair, places)
            for code in np.unique(pair[0]):
                inside = places[pair[0] == code]
                products[code] += inside.T @ inside
        return None if sums is None or products is None else cls(names, counts, sums, products)

    def between(self, *, may_differ: Callable[[int, int], bool] = lambda *_: True) -> dict[str, tuple[int, int]]:
        """Return the two labels of each cluster that lies between two; the first is the nearer one.

        Args:
            may_differ: whether two labels are of different lineages, so that a cell of both is a doublet.
        """
        counts, sums, products = (values.sum(axis=0) for values in (self.counts, self.sums, self.products))
        found = {}
        for code, name in enumerate(self.clusters.tolist()):
            others, size = counts - self.counts[code], self.counts[code].sum()
            ends = [int(label) for label in np.flatnonzero(others >= _LEAST_CELLS)]
            if size < _LEAST_CELLS or len(ends) < 2:
                continue
            outside = (sums - self.sums[code]) / np.maximum(others, 1.0)[:, None]
            within = products - self.products[code] - (outside * others[:, None]).T @ outside
            whitening = _whitening(within / others.sum())
            outside, centre = outside @ whitening, self.sums[code].sum(axis=0) / size @ whitening
            own = int(self.counts[code].argmax())
            pairs = [pair for pair in combinations(ends, 2) if may_differ(*pair)]
            if own in ends:
                pairs = [pair for pair in pairs if own in pair]
            scored = [(_score(centre, outside[p], outside[q]), p, q) for p, q in pairs]
            best, p, q = max(scored, default=(-1.0, -1, -1))
            if best > BETWEEN_ABOVE:
                nearer = np.linalg.norm(centre - outside[p]) <= np.linalg.norm(centre - outside[q])
                found[name] = (p, q) if nearer else (q, p)
        return found


def _score(centre: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    way = second - first
    length = float(way @ way)
    if length < _APART:
        return -1.0
    share = float((centre - first) @ way) / length
    beside = float(np.linalg.norm(centre - first - share * way)) / length**0.5
    return min(share, 1 - share) - beside


def _whitening(covariance: np.ndarray) -> np.ndarray:
    sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * sphere)
    return vectors / np.sqrt(np.maximum(values, 1e-12))
