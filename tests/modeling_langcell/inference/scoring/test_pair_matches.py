import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from numpy.testing import assert_allclose
from tiny import TEXTS, tiny_config, tiny_counts, tiny_gene_names, tiny_model, tiny_processor

from langcell.inference.running.options import ReadingOptions
from langcell.inference.scoring import pair_matches
from langcell.inference.scoring.pair_matches import CellReader, match_pairs
from langcell.inference.scoring.texts import encode_label_texts
from langcell.loading.load import LoadedLangCell
from langcell.processing.labels.resolve import Label

N_CELLS, UNKNOWN_CELL = 60, 11
LABELS = [Label(text, text) for text in TEXTS]


@pytest.fixture(scope="module")
def cells():
    counts = tiny_counts(N_CELLS).tolil()
    counts[UNKNOWN_CELL] = 0
    counts[UNKNOWN_CELL, -1] = 3
    return AnnData(counts.tocsr(), var=pd.DataFrame(index=tiny_gene_names()))


@pytest.fixture(scope="module", params=[0, 1, 2])
def loaded(request):
    model = tiny_model(tiny_config(text={"cross_attention_start": request.param}))
    return LoadedLangCell(model, tiny_processor(), "tiny", "0")


@pytest.fixture(scope="module")
def expected(loaded, cells):
    """Match probability of all cells and texts, (cells, texts)."""
    batch = loaded.processor(cells=cells.copy(), text=list(TEXTS), return_tensors="pt")
    with torch.no_grad():
        return loaded.model(**batch, return_match_logits=True).match_logits.softmax(-1)[..., 1].numpy()


@pytest.mark.parametrize("tokens", [100, 10_000])
@pytest.mark.parametrize("at_once", [1, 7, 2000])
def test_chosen_pairs_match_as_all_pairs_do(loaded, cells, expected, monkeypatch, at_once, tokens):
    monkeypatch.setattr(pair_matches, "_CELLS_AT_ONCE", at_once)
    rng = np.random.default_rng(at_once)
    rows, texts = rng.integers(0, N_CELLS, 90), rng.integers(0, len(TEXTS), 90)
    with CellReader(cells, N_CELLS, ReadingOptions(max_batch_tokens=tokens)) as reader:
        match = match_pairs(loaded, encode_label_texts(loaded, LABELS), reader, rows, texts)
    known = rows != UNKNOWN_CELL
    assert_allclose(match[known], expected[rows, texts][known], atol=1e-5)
    assert np.isnan(match[~known]).all()


def test_the_size_of_the_blocks_changes_nothing(loaded, cells, expected, monkeypatch):
    monkeypatch.setattr(pair_matches, "TOKENS_PER_MATCH", 1)
    rows, texts = np.arange(10).repeat(2), np.tile([0, 2], 10)
    with CellReader(cells, N_CELLS, ReadingOptions()) as reader:
        match = match_pairs(loaded, encode_label_texts(loaded, LABELS), reader, rows, texts)
    assert_allclose(match, expected[rows, texts], atol=1e-5)


def test_other_cells_are_refused(cells):
    with pytest.raises(ValueError, match="60 cells with counts, but 59 embeddings"):
        CellReader(cells, 59, ReadingOptions())
    with pytest.raises(ValueError, match=r"holds no counts; say where they are"):
        CellReader("cells.npy", 59, ReadingOptions())
