import numpy as np
import pytest

from langcell.reporting.cell_map import map_cells


def clusters(n_cells, *, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=n_cells)
    vectors = np.eye(3, 8)[codes] + 0.1 * rng.normal(size=(n_cells, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), codes


def test_cells_that_umap_does_not_place_stand_in_their_own_cluster():
    vectors, codes = clusters(240)
    places = map_cells(vectors, most_fitted=90)
    assert (places.shape, places.dtype) == ((240, 2), np.float32)
    middles = np.array([np.median(places[codes == code], axis=0) for code in range(3)])
    nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == codes).mean() > 0.98
    assert len(np.unique(places, axis=0)) == 240  # none hides another one
    np.testing.assert_array_equal(places, map_cells(vectors, most_fitted=90))


@pytest.mark.parametrize("n_cells", [0, 1, 3, 5])
def test_few_cells_have_places(n_cells):
    places = map_cells(clusters(n_cells)[0])
    assert places.shape == (n_cells, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == n_cells
