"""The map of the cells as the page shows it: the report's figures on a page that is light or dark, wide or narrow."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from langcell.app.messages import FoundCells
from langcell.reporting.cell_figures import NOVELTY_COLOURS, group_map, label_map, value_map
from langcell.reporting.drawn_cells import DrawnCells, by_frequency
from langcell.reporting.styles import Style, styles_of

BY_LABEL, BY_ALONE, BY_CONFIDENCE = "cell type", "each cell by itself", "confidence"
BY_NOVELTY, BY_CLUSTER, BY_SENTENCE = "novelty", "cluster", "sentence"


def colourings(drawn: DrawnCells, found: FoundCells | None) -> list[str]:
    """Return what the map can be coloured by."""
    there = {
        BY_LABEL: True,
        BY_ALONE: drawn.alone is not None,
        BY_CONFIDENCE: True,
        BY_NOVELTY: drawn.novelty is not None,
        BY_CLUSTER: drawn.clusters is not None,
        BY_SENTENCE: found is not None,
    }
    return [name for name, is_there in there.items() if is_there]


def cell_map(
    drawn: DrawnCells, found: FoundCells | None, colour: str, styles: Mapping[str, Style] | None = None
) -> go.Figure:
    """Return the map in the colours asked for; by label where there is nothing else to show.

    Args:
        drawn: the cells.
        found: the last search.
        colour: one of `colourings`.
        styles: styles of the labels that cells have; made here when None.
    """
    styles = styles_of(list(drawn.spans)) if styles is None else styles
    if colour == BY_ALONE and drawn.alone is not None:
        others = [name for name in by_frequency(drawn.alone) if name not in styles]
        return _on_page(group_map(drawn, drawn.alone, styles_of([*styles, *others])))
    if colour == BY_CLUSTER and drawn.clusters is not None:
        return _on_page(group_map(drawn, drawn.clusters))
    if colour == BY_CONFIDENCE:
        return _on_page(value_map(drawn, drawn.confidence, title=BY_CONFIDENCE))
    if colour == BY_NOVELTY and drawn.novelty is not None:
        novelty = value_map(drawn, drawn.novelty, title=BY_NOVELTY, colours=NOVELTY_COLOURS, limits=(0.0, 1.0))
        return _on_page(novelty)
    if colour == BY_SENTENCE and found is not None:
        lines = [f"similarity {value:.3f}" for value in found.similarity]
        return _on_page(value_map(drawn, found.similarity, title="score", extra=lines))
    return _on_page(label_map(drawn, styles))


def _on_page(figure: go.Figure) -> go.Figure:
    """No background, text that is read on light and on dark, and the legend below, never beside or over the cells."""
    traces: tuple[Any, ...] = tuple(figure.data)
    n_names = len(traces) if traces and traces[0].name else 0  # a map by a number has one trace without a name
    figure.update_layout(
        height=440 + 21 * min((n_names + 1) // 2, 12),
        margin={"l": 4, "r": 4, "t": 34, "b": 4},  # above are the buttons of plotly
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#808791", "family": "system-ui, sans-serif", "size": 12},
        legend={"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0, "font": {"size": 12}},
        dragmode="pan",
    )
    return figure
