import numpy as np
import pytest

from langcell.training.evaluation.tasks.splits import draw_shots, stratified_splits

TRUTH = np.array([0] * 9 + [1] * 6 + [2] * 2 + [3] + [-1] * 4)


def test_each_type_is_split_and_nothing_is_on_both_sides():
    splits = list(stratified_splits(TRUTH, train_share=2 / 3, repeats=3, seed=0))
    for split in splits:
        assert np.bincount(TRUTH[split.train]).tolist() == [6, 4, 1]
        assert np.bincount(TRUTH[split.test]).tolist() == [3, 2, 1]
        assert not set(split.train) & set(split.test)
        assert 17 not in {*split.train, *split.test}  # the type of one cell
    assert len({tuple(split.train) for split in splits}) == 3
    assert len({split.seed for split in splits}) == 3


def test_a_seed_gives_the_same_splits_and_repeats_do_not_change_the_first():
    few = list(stratified_splits(TRUTH, train_share=0.5, repeats=1, seed=5))
    many = list(stratified_splits(TRUTH, train_share=0.5, repeats=4, seed=5))
    np.testing.assert_array_equal(few[0].train, many[0].train)
    assert few[0].seed == many[0].seed
    other = next(stratified_splits(TRUTH, train_share=0.5, repeats=1, seed=6))
    assert set(other.train) != set(few[0].train)


def test_shots_are_nested_and_a_small_type_gives_all_that_it_has():
    rows = draw_shots(TRUTH, np.arange(17), [1, 5, 20], seed=0)
    assert [np.bincount(TRUTH[rows[k]]).tolist() for k in (1, 5, 20)] == [[1, 1, 1], [5, 5, 2], [9, 6, 2]]
    assert set(rows[1]) <= set(rows[5]) <= set(rows[20])


@pytest.mark.parametrize(
    ("truth", "repeats", "message"),
    [
        pytest.param(TRUTH, 0, "repeats is 0; give at least 1", id="no_repeat"),
        pytest.param(np.array([0, 0, 1]), 1, "1 types have two labelled cells", id="one_type"),
    ],
)
def test_what_cannot_be_split_is_refused(truth, repeats, message):
    with pytest.raises(ValueError, match=message):
        next(stratified_splits(truth, train_share=0.5, repeats=repeats, seed=0))
