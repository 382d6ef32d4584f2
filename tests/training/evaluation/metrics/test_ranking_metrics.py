import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    label_ranking_average_precision_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from langcell.training.evaluation.metrics.ranking_metrics import (
    Auroc,
    MultiLabel,
    Retrieval,
    first_right_ranks,
    score_ranks,
)


@pytest.fixture
def ranking():
    """Scores of 50 queries x 30 answers, and the right answer of each."""
    rng = np.random.default_rng(0)
    scores, right = rng.random((50, 30)), rng.integers(0, 30, 50)
    scores[np.arange(50), right] += 0.3
    return scores, right


def test_recall_and_reciprocal_rank_agree_with_scikit_learn(ranking):
    scores, right = ranking
    is_right = right[:, None] == np.arange(30)
    result = Retrieval().compute(predictions=first_right_ranks(scores, is_right))
    for k in (1, 5, 10):
        assert result[f"recall_at_{k}"] == top_k_accuracy_score(right, scores, k=k, labels=range(30))
    # With one right answer each, average precision is the reciprocal rank.
    assert result["mrr"] == pytest.approx(label_ranking_average_precision_score(is_right, scores))


def test_several_right_answers_count_by_the_first_and_ties_against_the_ranking():
    scores = np.array([[0.5, 0.9, 0.5, 0.1], [0.2, 0.2, 0.2, 0.2]])
    right = np.array([[True, False, True, False], [False, True, False, False]])
    assert first_right_ranks(scores, right).tolist() == [2, 4]


def test_spread_is_over_draws_of_queries(ranking):
    scores, right = ranking
    ranks = first_right_ranks(scores, right[:, None] == np.arange(30))
    found = score_ranks(ranks, [None, *range(49)], seed=0)
    assert found == score_ranks(ranks, [None, *range(49)], seed=0)
    share = found["recall_at_1"]
    assert found["recall_at_1_sd"] == pytest.approx(np.sqrt(share * (1 - share) / 50), rel=0.25)
    assert found["ontology_distance"] == 24.0
    assert "ontology_distance" not in score_ranks(ranks, [None] * 50, seed=0)


def test_auroc_agrees_with_scikit_learn():
    rng = np.random.default_rng(1)
    scores, yes = rng.random(60), rng.integers(0, 2, 60)
    assert Auroc().compute(predictions=scores, references=yes)["auroc"] == roc_auc_score(yes, scores)
    assert Auroc().compute(predictions=[0.1, 0.2], references=[1, 1]) == {"auroc": None}


def test_multi_label_measures_agree_with_scikit_learn():
    rng = np.random.default_rng(2)
    scores, truth = rng.random((80, 4)), rng.integers(0, 2, (80, 4))
    result = MultiLabel().compute(predictions=scores, references=truth)
    assert result["auroc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    assert result["auprc"] == pytest.approx(average_precision_score(truth, scores, average="macro"))
    assert result["f1"] == pytest.approx(f1_score(truth, scores >= 0.5, average="macro"))
