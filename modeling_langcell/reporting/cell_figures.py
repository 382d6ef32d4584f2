"""Maps of named cells as plotly Figures: by a name of each cell, or by a number."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from langcell.reporting.drawn_cells import DrawnCells, by_frequency
from langcell.reporting.styles import GREY, Style, shortened, styles_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Points as SVG show on any machine; more of them need WebGL to move smoothly.
MOST_SVG_POINTS = 3000

CONFIDENCE_COLOURS, NOVELTY_COLOURS = "Viridis", "YlOrRd"
_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#24292f"}
LAYOUT: dict[str, Any] = {
    "template": "none",
    "margin": {"l": 60, "r": 20, "t": 30, "b": 45},
    "font": _FONT,
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "hoverlabel": {"bgcolor": "white", "bordercolor": "#d0d7de", "font": _FONT, "align": "left", "namelength": -1},
    "hovermode": "closest",
}


def label_map(cells: DrawnCells, styles: Mapping[str, Style] | None = None, *, hover: bool = True) -> "Figure":
    """Return cells in a plane, a look a label; a click in the legend hides or shows one.

    Args:
        cells: the cells.
        styles: styles of the labels, from `styles_of`; made here when None.
        hover: carry the texts of the cells; without, the page that shows the figure has to set them.
    """
    styles = styles_of(list(cells.spans)) if styles is None else styles
    return _map_of_groups(
        cells, {name: np.arange(len(cells))[span] for name, span in cells.spans.items()}, styles, hover
    )


def group_map(
    cells: DrawnCells, groups: np.ndarray, styles: Mapping[str, Style] | None = None, *, hover: bool = True
) -> "Figure":
    """Return cells in a plane, a look for each of the groups, shape (cells,); the rest as in `label_map`."""
    names = by_frequency(groups)
    styles = styles_of(names) if styles is None else styles
    texts = groups.astype(str)
    return _map_of_groups(cells, {name: np.flatnonzero(texts == name) for name in names}, styles, hover)


def value_map(
    cells: DrawnCells,
    values: np.ndarray,
    *,
    title: str,
    colours: str = CONFIDENCE_COLOURS,
    limits: tuple[float, float] | None = None,
    hover: bool = True,
    extra: Sequence[str] | None = None,
) -> "Figure":
    """Return cells in a plane, coloured by a number; the highest are drawn last, above the others.

    Args:
        cells: the cells.
        values: shape (cells,).
        title: what the number is called.
        colours: a scale of plotly.
        limits: ends of the scale; such that a few extreme cells do not stretch it when None.
        hover: as in `label_map`.
        extra: a line more for each cell beside the pointer.
    """
    order = np.argsort(values, kind="stable")
    trace = _points(cells, order, cells.hover_texts() if hover else None, extra)
    low, high = _limits(values) if limits is None else limits
    trace.marker.update(
        color=values[order],
        cmin=low,
        cmax=high,
        colorscale=colours,
        colorbar={"title": {"text": title, "side": "right"}, "thickness": 12, "len": 0.7, "outlinewidth": 0},
    )
    figure = graph_objects().Figure(trace)
    figure.update_layout(**LAYOUT, height=640, showlegend=False)
    return _without_axes(figure)


def _map_of_groups(
    cells: DrawnCells, groups: Mapping[str, np.ndarray], styles: Mapping[str, Style], hover: bool
) -> "Figure":
    figure, texts = graph_objects().Figure(), cells.hover_texts() if hover else None
    grey = {name for name in groups if styles.get(name, Style(GREY)).colour == GREY}
    for name in sorted(groups, key=lambda name: name not in grey):  # grey lies below the colours
        style = styles.get(name, Style(GREY))
        trace = _points(cells, groups[name], texts)
        trace.update(name=shortened(name), legendrank=2000 if name in grey else 1000, showlegend=True)
        trace.marker.update(color=style.colour, symbol=style.symbol)
        figure.add_trace(trace)
    figure.update_layout(**LAYOUT, height=640, legend={"itemsizing": "constant", "tracegroupgap": 0, "y": 0.98})
    return _without_axes(figure)


def _points(cells: DrawnCells, chosen: np.ndarray, texts: list[str] | None, extra: Sequence[str] | None = None) -> Any:
    graph, n_cells = graph_objects(), len(cells)
    kind = graph.Scatter if n_cells <= MOST_SVG_POINTS else graph.Scattergl
    text = None if texts is None else [texts[i] + (f"<br>{extra[i]}" if extra else "") for i in chosen]
    return kind(
        x=cells.places[chosen, 0],
        y=cells.places[chosen, 1],
        mode="markers",
        marker={
            "size": 6 if n_cells <= 3000 else 4 if n_cells <= 20_000 else 2.6,
            "opacity": 0.85,
            "line": {"width": 0},
        },
        text=text,
        meta=_places(chosen) if texts is None else None,
        hovertemplate="%{text}<extra></extra>",
    )


def _places(chosen: np.ndarray) -> dict[str, Any]:
    """Return where the cells of a trace stand among all that are drawn, so that a page can set their texts."""
    if len(chosen) and np.array_equal(chosen, np.arange(chosen[0], chosen[0] + len(chosen))):
        return {"from": int(chosen[0]), "to": int(chosen[-1]) + 1}
    return {"at": chosen.tolist()}


def _limits(values: np.ndarray) -> tuple[float | None, float | None]:
    """Ends of the colour scale that a few extreme cells do not stretch."""
    if not len(values):
        return None, None
    low, high = np.quantile(values, [0.01, 0.99])
    return (float(low), float(high)) if high > low else (None, None)


def _without_axes(figure: "Figure") -> "Figure":
    figure.update_layout(margin={"l": 10, "r": 10, "t": 36, "b": 10}, dragmode="zoom")
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(visible=False)
    return figure


def graph_objects() -> Any:
    """Return Plotly, or a line that says how to get it."""
    try:
        import plotly.graph_objects
    except ModuleNotFoundError as error:
        raise ValueError('Interactive figures need plotly; install it with: pip install "langcell[app]"') from error
    return plotly.graph_objects
