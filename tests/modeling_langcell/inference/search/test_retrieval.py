import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from numpy.testing import assert_allclose
from tiny import tiny_counts, tiny_gene_names, tiny_model, tiny_processor

import langcell
from langcell.inference.search.retrieval import COLUMNS, retrieve
from langcell.loading.load import load
from langcell.processing.cells.embedding_store import open_embeddings, save_embeddings
from langcell.processing.labels.resolve import Label, resolve_query

N_CELLS, UNKNOWN_CELL = 40, 7
TEXTS = ["B cell", "a lymphocyte that kills"]
CHOICES = ["B cell", "natural killer cell", "monocyte", "odd cells"]


def tiny_cells() -> AnnData:
    counts = tiny_counts(N_CELLS).tolil()
    counts[UNKNOWN_CELL] = 0
    counts[UNKNOWN_CELL, -1] = 3
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(N_CELLS)])
    return AnnData(counts.tocsr(), obs=obs, var=pd.DataFrame(index=tiny_gene_names()))


@pytest.fixture(scope="module")
def model_dir(tiny_model_dir, tmp_path_factory):
    """The tiny model with cell embeddings that point everywhere, trained on three types."""
    folder = shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("varied") / "langcell-tiny")
    model = tiny_model()
    with torch.no_grad():
        states = model.get_cell_states(**tiny_processor()(cells=tiny_cells(), return_tensors="pt"))[:, 0]
        model.cell_projection.bias.sub_(model.cell_projection(states).mean(0))
    model.config.training_cell_types = ["CL:0000236", "CL:0000623", "CL:0000576"]
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(model_dir):
    return load(model_dir, device="cpu")


@pytest.fixture(scope="module")
def store(loaded, tmp_path_factory):
    """An h5ad file that `embed` wrote; read only."""
    path = tmp_path_factory.mktemp("store") / "cells.h5ad"
    cells = tiny_cells()
    langcell.embed(cells, model=loaded, progress=False)
    cells.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def everything(loaded, store):
    """Similarity and match of all cells with TEXTS and then CHOICES, from the model alone."""
    labels = [resolve_query(text) for text in (*TEXTS, *CHOICES)]
    batch = loaded.processor(cells=tiny_cells(), text=[label.text for label in labels], return_tensors="pt")
    with torch.no_grad():
        output = loaded.model(**batch, return_match_logits=True)
    return (output.cell_embeds @ output.text_embeds.T).numpy(), output.match_logits.softmax(-1)[..., 1].numpy()


def test_cells_for_texts_are_the_most_similar_ones(loaded, store, everything):
    found = langcell.retrieve(store, TEXTS, model=loaded, top_k=5)
    assert tuple(found.columns) == COLUMNS
    assert found["query"].tolist() == [text for text in TEXTS for _ in range(5)]
    assert found["rank"].tolist() == [1, 2, 3, 4, 5] * 2
    similarity = everything[0][:, :2].T
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :5]
    assert found["row"].tolist() == expected.ravel().tolist()
    assert found["found"].tolist() == [f"cell{row}" for row in expected.ravel()]
    assert_allclose(found["similarity"], np.take_along_axis(similarity, expected, 1).ravel(), atol=1e-5)
    assert found["score"].tolist() == found["similarity"].tolist()
    assert found["match"].isna().all()


def test_re_ranking_orders_the_candidates_by_the_score_of_naming(loaded, store, everything):
    found = retrieve(store, TEXTS, model=loaded, top_k=4, rerank=12, alpha=0.3)
    for query, text in enumerate(TEXTS):
        similarity, match = (values[:, query] for values in everything)
        rows = np.argsort(-similarity, kind="stable")[:12]
        rows = rows[rows != UNKNOWN_CELL]
        terms = (torch.tensor(values[rows]).softmax(0).numpy() for values in (similarity / 0.05, match))
        score = np.array([0.3, 0.7]) @ np.stack(list(terms))
        order = np.argsort(-score, kind="stable")[:4]
        part = found[found["query"] == text]
        assert part["row"].tolist() == rows[order].tolist()
        assert_allclose(part["score"], score[order], atol=1e-5)
        assert_allclose(part["match"], match[rows[order]], atol=1e-5)
        assert_allclose(part["similarity"], similarity[rows[order]], atol=1e-5)


def test_texts_for_cells(loaded, store, everything):
    found = retrieve(store, CHOICES, cells=["cell3", 20], model=loaded, top_k=3)
    assert found["query"].tolist() == ["cell3"] * 3 + ["cell20"] * 3
    assert found["row"].tolist() == [3] * 3 + [20] * 3
    similarity = everything[0][[3, 20], 2:]
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :3]
    assert found["found"].tolist() == [CHOICES[i] for i in expected.ravel()]
    assert_allclose(found["similarity"], np.take_along_axis(similarity, expected, 1).ravel(), atol=1e-5)


