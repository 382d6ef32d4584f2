"""The Hub folder as a model of sentence-transformers: both towers, equal to ours, and saved whole."""

import json
from importlib.metadata import version

import numpy as np
import pytest
import tiny
from sentence_transformers import SentenceTransformer

import langcell

TEXTS = ["b cell", "cell type: nk cell. the lymphocyte that kills"]


@pytest.fixture(scope="module")
def towers(tiny_model_dir):
    return SentenceTransformer(str(tiny_model_dir), trust_remote_code=True, device="cpu")


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return langcell.load(tiny_model_dir, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def cells(loaded):
    """Token ids of cells of unequal length."""
    counts = tiny.tiny_counts(4)
    encoded = loaded.processor(counts, gene_names=tiny.tiny_gene_names())
    rows = zip(encoded["cell_input_ids"], encoded["cell_attention_mask"].sum(axis=1), strict=True)
    return [[int(token) for token in ids[:length]] for ids, length in rows]


def test_texts_and_cells_are_those_of_langcell(towers, loaded, cells):
    np.testing.assert_allclose(towers.encode(TEXTS), langcell.embed_texts(TEXTS, model=loaded), atol=1e-5)
    batch = loaded.processor(cells, return_tensors="pt")
    ours = loaded.model.get_cell_features(**batch, return_dict=True).pooler_output.detach().numpy()
    np.testing.assert_allclose(towers.encode(cells), ours, atol=1e-5)


def test_a_mixed_batch_keeps_its_order_whatever_the_batch_size(towers, cells):
    mixed = [TEXTS[0], cells[0], tuple(cells[1]), TEXTS[1]]
    alone = np.stack([towers.encode([one])[0] for one in mixed])
    for batch_size in (1, 2, 32):
        np.testing.assert_allclose(towers.encode(mixed, batch_size=batch_size), alone, atol=1e-5)


def test_the_facts_that_sentence_transformers_asks_for(towers, loaded):
    assert towers.get_embedding_dimension() == loaded.config.projection_dim
    assert towers.max_seq_length == tiny.MAX_TEXT_LENGTH
    np.testing.assert_allclose(np.linalg.norm(towers.encode(TEXTS), axis=1), 1, atol=1e-5)


def test_a_saved_model_loads_again_with_its_code(towers, tmp_path):
    towers.save(str(tmp_path / "saved"), create_model_card=False)
    modules = json.loads((tmp_path / "saved" / "modules.json").read_text())
    assert [module["type"] for module in modules] == ["sentence_transformers_langcell.LangCellEmbedding"]
    settings = json.loads((tmp_path / "saved" / "config_sentence_transformers.json").read_text())
    assert {"requirements", "__version__", "similarity_fn_name"} <= set(settings)
    again = SentenceTransformer(str(tmp_path / "saved"), trust_remote_code=True, device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), towers.encode(TEXTS), atol=1e-6)


def test_a_version_that_is_too_old_is_refused_before_anything_is_loaded(tiny_model_dir, monkeypatch):
    def installed(package: str) -> str:
        return "5.9.0" if package == "sentence-transformers" else version(package)

    monkeypatch.setattr("sentence_transformers.util.environment.get_installed_version", installed)
    with pytest.raises(ImportError, match=r"sentence-transformers>=6, but sentence-transformers==5\.9\.0 is installed"):
        SentenceTransformer(str(tiny_model_dir), trust_remote_code=True, device="cpu")


@pytest.mark.parametrize("wrong", [[3.5], [], {"cells": [2]}], ids=["fractions", "empty", "dict"])
def test_what_is_neither_text_nor_cell_is_refused(towers, wrong):
    with pytest.raises(ValueError, match="give strings, or cells as lists of token ids"):
        towers[0].preprocess(["b cell", wrong])


def test_another_backend_is_refused(tiny_model_dir):
    with pytest.raises(ValueError, match="LangCell runs by 'torch' here"):
        SentenceTransformer(str(tiny_model_dir), trust_remote_code=True, backend="onnx")
