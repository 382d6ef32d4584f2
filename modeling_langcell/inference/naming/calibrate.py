"""`langcell calibrate`: fit a calibration on one half of the labelled cells and measure it on the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from langcell.inference.naming.calibration import (
    Calibration,
    RiskCoverage,
    best_labels,
    expected_calibration_error,
    fit_calibration,
    is_correct,
    risk_coverage,
)
from langcell.inference.naming.reliability_plot import BINS, draw_reliability
from langcell.inference.running.job import model_facts
from langcell.loading.load import LoadedLangCell
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.labels.resolve import Label

TABLE_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.1)


@dataclass(frozen=True, eq=False)
class CalibrationRun:
    """A calibration, and what it is worth on cells that it has not seen.

    Attributes:
        calibration: fitted on `fit_cells` cells.
        fit_cells: number of cells that it was fitted on.
        raw_confidence: greatest score of each held-out cell, (held-out cells,).
        confidence: its calibrated confidence, (held-out cells,).
        correct: whether its best label is right, bool, (held-out cells,).
    """

    calibration: Calibration
    fit_cells: int
    raw_confidence: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray

    @property
    def curve(self) -> RiskCoverage:
        """Risk over coverage of the held-out cells."""
        return risk_coverage(self.confidence, self.correct)

    def report(self) -> dict[str, Any]:
        """Return what was measured on the held-out cells, ready for JSON."""
        coverage, risk = self.curve.at_threshold(self.calibration.threshold)
        return {
            "cells": len(self.correct),
            "accuracy": float(self.correct.mean()),
            "coverage_at_threshold": coverage,
            "risk_at_threshold": risk,
            "expected_calibration_error_before": expected_calibration_error(self.raw_confidence, self.correct, BINS),
            "expected_calibration_error": expected_calibration_error(self.confidence, self.correct, BINS),
            "risk_coverage": [
                {"coverage": share, "threshold": threshold, "risk": wrong} for share, threshold, wrong in self._points()
            ],
        }

    def table(self) -> Table:
        """Return the risk at some coverages, and at the threshold."""
        table = Table(
            title=f"Held-out cells: {len(self.correct)}",
            caption="coverage: share of the cells that get a label; risk: share of these labels that are wrong",
        )
        for name in ("coverage", "threshold", "risk"):
            table.add_column(name, justify="right")
        for share, threshold, wrong in self._points():
            table.add_row(f"{share:.1%}", f"{threshold:.3f}", f"{wrong:.3f}")
        coverage, risk = self.curve.at_threshold(self.calibration.threshold)
        table.add_section()
        chosen = (f"{coverage:.1%}", f"{self.calibration.threshold:.3f} (chosen)", f"{risk:.3f}" if coverage else "–")
        table.add_row(*chosen, style="bold")
        return table

    def figure(self) -> Figure:
        """Return the risk over coverage, and accuracy over confidence before and after; see `draw_reliability`."""
        kinds = {"calibrated confidence": self.confidence, "greatest score": self.raw_confidence}
        runs = {}
        for name, confidence in kinds.items():
            error = expected_calibration_error(confidence, self.correct, BINS)
            runs[f"{name}, ECE {error:.3f}"] = [(confidence, self.correct)]
        title = f"Held-out cells: {len(self.correct):,}"
        return draw_reliability(runs, threshold=self.calibration.threshold, title=title)

    def save(self, path: Path) -> Path:
        """Write the calibration to `path` and the figure beside it; returns the figure's path."""
        self.calibration.save(path)
        picture = path.with_suffix(".png")
        with atomic_output(picture) as temporary:
            self.figure().savefig(temporary, format="png", dpi=120)
        return picture

    def _points(self) -> list[tuple[float, float, float]]:
        """(coverage, threshold, risk) at the first points of the curve that reach `TABLE_COVERAGES`."""
        curve = self.curve
        places = np.searchsorted(curve.coverage, np.array(TABLE_COVERAGES) - 1e-9)
        columns = (curve.coverage, curve.threshold, curve.risk)
        return [(float(c), float(t), float(r)) for c, t, r in zip(*(column[places] for column in columns), strict=True)]


def calibrate(
    scores: np.ndarray,
    similarity: np.ndarray,
    truth: np.ndarray,
    *,
    target_risk: float | None = None,
    target_accuracy: float | None = None,
    fit_share: float = 0.5,
    seed: int = 0,
    fitted_with: dict[str, Any] | None = None,
) -> CalibrationRun:
    """Split the cells at random, fit on one part, and measure on the other.

    Args:
        scores: what names the cells, (cells, labels); all NaN for a cell without any known gene.
        similarity: what says how sure that is, (cells, labels); see `fit_calibration`.
        truth: int, (cells,); column of the right label, -1 where none is right.
        target_risk: see `fit_calibration`.
        target_accuracy: see `fit_calibration`.
        fit_share: share of the cells to fit on.
        seed: random seed of the split.
        fitted_with: stored in the calibration, beside what was measured ("held_out"); see `fitting_facts`.

    Raises:
        ValueError: too few cells, a share outside 0 to 1, or see `fit_calibration`.
    """
    if not 0 < fit_share < 1:
        raise ValueError(f"fit_share is {fit_share}; give a share between 0 and 1, such as 0.5.")
    n_fit = round(fit_share * len(scores))
    if not 0 < n_fit < len(scores):
        raise ValueError(f"There are {len(scores)} cells with a type, too few to fit on some and measure on others.")
    order = np.random.default_rng(seed).permutation(len(scores))
    fit, held_out = np.sort(order[:n_fit]), np.sort(order[n_fit:])
    named = best_labels(scores)
    fitted = fit_calibration(
        similarity[fit], named[fit], truth[fit], target_risk=target_risk, target_accuracy=target_accuracy
    )
    greatest = np.where(np.isnan(scores[held_out]), 0, scores[held_out]).max(axis=1)
    confidence = fitted.confidence(similarity[held_out], named[held_out])
    correct = is_correct(named[held_out], truth[held_out])
    run = CalibrationRun(fitted, n_fit, greatest, confidence, correct)
    facts = {**(fitted_with or {}), "fit_cells": n_fit, "fit_share": fit_share, "seed": seed, "held_out": run.report()}
    return CalibrationRun(
        Calibration(fitted.temperature, fitted.threshold, facts), n_fit, greatest, confidence, correct
    )


def fitting_facts(
    loaded: LoadedLangCell,
    labels: Sequence[Label],
    *,
    alpha: float,
    reference_cells: int,
    data: str,
    label_column: str,
    absent_types: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what a calibration is fitted with: what `Calibration.check_used_with` compares, and the data, for people.

    Args:
        loaded: the model, by whose way of scoring (`score_data`) the scores were made.
        labels: the candidates.
        alpha: weight of the similarity.
        reference_cells: how many of the model's the cells were compared with.
        data: name of the file.
        label_column: column of obs with the types.
        absent_types: types in the column that are no candidates.
    """
    return {
        **model_facts(loaded),
        "alpha": float(alpha),
        "reference_cells": reference_cells,
        "rerank": "full",
        "labels": [label.name for label in labels],
        "label_texts": [label.text for label in labels],
        "data": data,
        "label_column": label_column,
        "absent_types": list(absent_types),
    }