def test_texts_for_cells_re_ranked_over_all_choices_are_the_scores_of_naming(loaded, store):
    named = langcell.annotate(
        tiny_cells(),
        [Label(label.name, label.text) for label in map(resolve_query, CHOICES)],
        model=loaded,
        rerank="full",
        progress=False,
    )
    found = retrieve(store, CHOICES, cells=[3, 20], model=loaded, rerank=4)
    for row in (3, 20):
        part = found[found["row"] == row]
        scores = langcell.score_table(named).iloc[row]
        assert part["found"].tolist() == scores.sort_values(ascending=False).index.tolist()
        assert_allclose(part["score"], scores[part["found"]], atol=1e-5)


def test_texts_for_cells_come_from_the_training_types_by_default(loaded, store):
    found = retrieve(store, cells=[0], model=loaded)
    assert sorted(found["found"]) == ["B cell", "monocyte", "natural killer cell"]


def test_a_cell_without_known_genes_is_never_re_ranked_to_the_front(loaded, store):
    found = retrieve(store, TEXTS, model=loaded, top_k=N_CELLS, rerank=N_CELLS)
    last = found[found["rank"] == N_CELLS]
    assert last["row"].tolist() == [UNKNOWN_CELL] * 2
    assert last["match"].isna().all()
    assert last["score"].isna().all()
    alone = retrieve(store, CHOICES, cells=[UNKNOWN_CELL], model=loaded, rerank=4)
    assert alone["score"].isna().all()
    assert np.isfinite(alone["similarity"]).all()


@pytest.mark.parametrize("form", ["memory", "zarr", "npy", "faiss"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
def test_every_form_of_the_store_gives_the_same(loaded, store, tmp_path, form):
    options = {}
    adata = anndata.read_h5ad(store)
    source = {"memory": adata, "zarr": tmp_path / "cells.zarr", "npy": tmp_path / "cells.npy", "faiss": store}[form]
    if form == "zarr":
        adata.write_zarr(source)
    if form == "npy":
        with open_embeddings(store) as opened:
            save_embeddings(source, opened, dtype="float32")
        options = {"counts": store}
    if form == "faiss":
        pytest.importorskip("faiss")
        options = {"index": tmp_path / "cells.faiss"}
    expected = retrieve(store, TEXTS, model=loaded, top_k=5, rerank=10)
    found = retrieve(source, TEXTS, model=loaded, top_k=5, rerank=10, **options)
    assert found["row"].tolist() == expected["row"].tolist()
    assert_allclose(found[["score", "similarity", "match"]], expected[["score", "similarity", "match"]], atol=1e-5)


def test_the_model_by_folder_in_half_precision(model_dir, store, loaded):
    found = retrieve(store, TEXTS, model=model_dir, device="cpu", dtype="bfloat16", top_k=3, rerank=N_CELLS)
    expected = retrieve(store, TEXTS, model=loaded, top_k=3)
    # Similarities come from the store and a text embedded in float32, whatever the match is computed in.
    similar = retrieve(store, TEXTS, model=model_dir, device="cpu", dtype="bfloat16", top_k=3)
    assert_allclose(similar["similarity"], expected["similarity"], atol=1e-5)
    assert found["match"].between(0, 1).all()


def test_more_texts_than_a_batch(loaded, store):
    texts = [f"cell number {i}" + " of the blood" * (i % 3) for i in range(70)]
    found = retrieve(store, texts, model=loaded, top_k=1, rerank=2)
    alone = pd.concat([retrieve(store, [text], model=loaded, top_k=1, rerank=2) for text in texts[::23]])
    assert found["row"][::23].tolist() == alone["row"].tolist()
    assert_allclose(found["match"][::23], alone["match"], atol=1e-5)


def test_the_store_of_another_model_is_refused(store, tmp_path, loaded):
    other = anndata.read_h5ad(store)
    other.uns["langcell"]["model_revision"] = "0123456789ab"
    with pytest.raises(
        ValueError, match=r"made by langcell-tiny \(0123456789ab\), but the model is .* another weights"
    ):
        retrieve(other, TEXTS, model=loaded)
    other.uns["langcell"]["vocabulary_fingerprint"] = "fedcba"
    with pytest.raises(ValueError, match="another gene vocabulary"):
        retrieve(other, TEXTS, model=loaded)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        pytest.param(None, {}, "Say what to look for", id="nothing"),
        pytest.param("B cell", {}, "texts is one string", id="one_string"),
        pytest.param([], {}, "There are no texts", id="no_texts"),
        pytest.param(["CL:9999999"], {}, "Unknown ontology id", id="unknown_id"),
        pytest.param(TEXTS, {"top_k": 0}, "top_k is 0", id="top_k"),
        pytest.param(TEXTS, {"rerank": -1}, "rerank is -1", id="rerank"),
        pytest.param(TEXTS, {"alpha": 2.0}, "alpha is 2.0", id="alpha"),
        pytest.param(None, {"cells": ["nobody"]}, "no cell is called 'nobody'", id="cell"),
        pytest.param(None, {"cells": [40]}, "no row 40", id="row"),
        pytest.param(None, {"cells": "cell1"}, "give a list", id="cells_string"),
        pytest.param(TEXTS, {"rerank": 3, "layer": "none"}, "unknown layer 'none'", id="layer"),
    ],
)
def test_mistakes_are_refused(loaded, store, texts, options, message):
    with pytest.raises(ValueError, match=message):
        retrieve(store, texts, model=loaded, **options)
