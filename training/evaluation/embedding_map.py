"""One map of cells and texts: UMAP of both, so that a label's text stands among the cells that it is closest to."""

import warnings

import numpy as np

_NEIGHBOURS = 15
_MOST_CELLS = 20_000


def umap_places(vectors: np.ndarray, *, seed: int, metric: str = "cosine") -> np.ndarray:
    """Two-dimensional UMAP; float32, shape (vectors, 2). One thread, so that the same seed gives the same map."""
    n_neighbors = max(2, min(_NEIGHBOURS, len(vectors) - 1))
    with warnings.catch_warnings():
        # numba and umap say how they work, not that something is wrong.
        warnings.simplefilter("ignore")
        import umap

        mapper = umap.UMAP(
            n_neighbors=n_neighbors,
            metric=metric,
            random_state=seed,
            n_jobs=1,
            init="random" if len(vectors) < 4 * _NEIGHBOURS else "spectral",
        )
        return np.asarray(mapper.fit_transform(vectors), dtype=np.float32)


def map_cells_and_texts(cells: np.ndarray, texts: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of cells and texts in one UMAP.

    Contrastive training leaves cells and texts in two cones of the space: every text is further from every cell than
    cells are from each other, and a plain UMAP draws two islands. The ranking of texts for a cell does not see the
    offset between the cones, so it is taken out: each side loses its mean and is brought to unit length again.

    Args:
        cells: cell embeddings, shape (cells, projection_dim).
        texts: text embeddings, shape (texts, projection_dim), at least one.
        seed: of UMAP.

    Returns:
        shape (cells, 2) and (texts, 2).
    """
    joint = np.concatenate([_centred(cells), _centred(texts) if len(texts) > 1 else texts])
    places = umap_places(joint, seed=seed)
    return places[: len(cells)], places[len(cells) :]


def drawn_cells(n_cells: int, *, seed: int) -> np.ndarray:
    """Rows of the cells to draw, ascending: all, or 20,000 of them, beyond which points only hide each other."""
    if n_cells <= _MOST_CELLS:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, _MOST_CELLS, replace=False))


def _centred(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
