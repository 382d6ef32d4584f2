import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from langcell.training.evaluation.metrics.uncertainty import (
    bootstrap_sd,
    bootstrap_sd_per_type,
    draw_confusions,
    mean_and_sd,
)


@pytest.fixture
def codes():
    """Truth and predictions of 200 cells of three types, some with no label (3)."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    return truth, np.where(rng.random(200) < 0.6, truth, rng.integers(0, 4, 200))


@pytest.fixture
def confusion(codes):
    return confusion_matrix(*codes, labels=range(4))[:3]


def drawn_cells():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 200, 200) for _ in range(200)]


def test_the_seed_decides(confusion):
    first, again, other = (draw_confusions(confusion, draws=50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first.sum((1, 2)) == 200).all()


def test_bootstrap_is_the_spread_over_draws_of_cells(codes, confusion):
    truth, predicted = codes
    sd = bootstrap_sd(draw_confusions(confusion, draws=200, seed=1))
    accuracy = np.mean(truth == predicted)
    assert sd["accuracy_sd"] == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / len(truth)), rel=0.2)
    by_cells = [f1_score(truth[rows], predicted[rows], labels=[0, 1, 2], average="macro") for rows in drawn_cells()]
    assert sd["macro_f1_sd"] == pytest.approx(np.std(by_cells), rel=0.25)


def test_types_have_a_spread_of_their_own(codes, confusion):
    truth, predicted = codes
    by_type = bootstrap_sd_per_type(draw_confusions(confusion, draws=200, seed=1))
    by_cells = np.array(
        [precision_recall_fscore_support(truth[rows], predicted[rows], labels=[0, 1, 2])[:3] for rows in drawn_cells()]
    )
    for measure, name in enumerate(("precision", "recall", "f1")):
        for code, row in enumerate(by_type):
            assert row[f"{name}_sd"] == pytest.approx(by_cells[:, measure, code].std(), rel=0.25)


def test_a_type_that_few_draws_have_is_measured_where_it_is():
    # One cell of the second type, always right: no spread, though a third of the draws lack it.
    drawn = draw_confusions(np.array([[30, 0, 0], [0, 1, 0]]), draws=100, seed=0)
    assert (drawn[:, 1].sum(1) == 0).any()
    assert bootstrap_sd_per_type(drawn)[1] == {"precision_sd": 0, "recall_sd": 0, "f1_sd": 0}


def test_everything_right_has_no_spread_and_one_draw_no_deviation():
    confusion = np.array([[3, 0, 0], [0, 2, 0]])
    assert bootstrap_sd(draw_confusions(confusion, draws=20, seed=0))["accuracy_sd"] == 0
    assert set(bootstrap_sd(draw_confusions(confusion, draws=1, seed=0)).values()) == {None}


def test_one_repeat_has_no_deviation():
    assert mean_and_sd([{"f1": 0.5}])["f1_sd"] is None
    assert mean_and_sd([{"f1": 0.5}] * 2)["f1_sd"] == 0
