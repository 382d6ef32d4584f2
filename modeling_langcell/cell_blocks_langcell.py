"""The cell encoder on a CPU: the same numbers as the model's own way, by products that a CPU does fast.

torch gives products in float32 to MKL, which uses half of the width of other makers' processors. oneDNN, which torch
brings for bfloat16, uses all of it in float32, too, and applies an activation while the product is in the cache. Of
attention, torch's fused kernel for CPUs multiplies by MKL in both number types. Two products and a softmax between
them are faster, where the scores of some genes stay in the second-level cache.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# torch has no public name for it; where a build of torch does not have it, modules are called as they are.
_PRODUCT = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
_FUSED = {"relu": ("relu", ""), "gelu": ("gelu", "none")}  # activations that it applies: name and algorithm
_DTYPES = (torch.float32, torch.bfloat16)
# Attention scores at once, one megabyte in bfloat16.
_SCORES_PER_BLOCK = 1 << 19
# Shorter cells have too little work for a product of each head; so have in bfloat16, which is faster, those up to
# the second number.
_SHORT, _SHORT_IN_BFLOAT16 = 128, 512


def encodes_in_blocks(model: Any, cell_input_ids: Tensor) -> bool:
    """Return whether `cell_states_in_blocks` is faster than the model's own way: on a CPU, without gradients."""
    config = model.config.cell_config
    return (
        cell_input_ids.device.type == "cpu"
        and model.dtype in _DTYPES
        and (_PRODUCT is not None or (model.dtype == torch.bfloat16 and cell_input_ids.shape[1] <= _SHORT_IN_BFLOAT16))
        and not (model.training or torch.is_grad_enabled())
        and config._attn_implementation in (None, "sdpa")
        and not config.chunk_size_feed_forward
        and not getattr(model, "hf_device_map", None)  # accelerate brings weights for calls of whole modules alone
    )


def cell_states_in_blocks(model: Any, cell_input_ids: Tensor, cell_attention_mask: Tensor) -> Tensor:
    """Return the last states of the cell encoder, (cells, genes, hidden), as `get_cell_states` does.

    Args:
        model: a LangCellModel in evaluation mode.
        cell_input_ids: ranked gene ids, (cells, genes).
        cell_attention_mask: (cells, genes).
    """
    encoder, is_padding = model.cell_encoder, cell_attention_mask == 0
    padding = is_padding[:, None, None, :] if is_padding.any() else None
    act = encoder.config.hidden_act
    states = encoder.embeddings(input_ids=cell_input_ids)
    for layer in encoder.encoder.layer:
        heads, joined = layer.attention.self, layer.attention.output
        queries = product(heads.query, states, scale=heads.attention_head_size**-0.5)
        parts = (queries, product(heads.key, states), product(heads.value, states))
        split = [part.unflatten(-1, (-1, heads.attention_head_size)).transpose(1, 2) for part in parts]
        read = product(joined.dense, attend(*split, padding))
        attended = joined.LayerNorm(read.add_(states))
        if act in _FUSED:
            inner = product(layer.intermediate.dense, attended, activation=act)
        else:
            inner = layer.intermediate(attended)
        states = layer.output.LayerNorm(product(layer.output.dense, inner).add_(attended))
    return states


def product(module: nn.Module, states: Tensor, *, activation: str | None = None, scale: float = 1.0) -> Tensor:
    """Return what a linear module makes of states, with one of the activations of `_FUSED` or times a number.

    A module that is more than a plain `nn.Linear`, such as that of an adapter or one with hooks, is called as it is.
    """
    if _PRODUCT is not None and is_plain(module, states):
        name, algorithm = _FUSED[activation] if activation else ("none", "")
        weight: Any = module.weight
        bias: Any = module.bias
        if scale != 1:  # fewer numbers than what the module makes of the states
            weight, bias = weight * scale, None if bias is None else bias * scale
        return _PRODUCT(states, weight, bias, name, [], algorithm)
    found = module(states)
    found = getattr(F, activation)(found) if activation else found
    return found if scale == 1 else found * scale


def attend(queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None) -> Tensor:
    """Attend within cells.

    Args:
        queries: (cells, heads, genes, head size), times the square root of 1 / head size.
        keys: likewise.
        values: likewise.
        padding: whether a gene is padding, (cells, 1, 1, genes); None where there is none.

    Returns:
        (cells, genes, hidden).
    """
    n_genes = queries.shape[2]
    short = _SHORT_IN_BFLOAT16 if queries.dtype == torch.bfloat16 else _SHORT
    in_one = _PRODUCT is None or n_genes <= short
    return (_attend_some_cells if in_one else _attend_by_head)(queries, keys, values, padding)


def _attend_some_cells(queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None) -> Tensor:
    """All heads of some cells at once, in the same memory for all scores, which so stays in the cache."""
    n_cells, n_heads, n_genes = queries.shape[:3]
    queries, keys, values = (part.flatten(0, 1) for part in (queries, keys, values))
    read, keys = torch.empty_like(values), keys.transpose(1, 2)
    step = min(n_cells, max(1, _SCORES_PER_BLOCK // (n_heads * n_genes**2)))
    room = queries.new_empty(step * n_heads, n_genes, n_genes)
    for begin in range(0, n_cells, step):
        n_some = min(step, n_cells - begin)
        heads = slice(begin * n_heads, (begin + n_some) * n_heads)
        scores = torch.bmm(queries[heads], keys[heads], out=room[: n_some * n_heads])
        if padding is not None:
            by_head = scores.unflatten(0, (n_some, n_heads))
            by_head.masked_fill_(padding[begin : begin + n_some], torch.finfo(scores.dtype).min)
        torch.bmm(torch.softmax(scores, -1, out=scores), values[heads], out=read[heads])
    return read.unflatten(0, (n_cells, n_heads)).transpose(1, 2).flatten(2)


def _attend_by_head(queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None) -> Tensor:
    """One head of one cell after the other, some genes at once."""
    assert _PRODUCT is not None, "attend() checks it"
    n_cells, n_heads, n_genes, head_size = queries.shape
    queries, keys = queries.contiguous(), keys.contiguous()
    values = values.transpose(-1, -2).contiguous()
    read = queries.new_empty(n_cells, n_genes, n_heads, head_size)
    step = max(1, _SCORES_PER_BLOCK // n_genes)
    for cell in range(n_cells):
        hidden = None if padding is None else padding[cell, 0]
        for head in range(n_heads):
            for begin in range(0, n_genes, step):
                some = slice(begin, begin + step)
                scores = _PRODUCT(queries[cell, head, some], keys[cell, head], None, "none", [], "")
                if hidden is not None:
                    scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
                read[cell, some, head] = _PRODUCT(scores.softmax(-1), values[cell, head], None, "none", [], "")
    return read.flatten(2)


def is_plain(module: nn.Module, states: Tensor) -> bool:
    """Return whether calling a module does nothing but the product of `nn.Linear`, in the dtype of the states."""
    if type(module) is not nn.Linear or module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        return False
    weight = module.weight
    is_there = type(weight) is nn.Parameter and not weight.is_meta
    return is_there and weight.device == states.device and weight.dtype == states.dtype
