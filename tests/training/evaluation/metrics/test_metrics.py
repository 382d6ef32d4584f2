import numpy as np
import pytest
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score

from langcell.training.evaluation.metrics.metrics import (
    F1,
    Accuracy,
    PerType,
    mean_per_type,
    per_type_scores,
    score_predictions,
)

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def codes():
    """Truth (no cell of type 3) and predictions, of which some are 3 and some 4: no label."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    return truth, np.where(rng.random(200) < 0.6, truth, rng.integers(0, 5, 200))


def test_metrics_agree_with_scikit_learn(codes):
    truth, predicted = codes
    scores = score_predictions(truth, predicted, NAMES, seed=0)
    assert scores["accuracy"] == accuracy_score(truth, predicted)
    for average in ("macro", "weighted"):
        expected = f1_score(truth, predicted, labels=[0, 1, 2], average=average)
        assert scores[f"{average}_f1"] == pytest.approx(expected)
    expected = classification_report(
        truth, predicted, labels=range(4), target_names=NAMES, output_dict=True, zero_division=0
    )
    for name in NAMES:
        assert scores["per_type"][name]["f1"] == pytest.approx(expected[name]["f1-score"])
        assert {key: scores["per_type"][name][key] for key in ("precision", "recall", "support")} == pytest.approx(
            {key: expected[name][key] for key in ("precision", "recall", "support")}
        )
    assert scores["confusion"] == confusion_matrix(truth, predicted, labels=range(5))[:4].tolist()


@pytest.mark.parametrize("metric", [Accuracy, F1])
def test_metrics_take_batches_as_other_metrics_of_evaluate_do(metric, codes):
    truth, predicted = codes
    whole = metric().compute(predictions=predicted, references=truth)
    parts = metric()
    for rows in (slice(None, 150), slice(150, None)):
        parts.add_batch(predictions=predicted[rows], references=truth[rows])
    assert parts.compute() == whole


def test_per_type_keeps_the_order_asked_for():
    result = PerType().compute(predictions=[0, 1, 1], references=[0, 1, 1], labels=[1, 0, 2])
    assert result == {"precision": [1, 1, 0], "recall": [1, 1, 0], "f1": [1, 1, 0], "support": [2, 1, 0]}


def test_every_measure_has_a_spread_over_draws_of_the_cells_and_one_draw_has_none(codes):
    truth, predicted = codes
    scores, again, one = (score_predictions(truth, predicted, NAMES, seed=0, draws=n) for n in (100, 100, 1))
    assert scores == again
    for name in ("accuracy", "macro_f1", "weighted_f1"):
        assert scores[f"{name}_sd"] > 0
        assert (one[name], one[f"{name}_sd"]) == (scores[name], None)
    assert all(scores["per_type"]["a"][f"{name}_sd"] > 0 for name in ("precision", "recall", "f1"))
    assert scores["per_type"]["d"]["f1_sd"] is None  # no cells


def test_types_over_repeats_have_a_mean_and_a_spread(codes):
    truth, predicted = codes
    runs = [per_type_scores(truth[rows], predicted[rows], NAMES) for rows in (slice(120), slice(120, None))]
    summary = mean_per_type(runs)
    first, second = (run["a"] for run in runs)
    assert summary["a"]["f1"] == pytest.approx((first["f1"] + second["f1"]) / 2)
    assert summary["a"]["f1_sd"] == pytest.approx(abs(first["f1"] - second["f1"]) / 2)
    assert summary["a"]["support"] == (truth == 0).sum()
    assert (summary["d"]["support"], summary["d"]["f1"], summary["d"]["f1_sd"]) == (0, 0, None)
    # A repeat without cells of a type says nothing of it.
    only_b = per_type_scores(np.array([1]), np.array([1]), NAMES)
    assert mean_per_type([runs[0], only_b])["a"]["f1"] == pytest.approx(first["f1"])


def test_nothing_right_has_no_accuracy():
    scores = score_predictions(np.array([0, 1]), np.array([2, 2]), ["a", "b"], seed=0)
    assert (scores["accuracy"], scores["macro_f1"], scores["confusion"]) == (0, 0, [[0, 0, 1], [0, 0, 1]])
