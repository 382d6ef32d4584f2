import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from langcell.inference.search import faiss_index
from langcell.inference.search.faiss_index import FaissIndex
from langcell.inference.search.nearest import search_exact
from langcell.processing.cells.embedding_store import EmbeddingStore

pytest.importorskip("faiss")

SETTINGS = {"model_id": "tiny", "model_revision": "abc", "vocabulary_fingerprint": "def"}


def store_of(n_cells: int, *, seed: int = 0, dim: int = 16) -> EmbeddingStore:
    """Cells around 20 centres, as types are."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(20, dim))[rng.integers(0, 20, n_cells)] + 0.3 * rng.normal(size=(n_cells, dim))
    return EmbeddingStore("store", (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32), SETTINGS)


def test_a_small_store_is_searched_exactly():
    store = store_of(500)
    queries = store.at([3, 7, 100])
    found = FaissIndex.build(store).search(store, queries, 10)
    expected = search_exact(store.blocks(), queries, 10)
    assert_array_equal(found[1], expected[1])
    assert_allclose(found[0], expected[0], atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")
def test_a_large_store_by_lists(monkeypatch, tmp_path):
    monkeypatch.setattr(faiss_index, "_LEAST_CELLS_FOR_LISTS", 1000)
    store = store_of(5000)
    index = FaissIndex.open_or_build(tmp_path / "cells.faiss", store)
    queries = store.at(range(0, 5000, 100))
    products, rows = index.search(store, queries, 10)
    expected = search_exact(store.blocks(), queries, 10)[1]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, expected, strict=True)])
    assert recall > 0.9
    # Similarities are those of the store, not of the half-precision copies.
    assert_allclose(products, (store.at(rows.ravel()).reshape(50, 10, -1) * queries[:, None]).sum(-1), atol=1e-6)
    assert (np.diff(products, axis=1) <= 0).all()
    again = FaissIndex.open_or_build(tmp_path / "cells.faiss", store)
    assert_array_equal(again.search(store, queries, 10)[1], rows)


def test_more_lists_are_looked_at_until_there_are_enough_cells(monkeypatch):
    monkeypatch.setattr(faiss_index, "_LEAST_CELLS_FOR_LISTS", 1000)
    store = store_of(2000)
    rows = FaissIndex.build(store, probes=1).search(store, store.at([0]), 1500)[1]
    assert len(set(rows[0].tolist()) - {-1}) == 1500
    assert FaissIndex.build(store, probes=1).search(store, store.at([0]), 5000)[1].shape == (1, 2000)


def test_the_index_of_another_store_is_refused(tmp_path):
    FaissIndex.open_or_build(tmp_path / "cells.faiss", store_of(300))
    with pytest.raises(ValueError, match="not of the embeddings in store"):
        FaissIndex.open_or_build(tmp_path / "cells.faiss", store_of(300, seed=1))


@pytest.mark.parametrize("with_facts", [True, False])
def test_a_file_that_is_no_index(tmp_path, with_facts):
    (tmp_path / "cells.faiss").write_text("text")
    if with_facts:
        (tmp_path / "cells.faiss.json").write_text("{}")
    with pytest.raises(ValueError, match="is no index of embeddings"):
        FaissIndex.open_or_build(tmp_path / "cells.faiss", store_of(300))
