"""The dot plot of genes and groups, drawn by scanpy from means and shares that are known already."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from langcell.processing.cells.annotation_values import check_table_place
from langcell.processing.files.atomic_output import atomic_output

if TYPE_CHECKING:
    from scanpy.plotting import DotPlot

_SUFFIXES = (".png", ".pdf", ".svg")


def check_plot(path: str | Path) -> Path:
    """Return the path, if a plot can be written there.

    Raises:
        ValueError: another suffix, or a folder that does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES or not path.resolve().parent.is_dir():
        raise ValueError(f"Cannot draw {path}; name a {', '.join(_SUFFIXES)} file in a folder that exists.")
    check_table_place(path)
    return path


def draw_dots(path: str | Path, genes: Mapping[str, Sequence[str]], mean: pd.DataFrame, share: pd.DataFrame) -> None:
    """Write the plot: colour is the mean log-normalised value, size the share of expressing cells.

    Args:
        path: file to write.
        genes: genes of each group that was explained; no gene twice.
        mean: mean log-normalised value, one row per group and one column per gene; the index is named by its column.
        share: share of expressing cells, likewise.

    Raises:
        ValueError: there is no gene, or the file cannot be written.
    """
    path = check_plot(path)
    import matplotlib as mpl

    with mpl.rc_context({"figure.dpi": 80}):
        import matplotlib.pyplot as plt

        dot_plot(genes, mean, share).make_figure()
        figure = plt.gcf()
        with atomic_output(path) as temporary:
            suffix = path.suffix.lower()[1:]
            figure.savefig(temporary, format=suffix, bbox_inches="tight", metadata=_plain_metadata(path))
        plt.close(figure)


def dot_plot(genes: Mapping[str, Sequence[str]], mean: pd.DataFrame, share: pd.DataFrame, **options: Any) -> "DotPlot":
    """Return scanpy's plot, before it is drawn.

    Args:
        genes: as `draw_dots` takes them.
        mean: likewise.
        share: likewise.
        options: options of `scanpy.pl.DotPlot`, such as ax, figsize, title and swap_axes.

    Raises:
        ValueError: there is no gene.
    """
    if not genes:
        raise ValueError("No group has a supporting gene; there is nothing to draw.")
    import scanpy as sc
    from anndata import AnnData

    flat = [gene for of in genes.values() for gene in of]
    # scanpy wants cells; one for each group, whose values are not looked at, since both tables are given.
    cells: Any = AnnData(mean.to_numpy())
    cells.obs_names, cells.var_names = [str(name) for name in mean.index], flat
    column = str(mean.index.name)
    cells.obs[column] = mean.index.astype(str).astype("category")
    order = [name for name in mean.index if name in genes] + [name for name in mean.index if name not in genes]
    own = {
        "categories_order": order,
        "dot_color_df": mean,
        "dot_size_df": share,
        "var_group_rotation": 90 if any(len(name) > 4 * len(of) for name, of in genes.items()) else 0,
    }
    plot = sc.pl.DotPlot(cells, {name: list(of) for name, of in genes.items()}, column, **(own | options))
    plot.style(cmap="Reds").legend(colorbar_title="Mean of ln(1 + CP10k)", size_title="Share of cells (%)")
    return plot


def _plain_metadata(path: Path) -> dict[str, Any] | None:
    """No time of writing, so that the same evidence gives the same file."""
    return (
        {"Software": None}
        if path.suffix.lower() == ".png"
        else {
            ".pdf": {"CreationDate": None},
            ".svg": {"Date": None},
        }.get(path.suffix.lower())
    )
