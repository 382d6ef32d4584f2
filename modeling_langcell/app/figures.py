"""The map of the cells as a plotly figure: coloured by label, by confidence, or by similarity to a sentence."""

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from langcell.app.messages import CellMap
from langcell.reporting.figures import MOST_SVG_POINTS, by_frequency, colours_of, shortened


def map_by_label(cell_map: CellMap) -> go.Figure:
    """One colour a label, the most frequent first; the legend switches them on and off."""
    figure = _figure()
    labels = np.array(cell_map.labels, dtype=object)
    for label, colour in colours_of(by_frequency(cell_map.labels)).items():
        chosen = np.flatnonzero(labels == label)
        figure.add_trace(_points(cell_map, chosen, name=shortened(label), marker={"color": colour}))
    figure.update_layout(legend={"itemsizing": "constant"}, showlegend=True)
    return figure


def map_by_value(cell_map: CellMap, values: np.ndarray, *, title: str) -> go.Figure:
    """One colour scale for a number of each cell, shape (points,); the highest are drawn last, above the others."""
    order = np.argsort(values, kind="stable")
    marker = {
        "color": values[order],
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": title, "side": "right"}, "thickness": 12, "outlinewidth": 0},
    }
    figure = _figure()
    extra = None if values is cell_map.confidence else [f"{title} {value:.3f}" for value in values[order]]
    figure.add_trace(_points(cell_map, order, name="", marker=marker, showlegend=False, extra=extra))
    return figure


def _points(
    cell_map: CellMap, chosen: np.ndarray, *, marker: dict, extra: Sequence[str] | None = None, **options: object
) -> go.Scatter | go.Scattergl:
    n_points = len(cell_map.rows)
    trace = go.Scatter if n_points <= MOST_SVG_POINTS else go.Scattergl
    texts = [_hover(cell_map, int(place)) for place in chosen]
    if extra is not None:
        texts = [f"{text}<br>{line}" for text, line in zip(texts, extra, strict=True)]
    size = 6 if n_points <= MOST_SVG_POINTS else 4
    return trace(
        x=cell_map.places[chosen, 0],
        y=cell_map.places[chosen, 1],
        mode="markers",
        marker={"size": size, "opacity": 0.8, "line": {"width": 0}} | marker,
        text=texts,
        hoverinfo="text",
        **options,
    )


def _hover(cell_map: CellMap, place: int) -> str:
    """What stands beside the pointer; plotly reads a little HTML, and names may hold anything."""
    cell, label = escape(cell_map.cells[place]), escape(cell_map.labels[place])
    return f"<b>{label}</b><br>{cell}<br>confidence {cell_map.confidence[place]:.3f}"


def _figure() -> go.Figure:
    """An empty map that stands on a light and on a dark page."""
    axis = {"visible": False, "showgrid": False, "zeroline": False}
    return go.Figure(
        layout={
            "template": "none",
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 8, "r": 8, "t": 44, "b": 8},  # above is the title of the widget
            "height": 520,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "#808791", "family": "system-ui, sans-serif", "size": 13},
            "hoverlabel": {"align": "left"},
            "dragmode": "pan",
        }
    )
