import json
from contextlib import nullcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from langcell.inference.naming.calibration import (
    Calibration,
    best_labels,
    expected_calibration_error,
    fit_calibration,
    fit_temperature,
    is_correct,
    risk_coverage,
)


def calibrated_cells(n_cells: int, n_labels: int = 5, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarities that are logits of the right label at temperature 1, the best labels, and truths drawn from them."""
    rng = np.random.default_rng(seed)
    similarity = 2 * rng.normal(size=(n_cells, n_labels))
    return similarity, similarity.argmax(1), np.array([rng.choice(n_labels, p=row) for row in softmax(similarity, 1)])


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 4.0])
def test_the_temperature_that_was_put_in_is_found(temperature):
    similarity, _, truth = calibrated_cells(4000)
    assert fit_temperature(temperature * similarity, truth) == pytest.approx(temperature, rel=0.06)


def test_calibrated_confidence_is_the_share_of_right_cells():
    similarity, named, truth = calibrated_cells(6000)
    sharp = 5 * similarity
    calibration = fit_calibration(sharp[:3000], named[:3000], truth[:3000])
    confidence, correct = calibration.confidence(sharp[3000:], named[3000:]), is_correct(named[3000:], truth[3000:])
    assert expected_calibration_error(softmax(sharp[3000:], 1).max(1), correct) > 0.2
    assert expected_calibration_error(confidence, correct) < 0.03


@pytest.mark.parametrize("target", [{"target_risk": 0.1}, {"target_accuracy": 0.9}, {}])
def test_the_risk_of_what_is_named_meets_the_target(target):
    similarity, named, truth = calibrated_cells(6000)
    calibration = fit_calibration(similarity[:3000], named[:3000], truth[:3000], **target)
    confidence, correct = calibration.confidence(similarity, named), is_correct(named, truth)
    kept = confidence >= np.float32(calibration.threshold)
    assert 1 - correct[:3000][kept[:3000]].mean() <= 0.1
    assert 1 - correct[3000:][kept[3000:]].mean() == pytest.approx(0.1, abs=0.02)
    # No lower threshold would do: the next cell that would be named goes too far, alone or with those after it.
    curve = risk_coverage(confidence[:3000], correct[:3000])
    assert (curve.risk[curve.threshold < np.float32(calibration.threshold)] > 0.1).all()


def test_cells_of_a_type_that_is_no_candidate_count_as_wrong():
    similarity, named, truth = calibrated_cells(2000)
    lower = fit_calibration(similarity, named, truth, target_risk=0.2)
    absent = np.where(np.arange(2000) % 4 == 0, -1, truth)
    higher = fit_calibration(similarity, named, absent, target_risk=0.2)
    assert higher.threshold > lower.threshold
    assert higher.temperature == pytest.approx(lower.temperature, rel=0.1)


def test_the_confidence_is_that_of_the_label_that_the_cell_got():
    similarity = np.array([[4.0, 2.0, 0.0], [np.nan] * 3, [4.0, 2.0, 0.0]])
    calibration = Calibration(2.0, 0.5)
    expected = np.exp([2, 1, 0]) / np.exp([2, 1, 0]).sum()
    assert_allclose(calibration.probabilities(similarity), [expected, [0, 0, 0], expected], rtol=1e-6)
    assert_allclose(calibration.confidence(similarity, np.array([0, -1, 1])), [expected[0], 0, expected[1]], rtol=1e-6)


def test_the_best_label_among_the_scores_that_there_are():
    scores = np.array([[0.2, 0.5, np.nan], [np.nan] * 3, [0.4, 0.4, 0.2]])
    assert best_labels(scores).tolist() == [1, -1, 0]


def test_risk_coverage_on_paper():
    curve = risk_coverage(np.array([0.2, 0.9, 0.8, 0.8, 0.5]), np.array([False, True, True, False, True]))
    assert_allclose(curve.threshold, [0.9, 0.8, 0.5, 0.2])
    assert_allclose(curve.coverage, [0.2, 0.6, 0.8, 1.0])
    assert_allclose(curve.risk, [0, 1 / 3, 1 / 4, 2 / 5])
    assert curve.threshold_for(0.25) == 0.5  # the risk may rise and fall: the greatest coverage counts
    assert curve.at_threshold(0.75) == pytest.approx((0.6, 1 / 3))
    assert curve.at_threshold(0.95) == (0.0, 0.0)


def test_a_target_out_of_reach_is_refused():
    with pytest.raises(ValueError, match=r"risk of 0.1 or less: the lowest on these cells is 0.500"):
        risk_coverage(np.array([0.9, 0.8]), np.array([False, True])).threshold_for(0.1)


def test_expected_calibration_error_on_paper():
    confidence = np.array([0.1, 0.2, 0.8, 1.0])
    correct = np.array([False, True, True, True])
    # two bins: |0.15 - 0.5| * 2/4 and |0.9 - 1| * 2/4
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.225)


def test_a_file_there_and_back(tmp_path):
    calibration = Calibration(0.123456789, 0.25, {"alpha": 0.1, "labels": ["a", "b"]})
    calibration.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == calibration
    assert json.loads((tmp_path / "calibration.json").read_text())["temperature"] == 0.123456789


def file_with(**content: object) -> str:
    return json.dumps({"calibration_format": 2, **content})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "is no calibration", id="empty"),
        pytest.param("[1, 2]", "is no calibration", id="a_list"),
        pytest.param(file_with(temperature=1), r"is no calibration \('threshold'\)", id="a_key_missing"),
        pytest.param(file_with(temperature="warm", threshold=0.5), "the temperature 'warm'", id="text"),
        pytest.param(file_with(temperature=0, threshold=0.5), "the temperature 0", id="zero"),
        pytest.param(file_with(temperature=1, threshold=2), "the threshold 2", id="threshold"),
        pytest.param('{"temperature": 1, "threshold": 0.5}', "calibration_format is None, not 2", id="an_older_one"),
        pytest.param(None, "Cannot read the calibration", id="no_file"),
    ],
)
def test_a_file_that_is_no_calibration(tmp_path, content, message):
    path = tmp_path / "calibration.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Calibration.load(path)


def test_another_use_is_refused():
    calibration = Calibration(1.0, 0.5, {"alpha": 0.1, "labels": ["a", "b"], "model_revision": "abc"})
    calibration.check_used_with(alpha=0.1 + 1e-12, labels=["a", "b"], model_revision="abc", dtype="float32")
    with pytest.raises(ValueError, match=r"fitted with alpha 0\.1, but here it is 0\.5"):
        calibration.check_used_with(alpha=0.5)
    with pytest.raises(ValueError, match=r"fitted without the labels 'c'; run langcell calibrate"):
        calibration.check_used_with(labels=["b", "c", "a"])
    calibration.check_used_with(labels=["b", "a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"target_risk": 0.1, "target_accuracy": 0.9}, "not both", id="both_targets"),
        pytest.param({"target_risk": 1.0}, "target risk is 1; legal", id="target_risk"),
        pytest.param({"target_accuracy": 1.5}, "target risk is -0.5; legal", id="target_accuracy"),
        pytest.param({"similarity": np.ones(3)}, "similarity has the shape", id="no_matrix"),
        pytest.param({"named": np.array([0, 1])}, "do not fit", id="too_few_labels"),
        pytest.param({"truth": np.array([0, 1])}, "do not fit", id="too_few_truths"),
        pytest.param({"truth": np.array([0, 1, 2])}, "do not fit", id="no_such_label"),
        pytest.param({"truth": np.array([-1, -1, -1])}, "nothing to calibrate on", id="no_right_label"),
    ],
)
def test_unusable_cells_and_targets(change, message):
    given = {"similarity": np.array([[6.0, 4.0]] * 3), "named": np.zeros(3, int), "truth": np.array([0, 0, 1])}
    given |= {"target_risk": 0.5} | change
    if "target_accuracy" in change and "target_risk" not in change:
        del given["target_risk"]
    with pytest.raises(ValueError, match=message):
        fit_calibration(**given)


@pytest.mark.parametrize(("fitted", "used", "same"), [(551, 549, True), (0, 551, False), (551, 0, False), (0, 0, True)])
def test_reference_cells_took_part_or_not_however_many_a_file_has(fitted, used, same):
    calibration = Calibration(1.0, 0.5, {"labels": ["a"], "label_texts": ["b"], "reference_cells": fitted})
    with nullcontext() if same else pytest.raises(ValueError, match=f"reference_cells {fitted}, but here it is {used}"):
        calibration.check_used_with(labels=["a"], label_texts=["b"], reference_cells=used)
