import numpy as np

from langcell.training.evaluation.reports.embedding_map import drawn_cells, map_cells_and_texts


def test_texts_stand_among_the_cells_that_they_rank_first_in_spite_of_the_gap():
    rng = np.random.default_rng(0)
    directions = np.eye(3, 8)
    types = np.repeat([0, 1, 2], 25)
    gap = 4 * np.eye(1, 8, 7)
    cells = directions[types] + 0.1 * rng.normal(size=(75, 8)) + gap
    texts = directions - gap
    cells, texts = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (cells, texts))
    assert (cells @ texts.T).max() < (cells @ cells.T).min()  # two cones
    places, stars = map_cells_and_texts(cells, texts, seed=0)
    assert (places.shape, stars.shape) == ((75, 2), (3, 2))
    for code, star in enumerate(stars):
        nearest = np.linalg.norm(places - star, axis=1).argsort()[:5]
        assert (types[nearest] == code).all()
    again = map_cells_and_texts(cells, texts, seed=0)
    np.testing.assert_array_equal(places, again[0])


def test_a_hundred_thousand_cells_are_thinned_out():
    assert drawn_cells(10, seed=0).tolist() == list(range(10))
    rows = drawn_cells(100_000, seed=0)
    assert len(set(rows)) == 5000
    assert (np.diff(rows) > 0).all()
