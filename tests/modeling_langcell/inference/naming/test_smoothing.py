import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from langcell.inference.naming import smoothing
from langcell.inference.naming.smoothing import knn_graph, smooth_scores

RNG = np.random.default_rng(0)


def distributions(n_cells: int, n_labels: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(n_labels), n_cells).astype(np.float32)


def unit_vectors(n_cells: int, dim: int = 6, *, seed: int = 1) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n_cells, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
def test_it_solves_the_system_of_the_definition(strength):
    scores, embeddings = distributions(60, 4), unit_vectors(60)
    weights = knn_graph(embeddings, neighbors=5).toarray()
    laplacian = np.eye(60) - weights / weights.sum(1, keepdims=True)
    expected = np.linalg.solve(np.eye(60) + strength * laplacian, scores)
    found = smooth_scores(scores, embeddings, strength=strength, neighbors=5)
    assert found.dtype == np.float32
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e3])
def test_rows_stay_distributions(strength):
    smoothed = smooth_scores(distributions(200, 7), unit_vectors(200), strength=strength)
    assert (smoothed >= 0).all()
    assert_allclose(smoothed.sum(1), 1, atol=1e-6)


def test_a_cell_among_others_follows_them_and_strength_zero_changes_nothing():
    groups = np.repeat(np.eye(2), 20, axis=0) + RNG.normal(scale=0.01, size=(40, 2))
    scores = np.repeat([[0.8, 0.2], [0.2, 0.8]], 20, axis=0).astype(np.float32)
    scores[3] = [0.3, 0.7]
    assert smooth_scores(scores, groups, strength=2.0)[:20].argmax(1).tolist() == [0] * 20
    assert_array_equal(smooth_scores(scores, groups, strength=0.0), scores)


def test_the_order_of_the_cells_changes_nothing():
    scores, embeddings, order = distributions(50, 3), unit_vectors(50), np.random.default_rng(3).permutation(50)
    expected = smooth_scores(scores, embeddings, strength=1.0)[order]
    assert_allclose(smooth_scores(scores[order], embeddings[order], strength=1.0), expected, atol=1e-5)


@pytest.mark.parametrize("n_cells", [1, 2, 5])
def test_fewer_cells_than_neighbours(n_cells):
    smoothed = smooth_scores(distributions(n_cells, 3), unit_vectors(n_cells), strength=1.0, neighbors=15)
    assert smoothed.shape == (n_cells, 3)
    assert_allclose(smoothed.sum(1), 1, atol=1e-6)


def test_the_graph_is_symmetric_without_loops_and_leaves_nobody_alone():
    graph = knn_graph(unit_vectors(80), neighbors=4)
    assert sparse.issparse(graph)
    dense = graph.toarray()
    assert_array_equal(dense, dense.T)
    assert not dense.diagonal().any()
    assert (dense.sum(1) >= 4).all()


def test_cells_with_the_same_embedding_are_neighbours():
    dense = knn_graph(np.ones((6, 3)), neighbors=2).toarray()
    assert not dense.diagonal().any()
    assert (dense.sum(1) >= 2).all()


@pytest.mark.slow
def test_the_approximate_search_finds_nearly_the_same_graph(monkeypatch):
    embeddings = unit_vectors(2000, 10)
    exact = knn_graph(embeddings, neighbors=10)
    monkeypatch.setattr(smoothing, "_MOST_CELLS_EXACT", 100)
    about = knn_graph(embeddings, neighbors=10, seed=0)
    assert exact.multiply(about).sum() / exact.sum() > 0.95
    assert not about.diagonal().any()
    assert (about != knn_graph(embeddings, neighbors=10, seed=0)).nnz == 0


NAN = np.array([[0.5, np.nan], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("scores", "embeddings", "options", "message"),
    [
        pytest.param(NAN, unit_vectors(2), {}, r"not evaluated \(NaN\); use rerank 'full'", id="nan"),
        pytest.param(distributions(3, 2), unit_vectors(2), {}, "do not fit; give a row", id="shapes"),
        pytest.param(distributions(2, 2), unit_vectors(2), {"strength": -1.0}, "strength is -1.0", id="strength"),
        pytest.param(distributions(2, 2), unit_vectors(2), {"strength": np.nan}, "strength is nan", id="strength_nan"),
        pytest.param(distributions(2, 2), unit_vectors(2), {"neighbors": 0}, "neighbors is 0", id="neighbors"),
        pytest.param(distributions(2, 2), np.zeros((2, 3)), {}, "not all 0", id="zero_embedding"),
        pytest.param(2 * distributions(2, 2), unit_vectors(2), {}, "sums of 1", id="no_distribution"),
    ],
)
def test_what_cannot_be_smoothed_is_refused(scores, embeddings, options, message):
    with pytest.raises(ValueError, match=message):
        smooth_scores(scores, embeddings, **{"strength": 1.0, **options})
