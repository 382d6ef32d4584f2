"""Cells of a file in memory: sparse, linear, all of obs, for tasks that learn from some of them and name others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from langcell.inference.annotation import embed
from langcell.loading.load import LoadedLangCell
from langcell.processing.cells.anndata_io import CellSource, open_cells
from langcell.processing.genes import GeneVocabulary
from langcell.processing.options import READ_FIELDS

GENE_COLUMN = "gene"
ORIGIN = "langcell_evaluation"
# What is true of the file alone; whose genes they are is asked of the cells in memory, too.
_OF_THE_SOURCE = ("x_is", "gene_column", "layer")


@dataclass(frozen=True, eq=False)
class CellEmbeddings:
    """Embeddings of cells.

    Attributes:
        projected: cell embeddings, unit length, float32, shape (cells, projection_dim).
        hidden: the cell encoder's own state, float32, shape (cells, hidden_size).
        settings: what `embed` writes into uns["langcell"] on model and data.
    """

    projected: np.ndarray
    hidden: np.ndarray
    settings: dict[str, Any]


def source_options(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the reading options that `open_cells` takes."""
    return {name: reading[name] for name in READ_FIELDS if name in reading}


def read_cells(
    path: Path,
    reading: Mapping[str, Any],
    *,
    vocabulary: GeneVocabulary,
    rows: np.ndarray | None = None,
    max_cells: int | None = None,
    seed: int = 0,
) -> AnnData:
    """Read cells of a file, chunk by chunk.

    Args:
        path: h5ad file or zarr folder.
        reading: reading options for the file.
        vocabulary: that of the model; the names of genes are those that the whole file is read by.
        rows: which cells, ascending; all when None.
        max_cells: draw this many of all cells; only without `rows`.
        seed: random seed of the draw.

    Returns:
        X linear (whatever the file holds) and sparse, all of obs, gene names in var["gene"]; uns["langcell_evaluation"]
        says what the file holds. `memory_reading` has the options to read it with.
    """
    with open_cells(path, **source_options(reading)) as source:
        if rows is None:
            rows = np.arange(source.n_cells)
            if max_cells is not None and max_cells < source.n_cells:
                rows = np.sort(np.random.default_rng(seed).choice(source.n_cells, max_cells, replace=False))
        counts = _read_rows(source, rows)
        obs = source.obs.iloc[rows].copy()
        obs.index = pd.Index([str(row) for row in rows])
        var = pd.DataFrame({GENE_COLUMN: source.names_read(vocabulary)})
        var.index = pd.Index([str(i) for i in range(len(var))])
        origin = {"x_is": source.x_kind, "values_from": source.location, "cells_in_file": source.n_cells}
    return AnnData(counts, obs=obs, var=var, uns={ORIGIN: origin})


def memory_reading(cells: AnnData, reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reading options for what `read_cells` returned, from those for the file."""
    kept = {name: value for name, value in reading.items() if name not in _OF_THE_SOURCE}
    x_is = "counts" if cells.uns[ORIGIN]["x_is"] == "counts" else "linear"
    return {**kept, "x_is": x_is, "gene_column": GENE_COLUMN}


def embed_cells(cells: AnnData, loaded: LoadedLangCell, reading: Mapping[str, Any]) -> CellEmbeddings:
    """Return the embeddings of what `read_cells` returned; `cells` is not changed."""
    copied = cells.copy()
    embed(copied, model=loaded, hidden=True, **memory_reading(cells, reading))
    projected, hidden = (np.asarray(copied.obsm[name]) for name in ("X_langcell", "X_langcell_hidden"))
    return CellEmbeddings(projected, hidden, dict(copied.uns["langcell"]))


def _read_rows(source: CellSource, rows: np.ndarray) -> sparse.csr_matrix:
    """Return the chosen rows, ascending, read chunk by chunk."""
    parts = []
    for chunk in source.chunks():
        n_rows = len(chunk.counts.indptr) - 1
        kept = rows[(rows >= chunk.start) & (rows < chunk.start + n_rows)] - chunk.start
        if len(kept):
            parts.append(chunk.counts if len(kept) == n_rows else chunk.counts[kept])
    return sparse.csr_matrix(sparse.vstack(parts), dtype=np.float32)
