"""Batches of a file are moved onto one another, by their means or by Harmony."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from langcell.inference.refinement.batches import NearestMoves, check_harmony, fit_moves, harmonize

N_CELLS = 160
# harmonypy says how it works.
pytestmark = pytest.mark.filterwarnings("ignore")


def cells(*, lacking: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, types and batches; the second batch lies elsewhere and may lack the second type."""
    rng = np.random.default_rng(0)
    types, batches = np.repeat([0, 1], N_CELLS // 2), np.tile(["a", "b"], N_CELLS // 2)
    if lacking:
        batches = np.where(types == 1, "a", batches)
    places = 5 * np.eye(2, 6)[types] + rng.normal(size=(N_CELLS, 6)) + 3 * (batches == "b")[:, None]
    return places, types, batches


def shift(places: np.ndarray, chosen: np.ndarray, batches: np.ndarray) -> float:
    means = [places[chosen & (batches == name)].mean(axis=0) for name in ("a", "b")]
    return float(np.linalg.norm(means[0] - means[1]))


def test_harmony_takes_a_shift_between_batches_out():
    pytest.importorskip("harmonypy")
    places, _, batches = cells()
    everywhere = np.ones(N_CELLS, dtype=bool)
    found = harmonize(places, batches, seed=0)
    assert found.shape == places.shape
    assert shift(found, everywhere, batches) < 0.5 * shift(places, everywhere, batches)
    assert_array_equal(found, harmonize(places, batches, seed=0))


def test_means_pull_a_type_that_one_batch_lacks_and_harmony_does_not():
    pytest.importorskip("harmonypy")
    places, types, batches = cells(lacking=True)
    left = {
        method: shift(fit_moves(method, places, batches).moved(places, batches), types == 0, batches)
        for method in ("mean", "harmony")
    }
    assert left["harmony"] < 0.5 * left["mean"]


def test_cells_outside_the_sample_move_as_the_nearest_of_their_batch():
    moves = NearestMoves(np.array([[0.0], [10.0], [0.0]]), np.array(["a", "a", "b"]), np.array([[1.0], [2.0], [5.0]]))
    places, batches = np.array([[1.0], [9.0], [9.0], [3.0], [np.nan]]), np.array(["a", "a", "b", "c", "a"])
    found = moves.moved(places, batches)
    assert_array_equal(found, [[2.0], [11.0], [14.0], [3.0], [np.nan]])
    one_by_one = [moves.moved(places[[i]], batches[[i]])[0] for i in range(5)]
    assert_array_equal(found, one_by_one)


def test_one_batch_alone_stays_where_it_is():
    places, _, _ = cells()
    batches = np.full(N_CELLS, "a")
    for method in ("mean", "harmony"):
        np.testing.assert_allclose(fit_moves(method, places, batches).moved(places, batches), places)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(ValueError, match=r"Harmony is missing .* pip install \"langcell\[harmony\]\""):
        check_harmony()
