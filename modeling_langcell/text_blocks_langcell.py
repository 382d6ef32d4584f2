"""Texts encoded, and matched with cells, in blocks of texts of like length.

Texts of one batch are padded to the longest of them, which for the types of the Cell Ontology is three times the mean.
Texts of like length go through the encoder together, without the padding that they do not need; what is left of it
changes nothing, because the mask hides it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging

from .encoders_langcell import EncodedCells, EncodedTexts, Encoders, unit_rows
from .reranking_langcell import Evaluate

logger = logging.get_logger(__name__)

# Texts are together whose lengths are the same when rounded up to this: less padding, or fewer and larger products.
_LENGTH_STEP = 16

# Tokens of texts encoded at once.
_TOKENS_PER_ENCODING = 16_384


@torch.inference_mode()
def encode_texts(encoders: Encoders, processor: Any, texts: Sequence[str], *, for_match: bool = True) -> EncodedTexts:
    """Encode one text or more, in their order.

    Args:
        encoders: encoders of the model.
        processor: that belongs to it.
        texts: as the text encoder reads them. A state at the end, such as "state: cycling; ", moves the embedding
            where the model knows it (`reference_cells`); the match hears nothing of it.
        for_match: keep what the match reads, which takes a thousand times the memory of the embeddings.
    """
    plain, directions = _read_states(encoders, processor, texts)
    tokens = processor(text=plain, return_tensors="pt").to(encoders.device)
    encoded = encode_tokens(encoders, tokens["input_ids"], tokens["attention_mask"], for_match=for_match)
    if directions is None:
        return encoded
    return replace(encoded, embeds=unit_rows(encoded.embeds + torch.from_numpy(directions).to(encoded.embeds)))


def _read_states(encoders: Encoders, processor: Any, texts: Sequence[str]) -> tuple[list[str], np.ndarray | None]:
    """Return texts without states that the model knows, and the directions of these; see `ReferenceCells.read_states`.

    The directions of other weights would mean nothing.
    """
    cells = getattr(getattr(processor, "feature_extractor", None), "reference_cells", None)
    if cells is None or not cells.states:
        return list(texts), None
    plain, directions = cells.read_states(texts)
    model = getattr(encoders, "model", None)  # an ONNX export keeps states only where they are its own
    if directions is not None and model is not None and cells.known_by(model) is None:
        logger.warning("States in texts are read as words: this model's weights are not those that know them.")
        return list(texts), None
    return plain, directions


@torch.inference_mode()
def encode_tokens(
    encoders: Encoders, input_ids: Tensor, attention_mask: Tensor, *, for_match: bool = True
) -> EncodedTexts:
    """Encode tokens, (texts, tokens), as `encode_texts` does; the states behind a text's end are any numbers."""
    lengths = attention_mask.sum(-1)
    order = lengths.argsort(descending=True, stable=True)
    embeds = states = None
    for begin, end in _blocks(lengths[order].tolist(), _TOKENS_PER_ENCODING):
        chosen, longest = order[begin:end], int(lengths[order[begin]])
        mask = attention_mask[chosen, :longest]
        block = encoders.encode_texts(input_ids[chosen, :longest], mask, for_match=for_match)
        if embeds is None:
            embeds = block.embeds.new_empty(len(input_ids), block.embeds.shape[1])
        embeds[chosen] = block.embeds
        if block.states is not None:
            if states is None:  # the first block has the longest texts
                states = block.states.new_zeros(len(input_ids), *block.states.shape[1:])
            states[chosen, : block.states.shape[1]] = block.states
    assert embeds is not None, "there is a text"
    return EncodedTexts(embeds, attention_mask, states)


def match_all(encoders: Encoders, texts: EncodedTexts, cells: EncodedCells, *, tokens_per_match: int) -> Tensor:
    """Return the probability that each text matches each cell, (cells, texts), float32.

    Args:
        encoders: encoders of the model.
        texts: encoded for the match.
        cells: likewise.
        tokens_per_match: text tokens of pairs in memory at once.
    """
    n_cells, lengths = len(cells), texts.lengths
    match = torch.empty(n_cells, len(texts), device=cells.embeds.device)
    order = lengths.argsort(descending=True, stable=True)
    for begin, end in _blocks(lengths[order].tolist(), tokens_per_match // n_cells):
        chosen = order[begin:end]
        match[:, chosen] = encoders.match(cells, texts, chosen.repeat(n_cells, 1), int(lengths[chosen[0]]))
    return match


def match_chosen(encoders: Encoders, texts: EncodedTexts, cells: EncodedCells, *, tokens_per_match: int) -> Evaluate:
    """Match probabilities of chosen pairs of these cells and texts; args as in `match_all`."""
    lengths = texts.lengths

    def evaluate(rows: Tensor, columns: Tensor) -> Tensor:
        match = torch.empty(columns.shape, device=columns.device)
        order = lengths[columns].argsort(dim=-1, descending=True, stable=True)
        longest_first = columns.gather(1, order)
        longest = lengths[longest_first].amax(0).tolist()  # of all cells, at each place; falling
        step = max(1, tokens_per_match // sum(longest))
        for first in range(0, len(rows), step):
            some = slice(first, first + step)
            own = cells.at(rows[some])
            for begin, end in _blocks(longest, tokens_per_match):
                read = encoders.match(own, texts, longest_first[some, begin:end], longest[begin])
                match[some].scatter_(1, order[some, begin:end], read)
        return match

    return evaluate


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
