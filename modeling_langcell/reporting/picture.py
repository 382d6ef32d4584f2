"""One picture for a talk or a paper, drawn by matplotlib: the map of the cells, how many have which name, and why.

The names stand once, at the bars, whose colours are those of the map and whose rows are those of the genes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from langcell.reporting.contents import NamedData
from langcell.reporting.drawn_cells import DrawnCells, by_frequency
from langcell.reporting.styles import GREY, Style, short_name, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More bars than this cannot be read; the rest is one bar.
MOST_BARS = 28
_OTHERS = "other types"
# For each gene that is drawn the groups that it speaks for, its mean value and the share of cells that have it: what
# `Explanation.dots` returns.
Dots = tuple[Mapping[str, Sequence[str]], pd.DataFrame, pd.DataFrame]
_LARGEST_DOT = 110.0


def draw_picture(
    named: NamedData, *paths: str | Path, title: str = "Cells named by LangCell", dots: Dots | None = None
) -> None:
    """Write the picture; the bars carry the names and the colours of the map, so that no legend covers a cell.

    Args:
        named: the cells.
        paths: .png, .svg or .pdf files; the suffix says which.
        title: text above the map.
        dots: genes for each label, from `Explanation.dots`; without them the picture has two parts.
    """
    figure = picture(named, title=title, dots=dots)
    for path in paths:
        # Without a date the same cells give the same file.
        metadata = {"Date": None} if Path(path).suffix == ".svg" else None
        figure.savefig(path, dpi=160, bbox_inches="tight", metadata=metadata)


def picture(named: NamedData, *, title: str = "Cells named by LangCell", dots: Dots | None = None) -> "Figure":
    """Return the picture as a Figure of matplotlib that no window shows."""
    from matplotlib.figure import Figure

    labels = np.asarray(named.labels.astype(str))
    styles = styles_of(by_frequency(labels))
    n_bars = min(len(styles), MOST_BARS + 1)
    n_genes = 0 if dots is None else dots[1].shape[1]
    widths = (5.5, 5.5, *([0.32 * n_genes + 1] if n_genes else []))
    figure = Figure(figsize=(sum(widths), max(4.6, 0.27 * n_bars + 1.2)), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=(1.25 * widths[0], *widths[1:]))
    _draw_map(axes[0], named.drawn, styles)
    axes[0].set_title(title, loc="left", fontsize=13)
    _draw_bars(axes[1], labels, styles)
    if dots is not None and n_genes:
        _draw_dots(axes[2], list(styles)[:MOST_BARS], dots, rows=axes[1].get_ylim())
    return figure


def _draw_map(axes: "Axes", cells: DrawnCells, styles: dict[str, Style]) -> None:
    size = float(np.clip(20_000 / max(len(cells), 1), 1.5, 14))
    for name, span in sorted(cells.spans.items(), key=lambda item: styles[item[0]].colour != GREY):
        style = styles[name]
        across, down = cells.places[span].T
        axes.scatter(across, down, s=size, c=style.colour, marker=style.marker, linewidths=0, rasterized=True)
    axes.set_axis_off()
    axes.margins(0.03)


def _draw_bars(axes: "Axes", labels: np.ndarray, styles: dict[str, Style]) -> None:
    names, counts = np.unique(labels, return_counts=True)
    counts_of = dict(zip(names.tolist(), counts.tolist(), strict=True))
    shown = list(styles)[:MOST_BARS]
    bars = [(short_name(name, 46), counts_of[name], styles[name]) for name in shown]
    if rest := sum(counts_of[name] for name in list(styles)[MOST_BARS:]):
        bars.append((f"{len(styles) - MOST_BARS} {_OTHERS}", rest, Style(GREY)))
    places = list(range(len(bars)))
    axes.barh(places, [count for _, count, _ in bars], color=[style.colour for *_, style in bars], height=0.72)
    most = max(count for _, count, _ in bars)
    for place, (_, count, style) in zip(places, bars, strict=True):
        axes.text(count + 0.02 * most, place, f"{count:,} ({count / len(labels):.0%})", va="center", fontsize=9)
        axes.plot(-0.035 * most, place, marker=style.marker, color=style.colour, markersize=7, clip_on=False)
    axes.set_yticks(places, [name for name, *_ in bars], fontsize=10)
    axes.tick_params(axis="y", length=0, pad=14)
    axes.set(xlim=(0, 1.28 * most), xticks=[])
    axes.set_title(f"{len(labels):,} cells", loc="left", fontsize=13)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)


def _draw_dots(axes: "Axes", labels: Sequence[str], dots: Dots, *, rows: tuple[float, float]) -> None:
    """Draw the genes in the rows of the bars: the colour is the mean value, the size the share of cells.

    Args:
        axes: to draw on.
        labels: those that have bars, in the order of the bars.
        dots: genes by label, and their means and shares.
        rows: limits of the bars' axis, top last.
    """
    genes_of, mean, share = dots
    genes = [gene for label in labels for gene in genes_of.get(label, ())]
    shown = [label for label in labels if label in mean.index]
    across, down = np.meshgrid(np.arange(len(genes)), [list(labels).index(label) for label in shown])
    values, shares = mean.loc[shown, genes].to_numpy(), share.loc[shown, genes].to_numpy()
    points = axes.scatter(
        across.ravel(), down.ravel(), s=_LARGEST_DOT * shares.ravel(), c=values.ravel(), cmap="Reds", vmin=0,
        edgecolors="0.7", linewidths=0.4,
    )  # fmt: skip
    axes.set(xlim=(-0.7, len(genes) - 0.3), ylim=rows, yticks=[])
    axes.set_xticks(range(len(genes)), genes, rotation=90, fontsize=9, style="italic")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("genes for each name (size: share of cells)", loc="left", fontsize=11)
    axes.figure.colorbar(points, ax=axes, shrink=0.5, label="mean of ln(1 + CP10k)")
