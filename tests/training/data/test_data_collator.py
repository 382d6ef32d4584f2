import pytest
import torch
from tiny import tiny_processor

from langcell.training.data.data_collator import DataCollatorForCells

ROWS = [
    {"cell_input_ids": [42, 5, 6, 7], "cell_type": "B cell"},
    {"cell_input_ids": [42, 9], "cell_type": "T cell"},
]


def test_cells_are_padded_and_other_columns_left_out():
    batch = DataCollatorForCells(tiny_processor())(ROWS)
    assert batch["cell_input_ids"].tolist() == [[42, 5, 6, 7], [42, 9, 0, 0]]
    assert batch["cell_attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert set(batch) == {"cell_input_ids", "cell_attention_mask"}


@pytest.mark.parametrize("name", ["labels", "label", "label_ids"])
@pytest.mark.parametrize(("values", "dtype"), [([1, 0], torch.int64), ([0.5, 2.0], torch.float32)])
def test_labels(name, values, dtype):
    batch = DataCollatorForCells(tiny_processor())(
        [{**row, name: value} for row, value in zip(ROWS, values, strict=True)]
    )
    assert batch["labels"].tolist() == values
    assert batch["labels"].dtype == dtype


def test_cells_with_texts():
    processor = tiny_processor()
    texts = [processor.tokenizer(text)["input_ids"] for text in ("b cell", "nk cell that kills")]
    rows = [{**row, "input_ids": ids} for row, ids in zip(ROWS, texts, strict=True)]
    batch = DataCollatorForCells(processor, pad_to_multiple_of=8)(rows)
    assert batch["cell_input_ids"].shape == batch["input_ids"].shape == (2, 8)
    assert batch["attention_mask"].sum(1).tolist() == [len(ids) for ids in texts]


def test_long_cells_are_cut_as_the_extractor_cuts_them():
    extractor = tiny_processor().feature_extractor
    rows = [{"cell_input_ids": [42, *range(2, 42)], "cell_attention_mask": [1] * 41}]
    batch = DataCollatorForCells(extractor)(rows)
    assert batch["cell_input_ids"].shape == batch["cell_attention_mask"].shape == (1, 32)


def test_hidden_genes_become_the_labels():
    torch.manual_seed(0)
    rows = [{"cell_input_ids": [42, *range(2, 30)]}, {"cell_input_ids": [42, 3, 4]}]
    plain = DataCollatorForCells(tiny_processor())(rows)
    batch = DataCollatorForCells(tiny_processor(), mask_rate=0.5)(rows)
    hidden = batch["labels"] != -100
    assert torch.equal(batch["labels"][hidden], plain["cell_input_ids"][hidden])
    assert torch.equal(batch["cell_input_ids"][~hidden], plain["cell_input_ids"][~hidden])
    assert (batch["cell_input_ids"][hidden] == 1).sum() > 4
    assert not hidden[:, 0].any()  # <cls>
    assert not hidden[1, 3:].any()  # padding


def test_hidden_genes_and_labels_of_cells_do_not_go_together():
    collate = DataCollatorForCells(tiny_processor(), mask_rate=0.15)
    with pytest.raises(ValueError, match="makes hidden genes the labels, and the rows have labels"):
        collate([{**row, "labels": 0} for row in ROWS])


@pytest.mark.parametrize("given", [0, 1])
def test_labels_of_some_rows_are_refused(given):
    rows = [dict(row, cell_type=None) for row in ROWS]
    rows[given]["label"] = 1
    del rows[0]["cell_type"]  # a column that is left out may be missing
    with pytest.raises(ValueError, match=f"^Row {2 - given} of 2 has no 'label'; give it to all rows or to none.$"):
        DataCollatorForCells(tiny_processor())(rows)
    with pytest.raises(ValueError, match=r"^There are no rows to pad; give at least one.$"):
        DataCollatorForCells(tiny_processor())([])


@pytest.mark.parametrize("name", ["labels", "label"])
def test_labels_of_genes_are_padded_and_cut_with_their_cell(name):
    extractor = tiny_processor().feature_extractor
    rows = [{"cell_input_ids": [42, *range(2, 42)], name: [*range(41)]}, {"cell_input_ids": [42, 1], name: [-100, 9]}]
    batch = DataCollatorForCells(extractor)(rows)
    assert batch["labels"].tolist() == [[*range(32)], [-100, 9, *[-100] * 30]]
    assert batch["labels"].dtype == torch.int64


def test_texts_alone_have_labels():
    processor = tiny_processor()
    rows = [{"input_ids": processor.tokenizer(text)["input_ids"], "labels": [1, 0]} for text in ("b cell", "nk cell")]
    assert DataCollatorForCells(processor)(rows)["labels"].tolist() == [[1, 0], [1, 0]]
