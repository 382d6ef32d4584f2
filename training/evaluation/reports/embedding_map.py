"""One map of cells and texts: UMAP of both, so that a label's text stands among the cells that it is closest to."""

import numpy as np

from langcell.reporting.cell_map import umap_places

_MOST_CELLS = 5000


def map_cells_and_texts(cells: np.ndarray, texts: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of cells and texts in one UMAP.

    Contrastive training leaves cells and texts in two cones of the space: every text is further from every cell than
    cells are from each other, and a plain UMAP draws two islands. The ranking of texts for a cell does not see the
    offset between the cones, so it is taken out: each side loses its mean and is brought to unit length again.

    Args:
        cells: cell embeddings, shape (cells, projection_dim).
        texts: text embeddings, shape (texts, projection_dim), at least one.
        seed: random seed of UMAP.

    Returns:
        shape (cells, 2) and (texts, 2).
    """
    joint = np.concatenate([_centred(cells), _centred(texts) if len(texts) > 1 else texts])
    places = umap_places(joint, seed=seed)
    return places[: len(cells)], places[len(cells) :]


def drawn_cells(n_cells: int, *, seed: int) -> np.ndarray:
    """Return the rows of the cells to draw, ascending: all, or 5,000 of them, beyond which points only hide each
    other."""
    if n_cells <= _MOST_CELLS:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, _MOST_CELLS, replace=False))


def _centred(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
