"""Figures of named cells in bars, as plotly Figures: composition per sample, and confidence."""

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from langcell.reporting.cell_figures import LAYOUT, graph_objects
from langcell.reporting.styles import GREY, Style, shortened

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_SAMPLES = 40
# A legend that is higher than this scrolls.
_MOST_LEGEND_ROWS = 40


def composition(counts: pd.DataFrame, styles: Mapping[str, Style]) -> "Figure":
    """Return the shares of the labels in each sample, as stacked bars; at most 40 samples, those with the most cells.

    Args:
        counts: cells of each sample (rows) and label (columns).
        styles: styles of the labels, from `styles_of`.
    """
    graph = graph_objects()
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_SAMPLES]]
    totals = counts.sum(axis=1)
    rows = [f"{shortened(str(sample), 24)} ({total:,})" for sample, total in totals.items()]
    figure = graph.Figure()
    for name in counts.columns[counts.any(axis=0)]:
        column, style = counts[name], styles.get(str(name), Style(GREY))
        figure.add_bar(
            y=rows,
            x=(column / totals).to_numpy(),
            customdata=column.to_numpy(),
            orientation="h",
            name=shortened(str(name)),
            marker={
                "color": style.colour,
                "line": {"width": 0},
                "pattern": {"shape": style.pattern, "size": 6, "fgcolor": "white", "fillmode": "overlay"},
            },
            text=[html.escape(str(name))] * len(rows),
            textposition="none",
            hovertemplate="%{y}<br>%{text}: <b>%{x:.1%}</b>, %{customdata:,} cells<extra></extra>",
        )
    figure.update_layout(
        **LAYOUT,
        height=170 + max(26 * len(rows), 22 * min(len(counts.columns), _MOST_LEGEND_ROWS)),
        barmode="stack",
        bargap=0.25,
        legend={"traceorder": "normal"},
        xaxis={"tickformat": ".0%", "range": [0, 1], "fixedrange": True, "showgrid": False, "title": "share of cells"},
        yaxis={"autorange": "reversed", "fixedrange": True, "automargin": True, "ticksuffix": "  ", "type": "category"},
    )
    return figure


def confidence_histogram(confidence: np.ndarray, *, threshold: float | None = None) -> "Figure":
    """Return how many cells have which confidence, with the median and, where there is one, the threshold of
    "unknown"."""
    graph = graph_objects()
    top = float(max(confidence.max(initial=0.0), threshold or 0.0, 1e-3))
    counts, edges = np.histogram(confidence, bins=50, range=(0.0, min(1.0, top * 1.02)))
    middles, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
    figure = graph.Figure(
        graph.Bar(
            x=middles,
            y=counts,
            width=width * 0.92,
            marker={"color": "#3b6ea8"},
            customdata=np.stack([edges[:-1], edges[1:]], axis=1),
            hovertemplate="%{customdata[0]:.3f} to %{customdata[1]:.3f}: <b>%{y:,} cells</b><extra></extra>",
        )
    )
    marks = [("median", float(np.median(confidence)) if len(confidence) else 0.0, "#24292f", "top right")]
    marks += [] if threshold is None else [("unknown below", threshold, "#d62728", "bottom right")]
    for name, place, colour, side in marks:
        figure.add_vline(
            x=place,
            line={"color": colour, "width": 1.5, "dash": "dot"},
            annotation={"text": f"{name} {place:.2f}", "font": {"color": colour}},
            annotation_position=side,
        )
    figure.update_layout(
        **LAYOUT,
        height=320,
        xaxis={"title": "confidence", "showgrid": False},
        # Room above the bars for what the lines are called.
        yaxis={"title": "cells", "gridcolor": "#eceff3", "tickformat": ",d", "range": [0, 1.2 * max(1, counts.max())]},
    )
    return figure
