import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from langcell.training.evaluation.metrics.confidence_metrics import AreaUnderRiskCoverage, ExpectedCalibrationError


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    confidence = rng.random(400)
    return confidence, (rng.random(400) < confidence**2).astype(int)


def test_calibration_error_agrees_with_the_bins_of_scikit_learn(answers):
    confidence, right = answers
    share, mean = calibration_curve(right, confidence, n_bins=15)
    cells = np.histogram(confidence, bins=15, range=(0, 1))[0]
    expected = np.abs(share - mean) @ cells[cells > 0] / len(right)
    result = ExpectedCalibrationError().compute(predictions=confidence, references=right)
    assert result["ece"] == pytest.approx(expected)


def test_area_under_risk_coverage_is_the_mean_risk_over_all_cutoffs(answers):
    confidence, right = answers
    ranked = right[np.argsort(-confidence)]
    expected = np.mean([1 - ranked[:n].mean() for n in range(1, len(ranked) + 1)])
    result = AreaUnderRiskCoverage().compute(predictions=confidence, references=right)
    assert result["aurc"] == pytest.approx(expected)


def test_a_confidence_that_says_nothing_has_the_error_rate_everywhere():
    result = AreaUnderRiskCoverage().compute(predictions=[0.5] * 4, references=[1, 1, 1, 0])
    assert result["aurc"] == 0.25
