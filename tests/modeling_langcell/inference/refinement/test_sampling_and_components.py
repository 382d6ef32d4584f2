"""Samples and components do not depend on order or blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from simulated_files import simulate

from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.sampling import CellSample, cell_numbers, sample_of, smallest

FILE = simulate((40, 30, 30))


def blocks_of(counts, sizes):
    bounds = np.cumsum([0, *sizes])
    return [counts[start:stop] for start, stop in zip(bounds, [*bounds[1:], counts.shape[0]], strict=True)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), sizes=st.lists(st.integers(0, 30), max_size=3))
def test_a_sample_is_the_same_for_any_order_and_any_blocks(seed, sizes):
    shuffled = FILE.counts[np.random.default_rng(seed).permutation(100)]
    found = sample_of(blocks_of(shuffled, sizes), 20)
    assert (found != sample_of([FILE.counts], 20)).nnz == 0


def test_another_seed_draws_another_sample():
    assert (sample_of([FILE.counts], 20, seed=1) != sample_of([FILE.counts], 20)).nnz > 0


def test_numbers_of_cells_ignore_stored_zeros_and_the_order_of_entries():
    plain = sparse.csr_matrix(np.array([[0.0, 2.0, 5.0]]))
    stored = sparse.csr_matrix((np.array([5.0, 0.0, 2.0]), np.array([2, 0, 1]), np.array([0, 3])), shape=(1, 3))
    assert cell_numbers(plain) == cell_numbers(stored)
    assert cell_numbers(plain) != cell_numbers(np.array([[2.0, 0.0, 5.0]]))
    assert cell_numbers(np.zeros((2, 3))).tolist() == [0, 0]


def test_a_sample_holds_the_smallest_numbers_and_no_more():
    numbers = cell_numbers(FILE.counts)
    kept = smallest(numbers, 7)
    assert (numbers[kept] == np.sort(numbers)[:7]).all()
    assert (sample_of([FILE.counts], 7) != FILE.counts[kept]).nnz == 0


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(ValueError, match="most_cells is 0"):
        CellSample(0)
    with pytest.raises(ValueError, match="holds no cell"):
        _ = CellSample(3).cells


def test_components_are_equal_to_the_bit_for_any_order_and_blocks():
    axes = CellComponents.fit([FILE.counts])
    order = np.random.default_rng(1).permutation(100)
    again = CellComponents.fit(blocks_of(FILE.counts[order], [10, 55]))
    assert (again.axes == axes.axes).all()
    placed = axes.transform(FILE.counts)
    assert (np.vstack([again.transform(block) for block in blocks_of(FILE.counts, [1, 40])]) == placed).all()


def test_components_separate_types():
    placed = CellComponents.fit([FILE.counts]).transform(FILE.counts)
    means = np.stack([placed[FILE.truth == kind].mean(axis=0) for kind in range(3)])
    nearest = ((placed[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == FILE.truth).mean() > 0.95


def test_a_sample_gives_nearly_the_axes_of_all_cells():
    file = simulate((150, 150, 150))
    whole, part = CellComponents.fit([file.counts]), CellComponents.fit([file.counts], most_cells=150)
    first, second = whole.transform(file.counts)[:, 0], part.transform(file.counts)[:, 0]
    assert abs(np.corrcoef(first, second)[0, 1]) > 0.9


def test_an_empty_cell_lies_nowhere_and_moves_no_other():
    with_empty = sparse.vstack([FILE.counts, sparse.csr_matrix((1, FILE.counts.shape[1]))], format="csr")
    placed = CellComponents.fit([with_empty]).transform(with_empty)
    assert np.isnan(placed[-1]).all()
    assert (placed[:-1] == CellComponents.fit([FILE.counts]).transform(FILE.counts)).all()


def test_cells_that_are_all_the_same_are_refused():
    same = sparse.csr_matrix(np.ones((5, 4)))
    with pytest.raises(ValueError, match="no gene whose value varies"):
        CellComponents.fit([same])
