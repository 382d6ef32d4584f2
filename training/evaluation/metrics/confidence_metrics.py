"""Metrics of confidence: `evaluate.Metric` classes around the measures that `langcell calibrate` uses."""

from collections.abc import Sequence

import datasets
import numpy as np

from langcell.inference.naming.calibration import expected_calibration_error, risk_coverage
from langcell.training.evaluation.metrics.metrics import OfflineMetric

_COLUMNS = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
_INPUTS = "predictions: confidence of each cell; references: 1 where its label is right, else 0."


class ExpectedCalibrationError(OfflineMetric):
    """Mean difference of confidence and accuracy over 15 bins of confidence.

    >>> round(ExpectedCalibrationError().compute(predictions=[0.9, 0.9], references=[1, 0])["ece"], 6)
    0.4
    """

    summary = "Mean difference of confidence and accuracy over bins of confidence, weighted by cells."
    inputs = _INPUTS
    columns = _COLUMNS

    def _compute(self, *, predictions: Sequence[float], references: Sequence[int]) -> dict[str, float]:
        return {"ece": expected_calibration_error(np.asarray(predictions), np.asarray(references, dtype=bool))}


class AreaUnderRiskCoverage(OfflineMetric):
    """Mean risk when the cells are kept one after the other, the most confident first; lower is better.

    >>> AreaUnderRiskCoverage().compute(predictions=[0.9, 0.5], references=[1, 0])
    {'aurc': 0.25}
    """

    summary = "Mean over coverages of the share of wrong labels among the cells kept."
    inputs = _INPUTS
    columns = _COLUMNS

    def _compute(self, *, predictions: Sequence[float], references: Sequence[int]) -> dict[str, float]:
        curve = risk_coverage(np.asarray(predictions), np.asarray(references, dtype=bool))
        # Cells of equal confidence are kept together: each of them has the risk at the end of its group.
        return {"aurc": float((np.diff(curve.coverage, prepend=0.0) * curve.risk).sum())}
