"""Plots of named cells for notebooks, thin over scanpy: `langcell.pl.map(adata)`, `langcell.pl.evidence(adata)`."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

    from langcell.inference.evidence.explanation import Explanation

__all__ = ["evidence", "map"]

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


def evidence(
    adata: "AnnData",
    by: str = "label",
    *,
    found: "Explanation | None" = None,
    genes_per_label: int = 4,
    show: bool | None = None,
    **options: Any,
) -> Any:
    """Draw the genes that speak for each label, or each cluster, as a dot plot of scanpy.

    Args:
        adata: cells that `langcell.annotate` has named, with raw counts.
        by: "label", "cluster" (the clusters that the cells were named with, or else `leiden`), or any column of obs
            with labels of your own.
        found: from `langcell.explain`; when None it is called here, with the default model.
        genes_per_label: first supporting genes of each group.
        show: whether the plot is shown; scanpy's setting when None.
        options: options of `scanpy.pl.DotPlot`, such as ax, figsize, title and swap_axes.

    Returns:
        None where the plot is shown; else the axes by name, as `scanpy.pl.dotplot` returns them.

    Raises:
        ValueError: there is no such column, no supporting gene, or the cells are not named.
    """
    import scanpy as sc

    from langcell.inference.evidence.dot_plot import dot_plot

    found = _explained(adata, by) if found is None else found
    plot = dot_plot(*found.dots(genes_per_label=genes_per_label), **options)
    if sc.settings.autoshow if show is None else show:
        plot.show()
        return None
    plot.make_figure()
    return plot.get_axes()


def _explained(adata: "AnnData", by: str) -> "Explanation":
    from langcell.inference.evidence.explain import Explanation, explain

    columns: dict[str, str] = {"label_column": by}
    if by == "label":
        columns = {"label_column": _COLUMNS["label"]}
    elif by == "cluster":
        columns = {"cluster_column": adata.uns.get("langcell", {}).get("cluster_column", "leiden")}
    for column in columns.values():
        if column not in adata.obs:
            raise ValueError(f"obs has no {column}; legal are label, cluster and any column of obs with labels.")
    explanation = explain(adata, progress=False, **columns)
    assert isinstance(explanation, Explanation)
    return explanation


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
