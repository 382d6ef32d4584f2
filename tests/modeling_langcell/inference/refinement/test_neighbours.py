import numpy as np
import pytest

from langcell.inference.refinement.neighbours import MOST_CELLS, N_NEIGHBORS, Neighbours


@pytest.fixture
def two_groups():
    """Four hundred cells in two groups that lie apart, each named with a probability of 0.9."""
    rng, group = np.random.default_rng(0), np.repeat([0, 1], 200)
    components = 6.0 * group[:, None] * np.eye(3)[0] + rng.standard_normal((400, 3))
    return group, components, np.where(np.eye(2)[group] > 0, 0.9, 0.1)


def test_a_cell_follows_the_cells_around_it_unless_it_is_certain(two_groups):
    group, components, posterior = two_groups
    neighbours = Neighbours.fit(components, posterior)
    said = posterior.copy()
    said[0], said[1] = [0.4, 0.6], [1e-4, 1 - 1e-4]
    heard = neighbours.heard(components, said)
    assert heard[0].argmax() == 0
    assert heard[1].argmax() == 1
    assert (heard.argmax(axis=1) == group)[2:].all()
    np.testing.assert_allclose(heard.sum(axis=1), 1)


def test_a_cell_without_a_place_or_an_answer_keeps_what_it_has(two_groups):
    _, components, posterior = two_groups
    neighbours = Neighbours.fit(components, posterior)
    components[0], posterior[1] = np.nan, 0.0
    heard = neighbours.heard(components, posterior)
    np.testing.assert_array_equal(heard[:2], posterior[:2])
    nothing = neighbours.heard(np.full((2, 3), np.nan), np.ones((2, 2)) / 2)
    assert nothing.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_known_cell_stays_what_it_is(two_groups):
    _, components, posterior = two_groups
    posterior[0] = [0.0, 1.0]
    assert Neighbours.fit(components, posterior).heard(components, posterior)[0].tolist() == [0.0, 1.0]


def test_blocks_and_order_change_nothing(two_groups):
    _, components, posterior = two_groups
    neighbours = Neighbours.fit(components, posterior)
    whole = neighbours.heard(components, posterior)
    order = np.random.default_rng(1).permutation(400)
    parts = [neighbours.heard(components[rows], posterior[rows]) for rows in np.array_split(order, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[order])


def test_a_small_file_has_few_neighbours_and_a_tiny_one_none(two_groups):
    _, components, posterior = two_groups
    assert Neighbours.fit(components, posterior).search.n_neighbors == N_NEIGHBORS + 1
    assert Neighbours.fit(components[:100], posterior[:100]).search.n_neighbors == 6
    assert Neighbours.fit(components[:19], posterior[:19]) is None
    assert MOST_CELLS == 10_000  # each cell is compared with so many
