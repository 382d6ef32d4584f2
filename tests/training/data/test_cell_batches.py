"""Cells in flat arrays are the cells, and pad like rows that are padded one by one."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from langcell.training.data.cell_batches import Cell, CellBatch


def cells(n: int = 7) -> list[Cell]:
    rng = np.random.default_rng(0)
    return [Cell(rng.integers(1, 50, rng.integers(1, 9)).astype(np.uint16), i, i % 3) for i in range(n)]


def same(one, other):
    assert [(c.input_ids.tolist(), c.description, c.variant) for c in one] == [
        (c.input_ids.tolist(), c.description, c.variant) for c in other
    ]


def test_it_holds_the_cells():
    batch = CellBatch.of(cells())
    same(batch, cells())
    same([batch[-1]], cells()[-1:])
    same(CellBatch.of(batch[2:5]), cells()[2:5])
    same(batch[2:6][1:3], cells()[3:5])
    assert (len(batch[5:3]), len(CellBatch.of([]))) == (0, 0)
    with pytest.raises(IndexError):
        batch[7]
    with pytest.raises(ValueError, match="step 1"):
        batch[::2]


@pytest.mark.parametrize("part", [slice(0, 7), slice(2, 5)], ids=["whole", "slice"])
@pytest.mark.parametrize("max_length", [3, 8, 99])
def test_padding_is_that_of_single_rows(part, max_length):
    ids, mask = CellBatch.of(cells())[part].padded(max_length=max_length, pad_token_id=0)
    rows = [torch.from_numpy(cell.input_ids[:max_length].astype(np.int64)) for cell in cells()[part]]
    np.testing.assert_array_equal(ids, pad_sequence(rows, batch_first=True))
    np.testing.assert_array_equal(mask, ids != 0)
    assert ids.dtype == mask.dtype == np.int64


def test_no_cells_pad_to_nothing():
    ids, mask = CellBatch.of([]).padded(max_length=5, pad_token_id=0)
    assert ids.shape == mask.shape == (0, 0)


def test_thinned_cells_keep_the_first_id_and_the_order_of_the_others():
    batch = CellBatch.of(cells())
    lost = np.linspace(0, 1, len(batch))
    thin = batch[2:].thinned(lost[2:], np.random.default_rng(0))
    for before, after in zip(batch[2:], thin, strict=True):
        assert after.input_ids[0] == before.input_ids[0]
        assert after.description == before.description
        rest = iter(before.input_ids.tolist())
        assert all(gene in rest for gene in after.input_ids.tolist())  # a part of them, in the same order
    assert len(thin[len(thin) - 1].input_ids) == 1
