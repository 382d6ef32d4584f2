import numpy as np
import pytest
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score

from langcell.training.evaluation.metrics import F1, Accuracy, PerType, bootstrap_sd, score_predictions

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


def test_bootstrap_is_the_spread_over_draws_of_cells(codes):
    truth, predicted = codes
    confusion = confusion_matrix(truth, predicted, labels=range(5))[:4]
    sd = bootstrap_sd(confusion, seed=1)
    assert sd == bootstrap_sd(confusion, seed=1) != bootstrap_sd(confusion, seed=2)
    accuracy = np.mean(truth == predicted)
    assert sd["accuracy_sd"] == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / len(truth)), rel=0.2)
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 200, 200) for _ in range(200)]
    by_cells = [f1_score(truth[rows], predicted[rows], labels=[0, 1, 2], average="macro") for rows in draws]
    assert sd["macro_f1_sd"] == pytest.approx(np.std(by_cells), rel=0.25)


def test_nothing_right_and_everything_right_have_no_spread():
    assert bootstrap_sd(np.array([[3, 0, 0], [0, 2, 0]]), seed=0)["accuracy_sd"] == 0
    scores = score_predictions(np.array([0, 1]), np.array([2, 2]), ["a", "b"], seed=0)
    assert (scores["accuracy"], scores["macro_f1"], scores["confusion"]) == (0, 0, [[0, 0, 1], [0, 0, 1]])
