import pytest
import torch
from anndata import AnnData
from tiny import MAX_TEXT_LENGTH, TEXTS, tiny_counts, tiny_gene_names, tiny_processor
from transformers import DataCollatorWithPadding

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


# Options as transformers' processors take them


LABELS = ["b cell", "the nk cell that kills"]


@pytest.mark.parametrize(
    ("options", "width"),
    [
        pytest.param({}, 7, id="none"),
        pytest.param({"padding": True, "truncation": True}, 7, id="the_usual"),
        pytest.param({"max_length": 4}, 4, id="max_length"),
        pytest.param({"padding": "max_length"}, MAX_TEXT_LENGTH, id="to_the_longest_legal"),
        pytest.param({"padding": "max_length", "max_length": 16}, 16, id="to_16"),
        pytest.param({"text_kwargs": {"padding": "max_length", "max_length": 16}}, 16, id="text_kwargs"),
        pytest.param({"text_kwargs": {}, "add_special_tokens": False}, 5, id="both"),
    ],
)
def test_options_of_texts(processor, options, width):
    batch = processor(cells=[[42, 3, 4, 5, 6, 7, 8, 9]], text=LABELS, return_tensors="pt", **options)
    assert batch["input_ids"].shape == (2, width)
    assert batch["cell_input_ids"].shape == (1, 8)  # cells are not touched
    assert "token_type_ids" not in batch


def test_texts_without_padding(processor):
    assert [len(ids) for ids in processor(text=LABELS, padding=False)["input_ids"]] == [4, 7]


def test_return_tensors_among_common_options(processor):
    batch = processor(cells=[[42, 3]], text=LABELS, common_kwargs={"return_tensors": "pt"})
    assert all(isinstance(tensor, torch.Tensor) for tensor in batch.values())


@pytest.mark.parametrize("options", [{"paddding": True}, {"text_kwargs": {"paddding": True}}])
def test_unknown_options_are_refused(processor, options):
    with pytest.raises(TypeError, match=r"LangCellProcessor takes no 'paddding'; legal are cells, text, .* padding"):
        processor(text=LABELS, **options)


def test_an_option_given_twice_is_refused(processor):
    with pytest.raises(ValueError, match="padding"):
        processor(text=LABELS, padding=True, text_kwargs={"padding": False})


@pytest.mark.parametrize("options", [{"max_length": 0}, {"text_kwargs": {"max_length": -1}}])
def test_a_text_of_no_tokens_is_refused(processor, options):
    with pytest.raises(
        ValueError, match=rf"max_length is (0|-1); give at least 1 token, or None for {MAX_TEXT_LENGTH}"
    ):
        processor(text=LABELS, **options)


def test_max_length_does_not_cut_cells(processor):
    with pytest.raises(ValueError, match=r"max_length is of texts, and there are none; for cells call"):
        processor(cells=[[42, 3, 4]], max_length=2)


def test_cells_with_texts_are_padded_by_transformers_own_collator(processor):
    rows = [
        {"cell_input_ids": ids, **processor.tokenizer(text, return_token_type_ids=False), "labels": [0.5, 1.0]}
        for ids, text in zip([[42, 3, 4], [42, 5]], LABELS, strict=True)
    ]
    batch = DataCollatorWithPadding(processor)(rows)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "cell_input_ids": (2, 3),
        "cell_attention_mask": (2, 3),
        "input_ids": (2, 7),
        "attention_mask": (2, 7),
        "labels": (2, 2),
    }
    assert batch["cell_attention_mask"].sum(1).tolist() == [3, 2]
    assert batch["attention_mask"].sum(1).tolist() == [4, 7]


def test_all_that_the_tokenizer_makes_is_padded(processor):
    how = {"return_token_type_ids": True, "return_special_tokens_mask": True}
    batch = processor.pad([processor.tokenizer(text, **how) for text in LABELS], return_tensors="pt")
    together = processor(text=LABELS, return_tensors="pt", **how)
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "special_tokens_mask"}
    assert all(torch.equal(batch[name], together[name]) for name in batch)


@pytest.mark.parametrize("given", [0, 1])
def test_rows_of_other_names_are_refused(processor, given):
    rows = [dict(processor.tokenizer(text)) for text in LABELS]
    rows[given]["labels"] = 1
    with pytest.raises(ValueError, match=f"^Row {2 - given} of 2 has no 'labels'; give it to all rows or to none.$"):
        processor.pad(rows)
    with pytest.raises(ValueError, match=r"^There are no rows to pad; give at least one.$"):
        processor.pad([])
