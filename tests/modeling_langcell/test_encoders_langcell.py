import pytest
import tiny
import torch
from torch.testing import assert_close

from langcell import encoders_langcell
from langcell.encoders_langcell import TorchEncoders, attends_faster_in_blocks, cell_states_in_blocks


def batch_of(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells of these lengths, padded to the longest."""
    torch.manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return torch.randint(2, 20, mask.shape) * mask, mask


@pytest.mark.parametrize("lengths", [pytest.param([20] * 5, id="alike"), pytest.param([20, 3, 1, 11], id="padded")])
@pytest.mark.parametrize("per_block", [1, 900, 1 << 20])
def test_states_in_blocks_are_those_of_the_model(monkeypatch, lengths, per_block):
    monkeypatch.setattr(encoders_langcell, "_SCORES_PER_BLOCK", per_block)
    model, (ids, mask) = tiny.tiny_model(), batch_of(lengths)
    with torch.inference_mode():
        own, found = model.get_cell_states(ids, mask), cell_states_in_blocks(model, ids, mask)
    assert_close(found[mask == 1], own[mask == 1], atol=1e-5, rtol=1e-5)


def test_a_cell_alone_has_the_states_that_it_has_in_a_batch():
    model, (ids, mask) = tiny.tiny_model(), batch_of([20, 3, 11])
    with torch.inference_mode():
        together = cell_states_in_blocks(model, ids, mask)
        for row, length in enumerate(mask.sum(1).tolist()):
            alone = cell_states_in_blocks(model, ids[row : row + 1, :length], mask[row : row + 1, :length])
            assert_close(alone[0], together[row, :length], atol=1e-5, rtol=1e-5)


def test_bfloat16_on_a_cpu_takes_blocks_and_nothing_else_does(monkeypatch):
    model, (ids, mask) = tiny.tiny_model(), batch_of([20, 3])
    with torch.inference_mode():
        assert not attends_faster_in_blocks(model, ids)
        exact = TorchEncoders(model).encode_cells(ids, mask).embeds
        model.to(torch.bfloat16)
        assert attends_faster_in_blocks(model, ids)
        assert not attends_faster_in_blocks(model, ids.expand(-1, -1).repeat(1, 40))
        monkeypatch.setattr(type(model), "get_cell_states", None)
        assert_close(TorchEncoders(model).encode_cells(ids, mask).embeds, exact, atol=0.2, rtol=0)
    assert not attends_faster_in_blocks(model, ids), "gradients go through the model's own way"
