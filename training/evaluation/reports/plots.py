"""Plots of an evaluation; each function returns a matplotlib Figure and leaves no global state behind."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from langcell.inference.annotation import UNASSIGNED
from langcell.training.evaluation.reports.report import model_scores

_LEGEND_BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
_MOST_LABELLED_TEXTS = 40
_MOST_IN_LEGEND = 24
_ROUNDS_OF_NAMES = 500
_WIDEST_NAME = 24


def draw_confusion(report: Mapping[str, Any]) -> Figure:
    """Return true type (rows, each summing to one) against given label."""
    counts = np.array(model_scores(report)["confusion"])
    rows = [label["name"] for label in report["labels"]]
    columns = [*rows, UNASSIGNED]
    if "candidates" in report:  # of a branch most have no cell
        occurs, given = np.asarray(counts.any(axis=1)), np.asarray(counts.any(axis=0))
        rows = [name for name, kept in zip(rows, occurs.tolist(), strict=True) if kept]
        columns = [name for name, kept in zip(columns, given.tolist(), strict=True) if kept]
        counts = counts[np.ix_(occurs, given)]
    elif not counts[:, -1].any():
        counts, columns = counts[:, :-1], rows
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 0.6 * len(rows))
    figure = Figure(figsize=(size * len(columns) / len(rows), size))
    axis = figure.add_subplot()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set(xlabel=f"named by {report['model']['id']}", ylabel="true type", title=report["data"]["file"])
    axis.set_xticks(range(len(columns)), columns, rotation=90)
    axis.set_yticks(range(len(rows)), rows)
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        axis.text(column, row, f"{share:.2f}", ha="center", va="center", size=8, color="w" if share > 0.5 else "k")
    return figure


def draw_per_type(report: Mapping[str, Any], *, beside: str = "nearest profile") -> Figure:
    """Return F1 of each type, best first, with its number of cells, next to that of the method `beside` where there is
    one."""
    ours = model_scores(report)["per_type"]
    names = sorted((name for name in ours if ours[name]["support"]), key=lambda name: -ours[name]["f1"])
    bars = {method: report["methods"][method] for method in list(report["methods"])[:1]}
    if beside in report["methods"]:
        bars[beside] = report["methods"][beside]
    figure = Figure(figsize=(7, max(2.5, 0.45 * len(names))))
    axis = figure.add_subplot()
    height = 0.8 / len(bars)
    for i, (method, scores) in enumerate(bars.items()):
        rows = [scores["per_type"][name] for name in names]
        values, spread = [row["f1"] for row in rows], [row.get("f1_sd") or 0.0 for row in rows]
        places = np.arange(len(names)) + i * height
        axis.barh(places, values, height=height, xerr=spread, error_kw={"elinewidth": 0.8}, label=method)
    axis.set_yticks(
        np.arange(len(names)) + (len(bars) - 1) * height / 2,
        [f"{name} ({ours[name]['support']:,})" for name in names],
    )
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="F1", title=f"{report['model']['id']} on {report['data']['file']}")
    axis.legend(**_LEGEND_BESIDE)
    return figure


def draw_curves(
    curves: Mapping[str, Mapping[Any, Mapping[str, float]]], measure: str, *, xlabel: str, ylabel: str, title: str
) -> Figure:
    """Return a measure with its standard deviation over a number, one line a method.

    Args:
        curves: method -> number -> {measure: mean, <measure>_sd: standard deviation}.
        measure: which one to draw.
        xlabel: what the numbers are.
        ylabel: how the measure is written.
        title: heading.
    """
    figure = Figure(figsize=(6, 4.5))
    axis = figure.add_subplot()
    for method, points in curves.items():
        values = [points[number][measure] for number in points]
        spread = [points[number].get(f"{measure}_sd") or 0.0 for number in points]
        axis.errorbar([float(number) for number in points], values, yerr=spread, marker="o", capsize=3, label=method)
    numbers = sorted({float(number) for points in curves.values() for number in points})
    axis.set_xscale("log")
    axis.set_xticks(numbers, [f"{number:g}" for number in numbers])
    axis.minorticks_off()
    axis.set(ylim=(0, 1.02), xlabel=xlabel, ylabel=ylabel, title=title)
    axis.grid(alpha=0.3)
    axis.legend(**_LEGEND_BESIDE)
    return figure


def draw_bars(methods: Mapping[str, Mapping[str, Any]], measures: Mapping[str, str], *, title: str) -> Figure:
    """Return the measures from 0 to 1 side by side, a group for each and a bar for each method, with standard
    deviations.

    Args:
        methods: method -> {measure: value, <measure>_sd: value}.
        measures: measure -> how it is written.
        title: heading.
    """
    figure = Figure(figsize=(max(5.0, 1.6 * len(measures)), 4))
    axis = figure.add_subplot()
    width = 0.8 / len(methods)
    for i, (method, scores) in enumerate(methods.items()):
        values = [scores.get(key) or 0.0 for key in measures]
        spread = [scores.get(f"{key}_sd") or 0.0 for key in measures]
        axis.bar(np.arange(len(measures)) + i * width, values, width, yerr=spread, capsize=3, label=method)
    places = np.arange(len(measures)) + (len(methods) - 1) * width / 2
    axis.set_xticks(places, [name.replace(" ", "\n") for name in measures.values()])
    axis.set(ylim=(0, 1.02), title=title)
    axis.legend(**_LEGEND_BESIDE)
    return figure


def draw_points(axis: Axes, places: np.ndarray, groups: Sequence[str], *, title: str, legend: bool = True) -> None:
    """Draw cells as points on `axis`, a colour a group; groups in sorted order, at most 24 in the legend.

    Args:
        axis: where to draw.
        places: shape (cells, 2).
        groups: name of each cell's group.
        title: heading.
        legend: name the colours beside the axis.
    """
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    for code, (name, colour) in enumerate(zip(names, distinct_colours(len(names)), strict=True)):
        chosen = codes == code
        label = name if code < _MOST_IN_LEGEND else None
        axis.scatter(*places[chosen].T, s=4, color=colour, label=label, linewidths=0, rasterized=True)
    axis.set(title=title, xticks=[], yticks=[])
    if legend:
        axis.legend(**_LEGEND_BESIDE, markerscale=3, fontsize=8)


def draw_embeddings(
    cells: np.ndarray, groups: Sequence[str], texts: np.ndarray, names: Sequence[str], *, title: str
) -> Figure:
    """Return cells as points and texts as stars with their names, in one map (the paper's figures 1b and 5).

    Args:
        cells: places of the cells, shape (cells, 2).
        groups: the type of each cell.
        texts: places of the texts, shape (texts, 2).
        names: name of each text.
        title: heading.
    """
    figure = Figure(figsize=(8, 7))
    axis = figure.add_subplot()
    draw_points(axis, cells, groups, title=title, legend=False)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False, markerscale=3, fontsize=8)
    axis.margins(x=0.12)
    drawn = np.unique(np.asarray(groups, dtype=str)).tolist()
    colour_of = dict(zip(drawn, distinct_colours(len(drawn)), strict=True))
    written = []
    for place, name in zip(texts, names, strict=True):
        colour = colour_of.get(name, "lightgrey")
        axis.scatter(*place, marker="*", s=120, color=colour, edgecolors="black", linewidths=0.8, zorder=3)
        if name in colour_of or len(names) <= _MOST_LABELLED_TEXTS:
            written.append(
                axis.text(place[0], place[1], fill(name, _WIDEST_NAME), fontsize=7, zorder=4, ha="center", va="center")
            )
    # By rounds, since by time it would differ from run to run; names may not hide each other or the stars.
    lines = {"arrowstyle": "-", "color": "black", "lw": 0.5}
    x, y = texts[:, 0], texts[:, 1]
    room: dict[str, Any] = {"expand": (1.1, 1.5), "force_explode": (0.3, 0.8), "force_pull": 0.005, "max_move": 20}
    adjust_text(written, x, y, ax=axis, iter_lim=_ROUNDS_OF_NAMES, min_arrow_len=0, arrowprops=lines, **room)
    return figure


def distinct_colours(n: int) -> list[str]:
    """Return colours for n groups that are as easy to tell apart as so many can be: scanpy's; repeated beyond 102
    groups."""
    from scanpy.plotting.palettes import default_20, default_28, default_102

    palette = next((colours for colours in (default_20, default_28) if len(colours) >= n), default_102)
    return [palette[i % len(palette)] for i in range(n)]
