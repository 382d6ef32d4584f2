"""Interactive figures of named cells, as plotly Figures: maps, composition per sample, and confidence."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_COLOURS = 20
TOP_LABELS = 3
# Points as SVG show on any machine; more of them need WebGL to move smoothly.
MOST_SVG_POINTS = 3000
MOST_SAMPLES = 40

_OTHERS = "other labels"
_NO_LABELS = ("unknown", "unassigned")
_GREY = "#b9bdc4"
# Strong colours first, then their light partners; neighbours in the list differ in hue.
_PALETTE = (
    "#1f77b4", "#e6550d", "#2ca02c", "#d62728", "#8c5fbf", "#8c564b", "#e377c2", "#bcbd22", "#17becf", "#3b4cc0",
    "#f2a900", "#006d5b", "#ff9896", "#98df8a", "#c5b0d5", "#c49c94", "#7a0177", "#9edae5", "#5c6b2f", "#aec7e8",
)  # fmt: skip
_CONFIDENCE_COLOURS = "Viridis"
_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#24292f"}
_MOST_CHARACTERS = 38


@dataclass(frozen=True)
class DrawnCells:
    """Cells of a map, those of one label standing together, the most frequent label first.

    Attributes:
        names: of the cells.
        places: float32, shape (cells, 2).
        labels: the label of each cell.
        confidence: float32, shape (cells,).
        top_labels: the best labels of each cell, best first, shape (cells, 3); "" where there is none.
        top_scores: their scores, shape (cells, 3); NaN where there is none.
    """

    names: Sequence[str]
    places: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    top_labels: np.ndarray
    top_scores: np.ndarray

    @classmethod
    def grouped(
        cls,
        names: Sequence[str],
        places: np.ndarray,
        labels: Sequence[str] | np.ndarray,
        confidence: np.ndarray,
        top_labels: np.ndarray,
        top_scores: np.ndarray,
    ) -> "DrawnCells":
        """The same cells, put into the order that the class asks for."""
        labels_array = np.asarray(labels, dtype=object)
        rank = {name: i for i, name in enumerate(by_frequency(labels_array))}
        order = np.argsort([rank[name] for name in labels_array], kind="stable")
        return cls(
            np.asarray(names, dtype=object)[order].tolist(),
            np.asarray(places, dtype=np.float32)[order],
            labels_array[order],
            np.asarray(confidence, dtype=np.float32)[order],
            top_labels[order],
            top_scores[order],
        )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def spans(self) -> dict[str, slice]:
        """Where the cells of each label stand."""
        begins = np.flatnonzero(np.r_[True, self.labels[1:] != self.labels[:-1]]) if len(self) else np.zeros(0, int)
        ends = np.r_[begins[1:], len(self)]
        return {str(self.labels[a]): slice(int(a), int(b)) for a, b in zip(begins, ends, strict=True)}

    def hover_texts(self) -> list[str]:
        """Name and best labels of each cell, as plotly shows them."""
        best = [
            [f"{html.escape(label)}  <b>{score:.3f}</b>" for label, score in zip(*row, strict=True) if label]
            for row in zip(self.top_labels.tolist(), self.top_scores.tolist(), strict=True)
        ]
        return [
            "<br>".join([f"<b>{html.escape(name)}</b>", *lines]) for name, lines in zip(self.names, best, strict=True)
        ]


def by_frequency(labels: Sequence[str] | np.ndarray) -> list[str]:
    """The different labels, the most frequent first; of equally frequent ones the first in the alphabet."""
    names, counts = np.unique(np.asarray(labels, dtype=str), return_counts=True)
    return [str(names[i]) for i in np.lexsort((names, -counts))]


def colours_of(labels: Sequence[str], *, grey: Sequence[str] = _NO_LABELS) -> dict[str, str]:
    """A colour for each of the first 20 labels, grey for the others and for what stands for no label.

    >>> colours_of(["B cell", "unassigned"])
    {'B cell': '#1f77b4', 'unassigned': '#b9bdc4'}
    """
    named = [label for label in labels if label not in grey]
    colours = {label: _PALETTE[i] if i < MOST_COLOURS else _GREY for i, label in enumerate(named)}
    return {label: colours.get(label, _GREY) for label in labels}


def label_map(cells: DrawnCells, colours: Mapping[str, str] | None = None, *, hover: bool = True) -> "Figure":
    """Cells in a plane, a colour a label; a click in the legend hides or shows one.

    Args:
        cells: the cells.
        colours: of the labels, from `colours_of`; made here when None.
        hover: carry the texts of the cells; without, the page that shows the figure has to set them.
    """
    graph = _graph_objects()
    colours = colours_of(list(cells.spans)) if colours is None else colours
    texts = cells.hover_texts() if hover else None
    figure = graph.Figure()
    has_others = False
    # Grey lies below the colours, and stands last in the legend.
    for name, span in sorted(cells.spans.items(), key=lambda item: colours.get(item[0], _GREY) != _GREY):
        is_grey = colours.get(name, _GREY) == _GREY
        is_other = is_grey and name not in _NO_LABELS
        trace = _points(cells, span, texts)
        trace.update(
            name=_OTHERS if is_other else shortened(name),
            legendgroup=_OTHERS if is_other else name,
            legendrank=2000 if is_grey else 1000,
            showlegend=not (is_other and has_others),
        )
        trace.marker.color = colours.get(name, _GREY)
        figure.add_trace(trace)
        has_others |= is_other
    figure.update_layout(**_layout(height=640), legend={"itemsizing": "constant", "tracegroupgap": 0, "y": 0.96})
    return _without_axes(figure)


def confidence_map(cells: DrawnCells, *, hover: bool = True) -> "Figure":
    """Cells in a plane, coloured by confidence; `hover` as in `label_map`."""
    figure = _graph_objects().Figure()
    trace = _points(cells, slice(0, len(cells)), cells.hover_texts() if hover else None)
    trace.marker.update(
        color=cells.confidence,
        **_limits(cells.confidence),
        colorscale=_CONFIDENCE_COLOURS,
        colorbar={"title": {"text": "confidence"}, "thickness": 14, "len": 0.6, "outlinewidth": 0},
    )
    figure.add_trace(trace)
    figure.update_layout(**_layout(height=640), showlegend=False)
    return _without_axes(figure)


def composition(counts: pd.DataFrame, colours: Mapping[str, str]) -> "Figure":
    """Shares of the labels in each sample, as stacked bars; at most 40 samples, those with the most cells.

    Args:
        counts: cells of each sample (rows) and label (columns).
        colours: of the labels, from `colours_of`.
    """
    graph = _graph_objects()
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_SAMPLES]]
    totals = counts.sum(axis=1)
    rows = [f"{shortened(str(sample), 24)} ({total:,})" for sample, total in totals.items()]
    figure = graph.Figure()
    for name, column in _joined(counts, colours).items():
        figure.add_bar(
            y=rows,
            x=(column / totals).to_numpy(),
            customdata=column.to_numpy(),
            orientation="h",
            name=shortened(str(name)),
            marker={"color": colours.get(str(name), _GREY), "line": {"width": 0}},
            text=[html.escape(str(name))] * len(rows),
            textposition="none",
            hovertemplate="%{y}<br>%{text}: <b>%{x:.1%}</b>, %{customdata:,} cells<extra></extra>",
        )
    figure.update_layout(
        **_layout(height=170 + max(26 * len(rows), 22 * min(len(counts.columns), MOST_COLOURS + 1))),
        barmode="stack",
        bargap=0.25,
        legend={"traceorder": "normal"},
        xaxis={"tickformat": ".0%", "range": [0, 1], "fixedrange": True, "showgrid": False, "title": "share of cells"},
        yaxis={"autorange": "reversed", "fixedrange": True, "automargin": True, "ticksuffix": "  ", "type": "category"},
    )
    return figure


def confidence_histogram(confidence: np.ndarray, *, threshold: float | None = None) -> "Figure":
    """How many cells have which confidence, with the median and, where there is one, the threshold of "unknown"."""
    graph = _graph_objects()
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
        **_layout(height=320),
        xaxis={"title": "confidence", "showgrid": False},
        # Room above the bars for what the lines are called.
        yaxis={"title": "cells", "gridcolor": "#eceff3", "tickformat": ",d", "range": [0, 1.2 * max(1, counts.max())]},
    )
    return figure


def shortened(name: str, most: int = _MOST_CHARACTERS) -> str:
    """A name for a legend: long ones lose their middle, where names of cell types differ least."""
    if len(name) > most:
        name = f"{name[: most - 14]}…{name[-13:]}"
    return html.escape(name)


def _joined(counts: pd.DataFrame, colours: Mapping[str, str]) -> dict[Any, pd.Series]:
    """Columns by label, those without a colour of their own as one."""
    own = {name: pd.Series(counts[name]) for name in counts.columns if colours.get(str(name), _GREY) != _GREY}
    special = {name: pd.Series(counts[name]) for name in _NO_LABELS if name in counts}
    others = counts.drop(columns=[*own, *special])
    joined = own | ({_OTHERS: pd.Series(others.sum(axis=1))} if len(others.columns) else {}) | special
    return {name: column for name, column in joined.items() if bool(column.sum())}


def _limits(confidence: np.ndarray) -> dict[str, float]:
    """Ends of the colour scale that a few extreme cells do not stretch."""
    if not len(confidence):
        return {}
    low, high = np.quantile(confidence, [0.01, 0.99])
    return {"cmin": float(low), "cmax": float(high)} if high > low else {}


def _points(cells: DrawnCells, span: slice, texts: list[str] | None) -> Any:
    graph = _graph_objects()
    kind = graph.Scatter if len(cells) <= MOST_SVG_POINTS else graph.Scattergl
    n_cells = len(cells)
    size = 6 if n_cells <= 3000 else 4 if n_cells <= 20_000 else 2.6
    return kind(
        x=cells.places[span, 0],
        y=cells.places[span, 1],
        mode="markers",
        marker={"size": size, "opacity": 0.8, "line": {"width": 0}},
        text=None if texts is None else texts[span],
        meta={"from": span.start, "to": span.stop},
        hovertemplate="%{text}<extra></extra>",
    )


def _layout(*, height: int) -> dict[str, Any]:
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 30, "b": 45},
        "font": _FONT,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hoverlabel": {"bgcolor": "white", "bordercolor": "#d0d7de", "font": _FONT, "align": "left", "namelength": -1},
        "hovermode": "closest",
    }


def _without_axes(figure: "Figure") -> "Figure":
    figure.update_layout(margin={"l": 10, "r": 10, "t": 36, "b": 10}, dragmode="zoom")
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(visible=False)
    return figure


def _graph_objects() -> Any:
    try:
        import plotly.graph_objects
    except ModuleNotFoundError as error:
        raise ValueError('Interactive figures need plotly; install it with: pip install "langcell[app]"') from error
    return plotly.graph_objects
