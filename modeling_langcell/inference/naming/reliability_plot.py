"""The plot of what a confidence is worth, which `langcell calibrate` and `langcell evaluate calibration` draw."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve

from langcell.inference.naming.calibration import risk_coverage

BINS = 15
"""Bins of confidence, here and in the expected calibration error."""

Repeats = Sequence[tuple[np.ndarray, np.ndarray]]


def draw_reliability(runs: Mapping[str, Repeats], *, threshold: float, title: str) -> Figure:
    """Return the risk over coverage, and share of right cells over confidence; each series has one colour in both
    panels.

    Of several repeats thin lines are the repeats. The thick line is their mean risk on the left, and all of their cells
    on the right.

    Args:
        runs: what the confidence is -> (confidence, whether the label is right) of the cells of each repeat.
        threshold: threshold of the first of them in its first repeat, marked.
        title: heading.
    """
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    risks, shares = figure.subplots(1, 2)
    shares.plot([0, 1], [0, 1], color="grey", linewidth=1, zorder=0)
    for i, (name, repeats) in enumerate(runs.items()):
        # Dashes leave a curve to be seen that lies below.
        style = {"color": f"C{i}", "linestyle": "--" if i else "-", "linewidth": 2}
        _draw_risks(risks, repeats, style, name=name)
        _draw_shares(shares, repeats, style)
    first = next(iter(runs.values()))
    marked = f"threshold {threshold:.3f}" + (", first split" if len(first) > 1 else "")
    risks.plot(*risk_coverage(*first[0]).at_threshold(threshold), "ko", zorder=3, label=marked)
    risks.set(xlabel="coverage", ylabel="risk", xlim=(0, 1.02), title="Risk and coverage")
    shares.set(xlabel="confidence", ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.02), title="Reliability")
    figure.suptitle(title)
    # Below the panels, where it covers no curve.
    figure.legend(loc="outside lower center", ncols=len(runs) + 1, frameon=False)
    return figure


def _draw_risks(axis: Axes, repeats: Repeats, style: Mapping[str, Any], *, name: str) -> None:
    curves = [risk_coverage(confidence, right) for confidence, right in repeats]
    if len(curves) == 1:
        axis.plot(curves[0].coverage, curves[0].risk, label=name, **style)
        return
    for curve in curves:
        axis.plot(curve.coverage, curve.risk, color=style["color"], linewidth=0.6, alpha=0.4)
    grid = np.linspace(0.01, 1, 100)
    mean = np.mean([np.interp(grid, curve.coverage, curve.risk) for curve in curves], axis=0)
    axis.plot(grid, mean, label=name, **style)


def _draw_shares(axis: Axes, repeats: Repeats, style: Mapping[str, Any]) -> None:
    if len(repeats) > 1:
        for confidence, right in repeats:
            axis.plot(*_in_bins(confidence, right), color=style["color"], linewidth=0.6, alpha=0.4)
    pooled = (np.concatenate(parts) for parts in zip(*repeats, strict=True))
    axis.plot(*_in_bins(*pooled), marker="o", markersize=4, **style)


def _in_bins(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean confidence and share of right cells in each bin that has cells."""
    share, mean = calibration_curve(right, np.clip(confidence, 0, 1), n_bins=BINS)
    return mean, share
