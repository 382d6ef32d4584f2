import pytest
import tiny
import torch
from torch import nn
from torch.testing import assert_close

from langcell import cell_blocks_langcell
from langcell.cell_blocks_langcell import cell_states_in_blocks, encodes_in_blocks, product
from langcell.encoders_langcell import TorchEncoders

pytestmark = pytest.mark.filterwarnings("error")


def batch_of(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells of these lengths, padded to the longest."""
    torch.manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return torch.randint(2, 20, mask.shape) * mask, mask


@pytest.mark.parametrize("lengths", [pytest.param([20] * 5, id="alike"), pytest.param([20, 3, 1, 11], id="padded")])
@pytest.mark.parametrize("per_block", [1, 900, 1 << 20])
@pytest.mark.parametrize("by_head", [True, False], ids=["by_head", "all_heads"])
@pytest.mark.parametrize("with_product", [True, False], ids=["onednn", "without"])
def test_states_in_blocks_are_those_of_the_model(monkeypatch, lengths, per_block, by_head, with_product):
    monkeypatch.setattr(cell_blocks_langcell, "_SCORES_PER_BLOCK", per_block)
    monkeypatch.setattr(cell_blocks_langcell, "_SHORT", 0 if by_head else 512)
    if not with_product:
        monkeypatch.setattr(cell_blocks_langcell, "_PRODUCT", None)
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


def test_a_cpu_without_gradients_takes_blocks_and_nothing_else_does(monkeypatch):
    model, (ids, mask) = tiny.tiny_model(), batch_of([20, 3])
    assert not encodes_in_blocks(model, ids), "gradients go through the model's own way"
    with torch.inference_mode():
        assert encodes_in_blocks(model, ids) == (cell_blocks_langcell._PRODUCT is not None)
        exact = TorchEncoders(model).encode_cells(ids, mask).embeds
        model.to(torch.bfloat16)
        assert encodes_in_blocks(model, ids)
        own_way = type(model).get_cell_states
        monkeypatch.setattr(type(model), "get_cell_states", None)
        assert_close(TorchEncoders(model).encode_cells(ids, mask).embeds, exact, atol=0.2, rtol=0)
        monkeypatch.setattr(type(model), "get_cell_states", own_way)
        assert not encodes_in_blocks(model.to(torch.float16), ids)
        model.to(torch.float32)
        model.set_attn_implementation("eager")
        assert not encodes_in_blocks(model, ids)


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_a_product_is_what_the_module_gives_and_then_the_activation(activation):
    torch.manual_seed(0)
    module, states = nn.Linear(8, 6), torch.randn(3, 5, 8)
    with torch.inference_mode():
        expected = module(states) if activation is None else getattr(torch.nn.functional, activation)(module(states))
        assert_close(product(module, states, activation=activation), expected, atol=1e-6, rtol=1e-5)


class _Doubled(nn.Linear):
    """What an adapter makes of a linear module: more than its product."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


def test_a_module_that_is_more_than_its_product_is_called():
    torch.manual_seed(0)
    states, plain, hooked, patched = torch.randn(3, 8), nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(8, 6)
    adapted = _Doubled(8, 6)
    hooked.register_forward_hook(lambda module, given, found: found + 1)
    patched.forward = lambda states: torch.zeros(3, 6)
    with torch.inference_mode():
        for module in (plain, hooked, patched, adapted):
            assert_close(product(module, states), module(states))
