"""Plots of named cells for notebooks, thin over scanpy: `langcell.pl.map(adata)`."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["map"]

_COLUMNS = {
    "label": "langcell_label",
    "alone": "langcell_label_alone",
    "confidence": "langcell_confidence",
    "novelty": "langcell_novelty",
    "cluster": "langcell_cluster_label",
}
_OWN_MAP, _MADE_MAP = "X_umap", "X_langcell_umap"


def map(adata: "AnnData", by: str = "label", *, basis: str | None = None, seed: int = 0, **options: Any) -> Any:
    """Draw named cells in a plane with scanpy.

    Args:
        adata: cells that `langcell.annotate` has named.
        by: "label", "alone" (the label that each cell gets by itself), "confidence", "novelty", "cluster", or any
            column of obs.
        basis: matrix of obsm with the places; when None `X_umap`, or else a UMAP of the cell embeddings, which is made
            once and kept as obsm `X_langcell_umap`.
        seed: random seed of that UMAP.
        options: options of `scanpy.pl.embedding`, such as ax, size, show and legend_loc.

    Returns:
        What `scanpy.pl.embedding` returns.

    Raises:
        ValueError: there is no such column or matrix, or the cells are not named.
    """
    import scanpy as sc

    column = _COLUMNS.get(by, by)
    if column not in adata.obs:
        there = [name for name, where in _COLUMNS.items() if where in adata.obs]
        raise ValueError(f"obs has no {column}; legal are {', '.join([*there, 'any column of obs'])}.")
    basis = _basis(adata, seed) if basis is None else basis
    if basis not in adata.obsm:
        raise ValueError(f"obsm has no {basis!r}; it has {', '.join(adata.obsm) or 'none'}.")
    if adata.obs[column].dtype == "category" and "palette" not in options:
        options["palette"] = _palette(adata.obs[column])
    names = {"title": by, "frameon": False}
    return sc.pl.embedding(adata, basis=basis, color=column, **(names | options))


def _basis(adata: "AnnData", seed: int) -> str:
    from langcell.reporting.cell_map import map_cells

    if _OWN_MAP in adata.obsm:
        return _OWN_MAP
    if _MADE_MAP not in adata.obsm:
        if "X_langcell" not in adata.obsm:
            raise ValueError("obsm has neither X_umap nor X_langcell; name the cells first: langcell.annotate.")
        adata.obsm[_MADE_MAP] = map_cells(np.asarray(adata.obsm["X_langcell"]), seed=seed)
    return _MADE_MAP


def _palette(column: Any) -> dict[str, str]:
    """Return the colours of the report and the app; labels without a cell are grey, and take none of the colours."""
    from langcell.reporting.drawn_cells import by_frequency
    from langcell.reporting.styles import GREY, styles_of

    styles = styles_of(by_frequency(column.dropna().astype(str)))
    return {name: styles[name].colour if name in styles else GREY for name in column.cat.categories}
