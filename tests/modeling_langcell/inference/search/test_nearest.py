import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from langcell.inference.search import nearest
from langcell.inference.search.nearest import search_exact


def blocks_of(vectors: np.ndarray, size: int):
    return ((start, vectors[start : start + size]) for start in range(0, len(vectors), size))


def plain_search(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Rows by falling product, the first of equals first."""
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
@pytest.mark.parametrize("k", [1, 5, 299, 300, 400])
def test_the_blocks_change_nothing(size, k):
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(300, 6)).astype(np.float32), rng.normal(size=(4, 6)).astype(np.float32)
    products, rows = search_exact(blocks_of(vectors, size), queries, k)
    assert rows.shape == (4, min(k, 300))
    assert_array_equal(rows, plain_search(vectors, queries, k))
    assert_allclose(products, np.take_along_axis(queries @ vectors.T, rows, axis=1), rtol=1e-5, atol=1e-6)


@given(
    values=st.lists(st.integers(-2, 2), min_size=1, max_size=40),
    queries=st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=3),
    k=st.integers(1, 12),
    size=st.integers(1, 9),
)
def test_of_equals_the_first_row_wins(values, queries, k, size):
    vectors = np.array(values, dtype=np.float32)[:, None]
    asked = np.array(queries, dtype=np.float32)[:, None]
    products, rows = search_exact(blocks_of(vectors, size), asked, k)
    assert_array_equal(rows, plain_search(vectors, asked, k))
    assert (np.diff(products, axis=1) <= 0).all()


def test_half_precision_rows_are_multiplied_in_single_precision():
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(200, 16)).astype(np.float16), rng.normal(size=(2, 16)).astype(np.float32)
    products, rows = search_exact(blocks_of(vectors, 64), queries, 5)
    assert_array_equal(rows, plain_search(vectors.astype(np.float32), queries, 5))
    assert products.dtype == np.float32


@pytest.mark.parametrize("limits", [{"_MOST_PRODUCTS": 1}, {"_MOST_PRODUCTS": 30}, {"_MOST_ROWS": {"cpu": 3}}])
def test_the_memory_that_is_allowed_changes_nothing(monkeypatch, limits):
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(100, 6)).astype(np.float32), rng.normal(size=(4, 6)).astype(np.float32)
    for name, value in limits.items():
        monkeypatch.setattr(nearest, name, value)
    assert_array_equal(search_exact(blocks_of(vectors, 40), queries, 7)[1], plain_search(vectors, queries, 7))


@pytest.mark.parametrize(
    ("vectors", "k", "message"),
    [
        pytest.param(np.ones((3, 2)), 0, "k is 0", id="k"),
        pytest.param(np.ones((0, 2)), 1, "no embeddings to search", id="no_rows"),
        pytest.param(np.array([[1.0, 0.0], [np.nan, 0.0]]), 1, "Rows 0 to 2 hold NaN", id="nan"),
        pytest.param(np.array([[1.0, 0.0], [np.inf, 0.0]]), 1, "Rows 0 to 2 hold NaN", id="infinite"),
    ],
)
def test_what_cannot_be_searched(vectors, k, message):
    with pytest.raises(ValueError, match=message):
        search_exact(blocks_of(vectors.astype(np.float32), 5), np.ones((1, 2)), k)
