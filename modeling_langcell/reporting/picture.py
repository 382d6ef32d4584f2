"""One picture for a talk or a paper, drawn by matplotlib: the map of the cells beside how many have which name."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from langcell.reporting.contents import NamedData
from langcell.reporting.drawn_cells import DrawnCells, by_frequency
from langcell.reporting.styles import GREY, Style, short_name, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More bars than this cannot be read; the rest is one bar.
MOST_BARS = 28
_OTHERS = "other types"


def draw_picture(named: NamedData, *paths: str | Path, title: str = "Cells named by LangCell") -> None:
    """Write the picture; the bars carry the names and the colours of the map, so that no legend covers a cell.

    Args:
        named: the cells.
        paths: .png, .svg or .pdf files; the suffix says which.
        title: above the map.
    """
    figure = picture(named, title=title)
    for path in paths:
        # Without a date the same cells give the same file.
        metadata = {"Date": None} if Path(path).suffix == ".svg" else None
        figure.savefig(path, dpi=160, bbox_inches="tight", metadata=metadata)


def picture(named: NamedData, *, title: str = "Cells named by LangCell") -> "Figure":
    """Return the picture as a Figure of matplotlib that no window shows."""
    from matplotlib.figure import Figure

    labels = np.asarray(named.labels.astype(str))
    styles = styles_of(by_frequency(labels))
    n_bars = min(len(styles), MOST_BARS + 1)
    figure = Figure(figsize=(11, max(4.6, 0.27 * n_bars + 1.2)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_map(left, named.drawn, styles)
    left.set_title(title, loc="left", fontsize=13)
    _draw_bars(right, labels, styles)
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
