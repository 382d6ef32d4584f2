"""Texts encoded, and matched with cells, in blocks of texts of like length.

Texts of one batch are padded to the longest of them, which for the types of the Cell Ontology is three times the mean.
Texts of like length go through the encoder together, without the padding that they do not need; what is left of it
changes nothing, because the mask hides it.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from langcell.inference.scoring.rerank import Evaluate
from langcell.modeling_langcell import KeysValues, LangCellModel, LangCellTextLayer

# Texts are together whose lengths are the same when rounded up to this: less padding, or fewer and larger products.
_LENGTH_STEP = 16

# Tokens of texts encoded at once.
_TOKENS_PER_ENCODING = 16_384


def encode_texts(model: LangCellModel, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Text embeddings, (texts, projection_dim), and what `states_before_cell` gives; any numbers behind a text's end.

    What lies below the first cross-attention is the same for both and computed once.

    Args:
        model: in evaluation mode.
        input_ids: (texts, tokens).
        attention_mask: (texts, tokens).
    """
    start = model.config.text_config.cross_attention_start
    first_only = start == len(model.text_encoder.layer) - 1  # of the last layer, only position 0 is ever read
    lengths = attention_mask.sum(-1)
    order = lengths.argsort(descending=True, stable=True)
    hidden = model.config.text_config.hidden_size
    embeds = torch.empty(len(input_ids), model.config.projection_dim, dtype=model.dtype, device=input_ids.device)
    width = 1 if first_only else input_ids.shape[1]
    before_cell = torch.zeros(len(input_ids), width, hidden, dtype=model.dtype, device=input_ids.device)
    for begin, end in _blocks(lengths[order].tolist(), _TOKENS_PER_ENCODING):
        chosen, longest = order[begin:end], int(lengths[order[begin]])
        mask = attention_mask[chosen, :longest]
        states = model.text_encoder.embeddings(input_ids[chosen, :longest])
        for layer in model.text_encoder.layer[:start]:
            states = layer(states, mask)
        # Of this module's class, or of the same one from a model folder's own code.
        first = cast(LangCellTextLayer, model.text_encoder.layer[start])
        before_cell[chosen, : 1 if first_only else longest] = first.attend_to_text(states, mask, first_only)
        for layer in model.text_encoder.layer[start:]:
            states = layer(states, mask)
        embeds[chosen] = model.project_texts(states, mask)
    return embeds, before_cell


def match_all(
    model: LangCellModel,
    text_states: Tensor,
    attention_mask: Tensor,
    cell_states: Tensor,
    cell_attention_mask: Tensor,
    *,
    tokens_per_match: int,
) -> Tensor:
    """Probability that each text matches each cell, (cells, texts), float32.

    Args:
        model: in evaluation mode.
        text_states: of `states_before_cell`, (texts, tokens, hidden), or (texts, 1, hidden) where only the last layer
            reads cells.
        attention_mask: (texts, tokens).
        cell_states: (cells, genes, cell hidden).
        cell_attention_mask: (cells, genes).
        tokens_per_match: text tokens of pairs in memory at once.
    """
    n_cells = len(cell_states)
    keys_values = model.text_encoder.cell_keys_values(cell_states)
    lengths = _lengths(text_states, attention_mask)
    match = torch.empty(n_cells, len(lengths), device=cell_states.device)
    order = lengths.argsort(descending=True, stable=True)
    for begin, end in _blocks(lengths[order].tolist(), tokens_per_match // n_cells):
        chosen = order[begin:end].repeat(n_cells)
        read = _read(
            model, text_states, attention_mask, chosen, int(lengths[order[begin]]), keys_values, cell_attention_mask
        )
        match[:, order[begin:end]] = read.view(n_cells, end - begin)
    return match


def match_chosen(
    model: LangCellModel,
    text_states: Tensor,
    attention_mask: Tensor,
    cell_states: Tensor,
    cell_attention_mask: Tensor,
    *,
    tokens_per_match: int,
) -> Evaluate:
    """Match probabilities of chosen pairs of these cells and texts; args as in `match_all`."""
    keys_values = model.text_encoder.cell_keys_values(cell_states)
    lengths = _lengths(text_states, attention_mask)

    def evaluate(rows: Tensor, columns: Tensor) -> Tensor:
        match = torch.empty(columns.shape, device=columns.device)
        order = lengths[columns].argsort(dim=-1, descending=True, stable=True)
        longest_first = columns.gather(1, order)
        longest = lengths[longest_first].amax(0).tolist()  # of all cells, at each place; falling
        step = max(1, tokens_per_match // sum(longest))
        for first in range(0, len(rows), step):
            some = slice(first, first + step)
            own = _of_cells(keys_values, rows[some])
            mask = cell_attention_mask[rows[some]]
            for begin, end in _blocks(longest, tokens_per_match):
                chosen = longest_first[some, begin:end].flatten()
                read = _read(model, text_states, attention_mask, chosen, longest[begin], own, mask)
                match[some].scatter_(1, order[some, begin:end], read.view(-1, end - begin))
        return match

    return evaluate


def _lengths(text_states: Tensor, attention_mask: Tensor) -> Tensor:
    """Tokens of each text that are still to be read, (texts,)."""
    lengths = attention_mask.sum(-1)
    return lengths.clamp(max=text_states.shape[1])


def _blocks(falling_lengths: Sequence[int], most_tokens: int) -> Iterator[tuple[int, int]]:
    """Ranges of texts, longest first, that are alike in length and together have at most so many tokens.

    >>> list(_blocks([86, 60, 54, 42, 39, 27], 100))
    [(0, 1), (1, 2), (2, 3), (3, 5), (5, 6)]
    >>> list(_blocks([86, 60, 54, 42, 39, 27], 1000))
    [(0, 1), (1, 3), (3, 5), (5, 6)]
    """
    begin = 0
    for end in range(1, len(falling_lengths) + 1):
        longest = falling_lengths[begin]
        whole = end == len(falling_lengths)
        if (
            whole
            or -(-falling_lengths[end] // _LENGTH_STEP) < -(-longest // _LENGTH_STEP)
            or (end + 1 - begin) * longest > most_tokens
        ):
            yield begin, end
            begin = end


def _of_cells(keys_values: Sequence[KeysValues], rows: Tensor) -> list[KeysValues]:
    """Keys and values of some cells; not copied where all of them are wanted."""
    if len(rows) == len(keys_values[0][0]):  # rows are distinct and ascending
        return list(keys_values)
    return [(keys[rows], values[rows]) for keys, values in keys_values]


def _read(
    model: LangCellModel,
    text_states: Tensor,
    attention_mask: Tensor,
    texts: Tensor,
    longest: int,
    keys_values: Sequence[KeysValues],
    cell_attention_mask: Tensor,
) -> Tensor:
    """Match probability of pairs, float32, (pairs,); every cell has the same number of texts, side by side."""
    states = model.text_encoder.read_cells(
        text_states[texts, :longest], attention_mask[texts, :longest], keys_values, cell_attention_mask
    )
    return model.match_head(states).float().softmax(-1)[:, 1]
