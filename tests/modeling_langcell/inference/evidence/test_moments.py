import numpy as np
import pytest
from tiny_evidence import typed_cells

from langcell.inference.evidence.moments import GroupMoments, log_normalized
from langcell.processing.cells.anndata_io import open_cells


@pytest.fixture(scope="module")
def cells():
    return typed_cells(7)


def gathered(cells, codes, rows=2000):
    with open_cells(cells) as source:
        return GroupMoments.gather(source, codes, 2, rows_per_chunk=rows)


def test_moments_are_those_of_the_dense_matrix(cells):
    codes = np.array([0, 1, -1] * 7)
    found = gathered(cells, codes)
    dense = log_normalized(cells.X).toarray()
    for row, code in enumerate((0, 1, -1)):
        inside = dense[codes == code]
        np.testing.assert_allclose(found.total[row], inside.sum(0))
        np.testing.assert_allclose(found.squares[row], (inside**2).sum(0))
        assert found.expressing[row].tolist() == (inside > 0).sum(0).tolist()
    contrast = found.contrast(0)
    here, there = dense[codes == 0], dense[codes != 0]
    expected = (here.mean(0) - there.mean(0)) / np.sqrt((here.var(0) + there.var(0)) / 2 + 0.05)
    np.testing.assert_allclose(contrast.effect, expected, atol=1e-6)
    np.testing.assert_allclose(contrast.share_out, (there > 0).mean(0))
    assert contrast.n_out == 14


def test_a_contrast_may_be_with_one_group_alone(cells):
    codes = np.array([0, 1, -1] * 7)
    dense = log_normalized(cells.X).toarray()
    found = gathered(cells, codes).contrast(0, 1)
    np.testing.assert_allclose(found.mean_out, dense[codes == 1].mean(0))
    assert found.n_out == 7


@pytest.mark.parametrize("rows", [1, 5])
def test_chunks_change_nothing(cells, rows):
    codes = np.array([0, 1, -1] * 7)
    one, other = gathered(cells, codes), gathered(cells, codes, rows)
    np.testing.assert_array_equal(one.contrast(1).effect, other.contrast(1).effect)
