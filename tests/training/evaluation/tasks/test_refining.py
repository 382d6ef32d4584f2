import numpy as np
import pytest

from langcell.inference.refinement.mixture import LEAST_CELLS
from langcell.training.evaluation.tasks import refining
from langcell.training.evaluation.tasks.refining import as_similarities, refine_scores


@pytest.fixture
def cells():
    """A hundred and fifty cells of three types that lie apart, a fifth of them with the scores of another type."""
    rng, truth = np.random.default_rng(0), np.repeat(np.arange(3), 50)
    places = 8.0 * np.eye(3)[truth] + rng.standard_normal((150, 3))
    said = np.where(rng.random(150) < 0.2, (truth + 1) % 3, truth)
    return truth, 2.0 * np.eye(3)[said] + 0.1 * rng.standard_normal((150, 3)), places


def test_cells_that_lie_together_correct_each_other(cells):
    truth, scores, places = cells
    assert (scores.argmax(axis=1) == truth).mean() < 0.9
    assert (refine_scores(scores, places).argmax(axis=1) == truth).all()


def test_a_label_or_a_cell_without_scores_stays_without(cells):
    truth, scores, places = cells
    scores = np.insert(scores, 1, np.nan, axis=1)
    scores[7] = np.nan
    found = refine_scores(scores, places)
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(found[7]).all()
    rest = np.arange(150) != 7
    assert (np.nanargmax(found[rest], axis=1) == np.array([0, 2, 3])[truth[rest]]).all()


def test_too_few_cells_or_no_places_refine_nothing(cells):
    _, scores, places = cells
    assert refine_scores(scores[: LEAST_CELLS - 1], places[: LEAST_CELLS - 1]) is None
    assert refine_scores(scores, None) is None
    assert refine_scores(scores[:, :1], places) is None


def test_known_cells_keep_their_label(cells):
    _, scores, places = cells
    known = np.full(150, -1)
    known[[0, 60, 120]] = [2, 1, 2]  # the first against its place and its scores
    assert refine_scores(scores, places, known=known)[[0, 60, 120]].argmax(axis=1).tolist() == [2, 1, 2]


def test_a_large_file_is_refined_from_a_sample_with_all_known_cells(cells, monkeypatch):
    truth, scores, places = cells
    monkeypatch.setattr(refining, "MOST_CELLS", 110)
    known = np.full(150, -1)
    known[149] = 2
    assert 149 in refining._sample(np.arange(150), known, seed=0)
    assert (refine_scores(scores, places, known=known, seed=1).argmax(axis=1) == truth).mean() > 0.95


def test_scores_get_the_spread_of_similarities():
    scores = np.random.default_rng(0).random((40, 5))
    assert as_similarities(scores).std(axis=1).mean() == pytest.approx(refining.SPREAD)
    assert as_similarities(np.ones((3, 2))).tolist() == np.ones((3, 2)).tolist()  # nothing to spread
