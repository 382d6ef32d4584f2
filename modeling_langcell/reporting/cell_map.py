"""Places of cells in a plane: UMAP of their embeddings, which stays fast beyond some thousand cells."""

import warnings

import numpy as np

NEIGHBOURS = 15
MOST_FITTED = 8000
_EPOCHS = 300
_PLACED_BY = 5
_ROWS_PER_BLOCK = 2048


def umap_places(vectors: np.ndarray, *, seed: int, metric: str = "cosine", epochs: int | None = None) -> np.ndarray:
    """Return the two-dimensional UMAP; float32, shape (vectors, 2). One thread, so that the same seed gives the same
    map.

    Args:
        vectors: shape (vectors, width).
        seed: random seed of UMAP.
        metric: how far two vectors are from each other.
        epochs: passes of the optimization; umap's choice when None.
    """
    n_neighbors = max(2, min(NEIGHBOURS, len(vectors) - 1))
    with warnings.catch_warnings():
        # numba and umap say how they work, not that something is wrong.
        warnings.simplefilter("ignore")
        import umap

        mapper = umap.UMAP(
            n_neighbors=n_neighbors,
            metric=metric,
            random_state=seed,
            n_jobs=1,
            n_epochs=epochs,
            init="random" if len(vectors) < 4 * NEIGHBOURS else "spectral",
        )
        return np.asarray(mapper.fit_transform(vectors), dtype=np.float32)


def map_cells(embeddings: np.ndarray, *, seed: int = 0, most_fitted: int = MOST_FITTED) -> np.ndarray:
    """Return where cells lie in a plane, for any number of cells; float32, shape (cells, 2).

    UMAP of 100,000 cells takes many minutes. So at most `most_fitted` cells, drawn at random, are laid out by UMAP, and
    each other cell stands at the mean place of the five of them that are closest to it.

    Args:
        embeddings: unit length, shape (cells, width).
        seed: random seed of the draw and of UMAP.
        most_fitted: cells that UMAP itself places.

    >>> places = map_cells(np.eye(3, dtype=np.float32))  # too few to be laid out
    >>> places.shape
    (3, 2)
    """
    if len(embeddings) < 4:
        return np.arange(2 * len(embeddings), dtype=np.float32).reshape(-1, 2)
    if len(embeddings) <= most_fitted:
        return umap_places(embeddings, seed=seed, epochs=_EPOCHS)
    rng = np.random.default_rng(seed)
    fitted = np.sort(rng.choice(len(embeddings), most_fitted, replace=False))
    places = np.empty((len(embeddings), 2), dtype=np.float32)
    places[fitted] = umap_places(embeddings[fitted], seed=seed, epochs=_EPOCHS)
    others = np.setdiff1d(np.arange(len(embeddings)), fitted)
    for begin in range(0, len(others), _ROWS_PER_BLOCK):
        rows = others[begin : begin + _ROWS_PER_BLOCK]
        places[rows] = _beside_the_closest(embeddings[rows], embeddings[fitted], places[fitted], rng)
    return places


def _beside_the_closest(
    cells: np.ndarray, fitted: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Mean place of the closest fitted cells, spread as widely as these lie apart so that no two cells coincide."""
    cosine = cells @ fitted.T
    n_closest = min(_PLACED_BY, len(fitted))
    closest = np.argpartition(-cosine, n_closest - 1, axis=1)[:, :n_closest]
    around = places[closest]
    # Two of the five may lie in another cluster: the median stays with the majority, a mean would stand between them.
    middle = np.median(around, axis=1)
    spread = np.median(np.abs(around - middle[:, None]), axis=1)
    return middle + rng.normal(scale=0.5, size=middle.shape) * spread
