import pytest
import torch
from anndata import AnnData
from tiny import MAX_TEXT_LENGTH, TEXTS, tiny_counts, tiny_gene_names, tiny_processor

from langcell.processing.processing_langcell import LangCellProcessor


@pytest.fixture
def adata():
    adata = AnnData(tiny_counts())
    adata.var_names = tiny_gene_names()
    return adata


def test_cells_and_text_give_the_inputs_of_the_model(processor, adata):
    batch = processor(cells=adata, text=list(TEXTS), return_tensors="pt")
    assert list(batch) == processor.model_input_names
    assert batch["cell_input_ids"].shape == batch["cell_attention_mask"].shape == (5, 26)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 13)
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_anndata_matrix_and_lists_give_the_same(processor, adata):
    from_anndata = processor(cells=adata, return_tensors="pt")
    from_matrix = processor(cells=tiny_counts(), gene_names=tiny_gene_names(), return_tensors="pt")
    ids, mask = from_anndata["cell_input_ids"], from_anndata["cell_attention_mask"]
    from_lists = processor(
        cells=[row[: kept.sum()].tolist() for row, kept in zip(ids, mask, strict=True)], return_tensors="pt"
    )
    for batch in (from_matrix, from_lists):
        assert torch.equal(batch["cell_input_ids"], ids)
        assert torch.equal(batch["cell_attention_mask"], mask)


def test_cells_alone_and_text_alone(processor):
    assert list(processor(cells=[[42, 3]])) == ["cell_input_ids", "cell_attention_mask"]
    assert list(processor(text="b cell")) == ["input_ids", "attention_mask"]


def test_one_text_is_a_batch_of_one(processor):
    one, many = processor(text="b cell", return_tensors="pt"), processor(text=["b cell"], return_tensors="pt")
    assert torch.equal(one["input_ids"], many["input_ids"])
    assert one["input_ids"].tolist() == [[2, *processor.tokenizer.convert_tokens_to_ids(["b", "cell"]), 3]]


def test_long_text_is_cut_at_max_text_length(processor):
    assert processor(text="b cell " * 100, return_tensors="pt")["input_ids"].shape == (1, MAX_TEXT_LENGTH)


def test_values_that_are_no_counts(processor, adata):
    adata.X = adata.X * 0.5
    with pytest.raises(ValueError, match="not raw counts"):
        processor(cells=adata)
    assert len(processor(cells=adata, x_is="linear")["cell_input_ids"]) == 5


def test_neither_cells_nor_text(processor):
    with pytest.raises(ValueError, match="got neither cells nor text"):
        processor()


def test_batch_moves_between_devices_as_one(processor):
    batch = processor(cells=[[42, 3]], text="b cell", return_tensors="pt").to("meta")
    assert {tensor.device.type for tensor in batch.values()} == {"meta"}


def test_save_and_load(tmp_path):
    saved = tiny_processor()
    saved.save_pretrained(tmp_path)
    loaded = LangCellProcessor.from_pretrained(tmp_path)
    assert loaded.max_text_length == MAX_TEXT_LENGTH
    assert loaded.feature_extractor.max_length == saved.feature_extractor.max_length
    assert loaded.feature_extractor.vocabulary.fingerprint == saved.feature_extractor.vocabulary.fingerprint
    inputs = {"cells": tiny_counts(), "text": list(TEXTS), "gene_names": tiny_gene_names(), "return_tensors": "pt"}
    expected = saved(**inputs)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded(**inputs).items())
