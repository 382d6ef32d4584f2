import json

import anndata
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from langcell.processing.cells import embedding_store
from langcell.processing.cells.embedding_store import EmbeddingStore, open_embeddings, row_spans, save_embeddings

SETTINGS = {"model_id": "tiny", "model_revision": "abc", "vocabulary_fingerprint": "def", "gene_coverage": 0.5}
N_CELLS = 50


def vectors(n_cells: int = N_CELLS, dim: int = 8) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(n_cells, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def embedded() -> anndata.AnnData:
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(N_CELLS)])
    return anndata.AnnData(obs=obs, obsm={"X_langcell": vectors()}, uns={"langcell": SETTINGS})


@pytest.fixture(params=["h5ad", "zarr", "memory"])
def source(request, tmp_path):
    """The same store in three forms; none has any counts."""
    adata = embedded()
    if request.param == "memory":
        return adata
    path = tmp_path / f"cells.{request.param}"
    adata.write_h5ad(path) if request.param == "h5ad" else adata.write_zarr(path)
    return path


pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")


def test_every_form_gives_the_same(source):
    with open_embeddings(source) as store:
        assert (store.n_cells, store.dim) == (N_CELLS, 8)
        assert store.settings == SETTINGS
        blocks = list(store.blocks(20))
        assert [start for start, _ in blocks] == [0, 20, 40]
        assert_array_equal(np.concatenate([block for _, block in blocks]), vectors())
        assert_array_equal(store.at([40, 3, 3]), vectors()[[40, 3, 3]])
        assert store.names_of([40, 3, 3]) == ["cell40", "cell3", "cell3"]
        assert store.rows_of(["cell40", "cell3"]) == [40, 3]


def test_names_that_are_missing_or_taken_twice(source):
    with open_embeddings(source) as store, pytest.raises(ValueError, match="no cell is called 'nobody'"):
        store.rows_of(["cell1", "nobody"])
    adata = embedded()
    adata.obs_names = ["same", *adata.obs_names[1:-1], "same"]
    with (
        open_embeddings(adata) as store,
        pytest.raises(ValueError, match=r"2 cells are called 'same' \(rows \[0, 49\]"),
    ):
        store.rows_of(["same"])


def test_rows_that_are_not_there(source):
    with open_embeddings(source) as store, pytest.raises(ValueError, match="no row 50; rows are 0 to 49"):
        store.check_rows([0, 50])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_npy_copy(source, tmp_path, dtype):
    with open_embeddings(source) as store:
        save_embeddings(tmp_path / "copy.npy", store, dtype=dtype)
    with open_embeddings(tmp_path / "copy.npy") as copy:
        assert isinstance(copy.vectors, np.memmap)
        assert copy.vectors.dtype == dtype
        assert copy.settings == SETTINGS
        assert_allclose(copy.at(range(N_CELLS)), vectors(), atol=1e-3 if dtype == "float16" else 0)
        assert copy.names_of([7]) == ["7"]
        assert copy.rows_of(["7"]) == [7]


def test_far_rows_are_read_alone_and_near_ones_together(monkeypatch):
    assert row_spans(np.array([0, 1, 20, 90])) == [(0, 2), (20, 21), (90, 91)]
    monkeypatch.setattr(embedding_store, "_ROWS_PER_READ", 4)
    assert row_spans(np.arange(6)) == [(0, 4), (4, 6)]
    assert row_spans(np.array([], dtype=int)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"vectors": 2 * vectors()}, "not of unit length", id="not_unit"),
        pytest.param({"vectors": np.full((3, 4), np.nan, np.float32)}, "not of unit length", id="nan"),
        pytest.param({"vectors": np.ones((3, 4), dtype=np.int64)}, "not numbers of cells x dim", id="integers"),
        pytest.param({"vectors": vectors()[:0]}, "not numbers of cells x dim", id="no_cells"),
        pytest.param({"settings": {"model_id": "tiny"}}, "does not say which model", id="no_model"),
    ],
)
def test_what_is_no_store(change, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingStore(**({"name": "store", "vectors": vectors(), "settings": SETTINGS} | change))


def test_files_without_embeddings(tmp_path):
    plain = anndata.AnnData(np.ones((2, 3), dtype=np.float32))
    plain.write_h5ad(tmp_path / "plain.h5ad")
    for source in (plain, tmp_path / "plain.h5ad"):
        with (
            pytest.raises(ValueError, match=r"it has no embeddings .* make them: langcell embed"),
            open_embeddings(source),
        ):
            pass
    with pytest.raises(FileNotFoundError), open_embeddings(tmp_path / "absent.h5ad"):
        pass


def test_a_npy_file_alone_is_no_store(tmp_path):
    np.save(tmp_path / "alone.npy", vectors())
    with (
        pytest.raises(FileNotFoundError, match="a pair of"),
        open_embeddings(tmp_path / "alone.npy"),
    ):
        pass
    (tmp_path / "alone.npy.json").write_text(json.dumps(SETTINGS))
    (tmp_path / "alone.npy").write_text("text")
    with pytest.raises(ValueError, match="no store of embeddings"), open_embeddings(tmp_path / "alone.npy"):
        pass


def test_a_copy_elsewhere_is_refused(tmp_path):
    store = EmbeddingStore("store", vectors(), SETTINGS)
    with pytest.raises(ValueError, match=r"name a \.npy file"):
        save_embeddings(tmp_path / "copy.bin", store)
    assert not list(tmp_path.iterdir())
