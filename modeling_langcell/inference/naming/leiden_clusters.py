"""Clusters of the cells of a file that has none: scanpy's Leiden on the places that the refinement reads.

The graph is made of a sample of cells, in the order that their values decide, so that neither the order of the file nor
its chunks change a cluster. Cells that are not in the sample join the cluster of the nearest one that is.
"""

import numpy as np
import pandas as pd
from anndata import AnnData

from langcell.inference.refinement.placing import NamedFile

CLUSTER = "langcell_cluster"
N_NEIGHBORS = 15
# Cells of the sample among which the others look for the nearest.
MOST_LOOKED_AT = 10_000


def check_leiden() -> None:
    """Refuse to make clusters without the package that does it.

    Raises:
        ValueError: igraph is not installed.
    """
    try:
        import igraph  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(f'Clusters need igraph: pip install "langcell[cluster]" ({error}).') from error


def leiden_clusters(file: NamedFile, *, resolution: float = 1.0, seed: int = 0) -> np.ndarray:
    """Make clusters.

    Args:
        file: its cells, placed.
        resolution: more makes more clusters.
        seed: random seed of neighbours and clusters.

    Returns:
        Number of each cell's cluster as text, "0" the largest, shape (cells,); "none" for a cell without counts.
    """
    from sklearn.neighbors import NearestNeighbors  # a second of imports, for this alone

    sample = file.sample.places
    assert sample is not None, "cells that are not placed have no clusters"
    placed = np.flatnonzero(np.isfinite(sample).all(axis=1))
    found = _leiden(sample[placed], resolution, seed)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(sample[placed[:MOST_LOOKED_AT]])
    names, start = [], 0
    row_of = np.full(sum(len(block.similarity) for block in file.blocks()), -1, dtype=np.int64)
    row_of[file.sampled_rows[placed]] = np.arange(len(placed))
    for block in file.blocks():
        rows = row_of[start : start + len(block.similarity)].copy()
        start += len(rows)
        assert block.places is not None
        apart = np.flatnonzero((rows < 0) & np.isfinite(block.places).all(axis=1))
        if len(apart):
            rows[apart] = search.kneighbors(block.places[apart], return_distance=False)[:, 0]
        names.append(np.where(rows >= 0, found[rows], "none"))
    return np.concatenate(names)


def _leiden(places: np.ndarray, resolution: float, seed: int) -> np.ndarray:
    import scanpy as sc

    cells = AnnData(places.astype(np.float32), obs=pd.DataFrame(index=pd.RangeIndex(len(places)).astype(str)))
    neighbors = min(N_NEIGHBORS, len(places) - 1)
    sc.pp.neighbors(cells, n_neighbors=neighbors, use_rep="X", random_state=seed)
    how = {"flavor": "igraph", "n_iterations": 2, "directed": False}
    sc.tl.leiden(cells, resolution=resolution, random_state=seed, **how)
    numbers = pd.factorize(cells.obs["leiden"].astype(str), sort=True)[0]
    largest_first = np.argsort(-np.bincount(numbers), kind="stable")
    return np.argsort(largest_first, kind="stable")[numbers].astype(str)
