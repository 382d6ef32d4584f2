"""Scores of a cell drawn towards those of its neighbours, without training: `langcell annotate --smooth`.

P = (I + strength * L)^-1 P0, with P0 the scores (cells x labels) and L = I - D^-1 W the normalised Laplacian of the kNN
graph of the cells (W its weights, D their row sums); the regularised diffusion of Zhou et al. 2004.

Rows stay distributions: L maps constants to 0, so each row of the inverse sums to 1, and I + strength * L is an
M-matrix, so the inverse has no negative entry. Every smoothed row is a weighted mean of rows of P0. L is not symmetric,
but with y = D^1/2 p the system reads (I + strength * (I - D^-1/2 W D^-1/2)) y = D^1/2 p0, which is symmetric with
eigenvalues between 1 and 1 + 2 * strength: conjugate gradients need few steps, whatever the number of cells.
"""

import math

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

# Up to here all distances are computed (a minute on two cores); beyond, neighbours are found approximately.
_MOST_CELLS_EXACT = 50_000
_SUM_TOLERANCE = 1e-3  # half-precision scores sum to 1 within this
_RELATIVE_RESIDUAL = 1e-6


def smooth_scores(
    scores: np.ndarray, embeddings: np.ndarray, *, strength: float, neighbors: int = 15, seed: int = 0
) -> np.ndarray:
    """Diffuse scores over the kNN graph of the cells.

    Args:
        scores: a distribution over the labels for each cell, (cells, labels); every entry evaluated (no NaN).
        embeddings: cell embeddings, (cells, dim); neighbours are those with the greatest cosine.
        strength: 0 changes nothing; 1 gives neighbours together about the weight of the cell itself.
        neighbors: neighbours of each cell, itself not counted; all others where there are fewer.
        seed: random seed of the approximate neighbour search, used for more than 50,000 cells.

    Returns:
        float32, (cells, labels); each row sums to 1.

    Raises:
        ValueError: a strength below 0, no neighbours, shapes that do not fit, NaN, or rows that are no distributions.

    >>> scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]], dtype=np.float32)
    >>> smoothed = smooth_scores(scores, np.array([[1, 0], [1, 0.01], [1, 0.02]]), strength=1.0)
    >>> smoothed.argmax(1).tolist(), smoothed.sum(1).round(5).tolist()
    ([0, 0, 0], [1.0, 1.0, 1.0])
    """
    _check(scores, embeddings, strength, neighbors)
    if strength == 0 or len(scores) < 2:
        return scores.astype(np.float32)
    weights = knn_graph(embeddings, neighbors=neighbors, seed=seed)
    degrees = np.asarray(weights.sum(axis=1)).ravel()
    root = np.sqrt(degrees)
    inverse_root = sparse.diags_array(1 / root)
    identity = sparse.eye_array(len(scores), format="csr")
    system = (1 + strength) * identity - strength * (inverse_root @ weights @ inverse_root)
    smoothed = np.empty(scores.shape, dtype=np.float32)
    for column, start in enumerate(scores.T):
        start = start.astype(np.float64)
        solution, failed = cg(system, root * start, x0=root * start, rtol=_RELATIVE_RESIDUAL, atol=0.0)
        assert not failed, "conjugate gradients did not converge on a well-conditioned system"
        smoothed[:, column] = solution / root
    np.clip(smoothed, 0, None, out=smoothed)  # what the residual leaves below 0
    smoothed /= smoothed.sum(axis=1, keepdims=True)
    return smoothed


def knn_graph(embeddings: np.ndarray, *, neighbors: int, seed: int = 0) -> sparse.csr_array:
    """Return the symmetric kNN graph of cosine: 1 where either of two cells is among the nearest of the other.

    Args:
        embeddings: (cells, dim), any length but 0.
        neighbors: neighbours of each cell; all others where there are fewer.
        seed: random seed of the approximate search.

    Returns:
        float64, (cells, cells), zero diagonal, at least one entry a row.
    """
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    n_cells, wanted = len(units), min(neighbors, len(units) - 1)
    nearest = _nearest_exact(units, wanted) if n_cells <= _MOST_CELLS_EXACT else _nearest_about(units, wanted, seed)
    rows = np.repeat(np.arange(n_cells), nearest.shape[1])
    columns = nearest.ravel()
    found = (columns >= 0) & (columns != rows)
    entries = (np.ones(int(found.sum())), (rows[found], columns[found]))
    directed = sparse.csr_array(entries, shape=(n_cells, n_cells))
    return sparse.csr_array(directed.maximum(directed.T))


def _nearest_exact(units: np.ndarray, neighbors: int) -> np.ndarray:
    """(cells, neighbors); of unit vectors the Euclidean order is that of the cosine."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(units)
    return search.kneighbors(return_distance=False)  # without a query, no cell is its own neighbour


def _nearest_about(units: np.ndarray, neighbors: int, seed: int) -> np.ndarray:
    """(cells, neighbors + 1) with the cell itself among them, -1 where fewer were found."""
    from pynndescent import NNDescent

    index = NNDescent(units.astype(np.float32), metric="cosine", n_neighbors=neighbors + 1, random_state=seed)
    assert index.neighbor_graph is not None
    return index.neighbor_graph[0]


def _check(scores: np.ndarray, embeddings: np.ndarray, strength: float, neighbors: int) -> None:
    if not (strength >= 0 and math.isfinite(strength)):
        raise ValueError(f"strength is {strength}; legal are 0 (no smoothing) and greater, such as 1.")
    if neighbors < 1:
        raise ValueError(f"neighbors is {neighbors}; give at least 1, such as 15.")
    if scores.ndim != 2 or embeddings.ndim != 2 or len(scores) != len(embeddings):
        raise ValueError(
            f"scores {scores.shape} and embeddings {embeddings.shape} do not fit; give a row of each for every cell."
        )
    if not len(scores) or not np.isfinite(embeddings).all() or not (np.linalg.norm(embeddings, axis=1) > 0).all():
        raise ValueError("Smoothing needs cells with finite embeddings that are not all 0; leave the others out.")
    if not np.isfinite(scores).all():
        raise ValueError(
            "Smoothing needs every score, but some were not evaluated (NaN); use rerank 'full' or 'none', "
            "and leave cells without any known gene out."
        )
    if (scores < 0).any() or (np.abs(scores.sum(axis=1, dtype=np.float64) - 1) > _SUM_TOLERANCE).any():
        raise ValueError("Smoothing needs rows that are distributions over the labels: no score below 0, sums of 1.")
