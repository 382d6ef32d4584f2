"""Floating-point operations of a training step, as a formula over the sizes of the model and what a batch holds.

Only matrix products are counted, a multiplication and an addition as two operations. For a cell of n ids and an encoder
of L layers, h wide with f inside the feed-forward:

    forward = L (2 n (4 h^2 + 2 h f) + 4 n^2 h)

A product of activations and weights costs the same again for the gradient of the weights (if they are trained) and
again for the gradient of what came in (if something below is trained): 3 x forward in an encoder that is trained.
Counted is what the model needs: real ids and word pieces and no padding, nothing that is computed twice to save memory
(activation checkpointing, gradient caching, flash attention's backward). Divided by time this is "model FLOPs"
(Chowdhery et al. 2022, PaLM, appendix B), whose share of the device's peak is the MFU.

`step_flops` follows `stages.PretrainingStage` pass by pass and equals what `torch.utils.flop_counter` counts there on a
batch without padding and eager attention (`tests/test_flops.py`).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from langcell.configuration_langcell import LangCellConfig
from langcell.training.settings.sections import Objectives
from langcell.training.stage.stage import PretrainingStage, active_losses


@dataclass(frozen=True)
class BatchCounts:
    """What a batch holds, as sums; batches add up with `+`.

    Attributes:
        cells: cells.
        cell_tokens: ids of all cells, `<cls>` included, padding excluded.
        cell_tokens_squared: sum of the squared lengths of the cells.
        texts: distinct texts; 0 in stage 1.
        text_tokens: word pieces of the distinct texts.
        text_tokens_squared: sum of their squared lengths.
        pair_tokens: word pieces of the texts of all (cell, text) pairs that the match judges.
        pair_tokens_squared: sum of the squared lengths of these texts.
        pairs: the pairs.
        pair_products: sum over the pairs of word pieces x ids of the cell.
        contrast_cells: cells x cells that are compared, summed over passes.
        contrast_texts: cells x texts that are compared.
    """

    cells: float = 0.0
    cell_tokens: float = 0.0
    cell_tokens_squared: float = 0.0
    texts: float = 0.0
    text_tokens: float = 0.0
    text_tokens_squared: float = 0.0
    pair_tokens: float = 0.0
    pair_tokens_squared: float = 0.0
    pairs: float = 0.0
    pair_products: float = 0.0
    contrast_cells: float = 0.0
    contrast_texts: float = 0.0

    def __add__(self, other: "BatchCounts") -> "BatchCounts":
        return BatchCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def of_lengths(
        cls,
        cell_lengths: Tensor,
        text_lengths: Tensor | None = None,
        own_text: Tensor | None = None,
        *,
        negatives: int = 1,
    ) -> "BatchCounts":
        """Return counts of a pass.

        The pairs of the match are each cell with its own text, each cell with K other texts and each text with one
        other cell. The others are drawn by the model, so they count with the mean length. A cell of a batch with fewer
        than K other texts has as many as there are; what stands in the empty places is padding.

        Args:
            cell_lengths: `[B]` ids of each cell.
            text_lengths: `[T]` word pieces of each distinct text.
            own_text: `[B]` row of each cell's text.
            negatives: K, `objectives.cell_text_matching.negatives`.

        Example:
            >>> cells, texts, own = torch.tensor([5, 7, 6]), torch.tensor([4, 4, 4]), torch.arange(3)
            >>> [BatchCounts.of_lengths(cells, texts, own, negatives=k).pairs for k in (1, 2, 9)]
            [9, 12, 12]
        """
        # On the device first, one transfer after: asking for each sum by itself would wait for the device each time.
        cells = cell_lengths.double()
        sums = [cells.sum(), cells.square().sum()]
        if text_lengths is not None and own_text is not None:
            texts = text_lengths.double()
            own = texts[own_text]
            sums += [texts.sum(), texts.square().sum(), own.sum(), own.square().sum(), (own * cells).sum()]
        tokens, squared, *of_texts = torch.stack(sums).tolist()
        n_cells = len(cell_lengths)
        counts = {"cells": n_cells, "cell_tokens": tokens, "cell_tokens_squared": squared}
        counts["contrast_cells"] = n_cells**2
        if of_texts and text_lengths is not None:
            n_texts = len(text_lengths)
            words, words_squared, own_words, own_squared, own_products = of_texts
            # With one text there is no other one.
            drawn = n_cells * min(negatives, n_texts - 1) + (n_texts if n_texts > 1 else 0)
            counts |= {
                "texts": n_texts,
                "text_tokens": words,
                "text_tokens_squared": words_squared,
                "pairs": n_cells + drawn,
                "pair_tokens": own_words + drawn * words / n_texts,
                "pair_tokens_squared": own_squared + drawn * words_squared / n_texts,
                "pair_products": own_products + drawn * (words / n_texts) * (tokens / n_cells),
                "contrast_texts": n_cells * n_texts,
            }
        return cls(**counts)

    @classmethod
    def of_batch(cls, batch: dict[str, Tensor], *, negatives: int) -> "BatchCounts":
        """Return counts of a batch as `BatchCollator` makes it; `negatives` as in `of_lengths`."""
        cell_lengths = batch["cell_attention_mask"].sum(1)
        if "own_text" not in batch:
            return cls.of_lengths(cell_lengths)
        return cls.of_lengths(cell_lengths, batch["attention_mask"].sum(1), batch["own_text"], negatives=negatives)


@dataclass(frozen=True)
class TrainedParts:
    """What gets gradients, and whether texts were encoded before the run.

    Attributes:
        cells: the cell encoder.
        texts: the text encoder without its cross-attention.
        cross_attention: the text encoder's cross-attention.
        cached_texts: no text is encoded in a step.
    """

    cells: bool = True
    texts: bool = True
    cross_attention: bool = True
    cached_texts: bool = False

    @classmethod
    def of_stage(cls, stage: PretrainingStage) -> "TrainedParts":
        """Return what of this stage is trained."""
        parameters = list(stage.model.named_parameters())

        def any_of(*, begin: str, cross: bool) -> bool:
            return any(
                p.requires_grad
                for name, p in parameters
                if name.startswith(begin) and ("crossattention" in name) == cross
            )

        return cls(
            cells=any_of(begin="cell_encoder.", cross=False),
            texts=not stage.text_is_frozen,
            cross_attention=any_of(begin="text_encoder.", cross=True),
            cached_texts=stage.frozen_texts is not None,
        )


@dataclass(frozen=True)
class OperationCounts:
    """Operations of one part of a step."""

    forward: float
    backward: float

    def __add__(self, other: "OperationCounts") -> "OperationCounts":
        return OperationCounts(self.forward + other.forward, self.backward + other.backward)

    @property
    def total(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward


def step_flops(
    config: LangCellConfig, objectives: Objectives, counts: BatchCounts, trained: TrainedParts | None = None
) -> dict[str, OperationCounts]:
    """Return operations of one step, or of as many as `counts` sums up, by part of the model.

    Args:
        config: configuration of the model.
        objectives: the losses that are on.
        counts: what the batches hold.
        trained: what gets gradients; everything where not given.

    Returns:
        "cell encoder", "masked-gene head", "text encoder", "match", "projections and contrast"; only those that run.
    """
    trained = trained or TrainedParts()
    on = active_losses(objectives)
    work: dict[str, OperationCounts] = {}
    masked, whole = cell_passes(on)
    passes = masked + whole
    encoder = _encoder(config.cell_config, counts.cell_tokens, counts.cell_tokens_squared)
    work["cell encoder"] = OperationCounts(passes * encoder, passes * encoder * 2 * trained.cells)
    if masked:
        work["masked-gene head"] = _masked_gene_head(config, objectives.masked_gene.rate, counts, trained)
    if texts := on.keys() & {"cell_text", "cell_text_matching"}:
        if not trained.cached_texts:
            # The match reads states of the same pass; without `cell_text` these alone ask for gradients.
            forward = _encoder(config.text_config, counts.text_tokens, counts.text_tokens_squared)
            learning = forward if "cell_text" in texts else _before_cell(config.text_config, counts)
            work["text encoder"] = OperationCounts(forward, 2 * trained.texts * learning)
        if "cell_text_matching" in texts:
            work["match"] = sum(_match(config, counts, trained), OperationCounts(0.0, 0.0))
    embedded = masked * ("cell_cell" in on) + whole
    work["projections and contrast"] = sum(_contrast(config, embedded, on, counts, trained), OperationCounts(0.0, 0.0))
    return {name: part for name, part in work.items() if part.forward}


def cell_passes(on: Collection[str]) -> tuple[int, int]:
    """Return how often the cell encoder reads each cell with hidden genes, and whole, with these losses on."""
    masked = int("masked_gene" in on)
    whole = 2 if "cell_cell" in on and not masked else int(bool(set(on) - {"masked_gene"}))
    return masked, whole


def _encoder(config: Any, tokens: float, squared: float) -> float:
    """Forward of a BERT without cross-attention."""
    h, f = config.hidden_size, config.intermediate_size
    return config.num_hidden_layers * (2 * tokens * (4 * h**2 + 2 * h * f) + 4 * squared * h)


def _linear(forward: float, *, trained: bool, input_trained: bool) -> OperationCounts:
    """Return a product of activations and weights."""
    return OperationCounts(forward, forward * (trained + input_trained))


def _attention(forward: float, *, queries: bool, keys: bool) -> OperationCounts:
    """Both products of an attention, queries x keys and probabilities x values; which of their inputs get gradients."""
    return OperationCounts(forward, forward / 2 * (queries + keys + (queries or keys) + keys))


def _masked_gene_head(
    config: LangCellConfig, rate: float, counts: BatchCounts, trained: TrainedParts
) -> OperationCounts:
    """Only chosen positions go through the head; its output weights are the gene embeddings."""
    h = config.cell_config.hidden_size
    chosen = rate * (counts.cell_tokens - counts.cells)  # never `<cls>`
    dense = _linear(2 * chosen * h**2, trained=True, input_trained=trained.cells)
    return dense + _linear(2 * chosen * h * config.cell_config.vocab_size, trained=trained.cells, input_trained=True)


def _contrast(
    config: LangCellConfig, embedded: int, on: dict[str, float], counts: BatchCounts, trained: TrainedParts
) -> Iterator[OperationCounts]:
    """Projections into the shared space, and all similarities there; `embedded`: embeddings of a cell."""
    size, h, d = config.projection_dim, config.cell_config.hidden_size, config.text_config.hidden_size
    # What only chooses the negatives of the match is read without gradient.
    with_gradient = embedded if "cell_text" in on else embedded - ("cell_cell" not in on)
    forward = 2 * counts.cells * h * size
    yield OperationCounts(embedded * forward, max(with_gradient, 0) * forward * (1 + trained.cells))
    if "cell_cell" in on:
        yield _linear(2 * counts.contrast_cells * size, trained=True, input_trained=True)
    if on.keys() & {"cell_text", "cell_text_matching"}:
        forward, learns = 2 * counts.texts * d * size, "cell_text" in on
        yield OperationCounts(forward, forward * learns * (1 + trained.texts))
    if "cell_text" in on:
        yield _linear(2 * counts.contrast_texts * size, trained=True, input_trained=True)
    if "cell_text_matching" in on:
        yield OperationCounts(2 * counts.contrast_texts * size, 0.0)


def _match(config: LangCellConfig, counts: BatchCounts, trained: TrainedParts) -> Iterator[OperationCounts]:
    """Texts that read cells, from their states before: `cell_keys_values`, `read_cells` and the head."""
    text = config.text_config
    h, d, f = config.cell_config.hidden_size, text.hidden_size, text.intermediate_size
    readers = text.num_hidden_layers - text.cross_attention_start
    cross, below = trained.cross_attention, trained.texts
    keys = cross or trained.cells
    yield _linear(readers * 2 * counts.cell_tokens * 2 * h * d, trained=cross, input_trained=trained.cells)
    for layer in range(readers):
        last = layer == readers - 1
        # Only position 0 of the last layer is read.
        asked = counts.pairs if last else counts.pair_tokens
        # Over all pairs, queries x ids of the cell.
        products = counts.pairs * counts.cell_tokens / counts.cells if last else counts.pair_products
        if layer:
            others = counts.pair_tokens if last else counts.pair_tokens_squared
            yield _linear(2 * (asked + counts.pair_tokens) * 2 * d**2, trained=trained.texts, input_trained=below)
            yield _attention(4 * others * d, queries=below, keys=below)
        yield _linear(2 * asked * d**2, trained=cross, input_trained=below)
        yield _attention(4 * products * d, queries=cross or below, keys=keys)
        below = below or keys
        yield _linear(2 * asked * d**2, trained=cross, input_trained=below)
        yield _linear(2 * asked * 2 * d * f, trained=trained.texts, input_trained=below)
    yield _linear(2 * counts.pairs * d * 2, trained=True, input_trained=below)


def _before_cell(text: Any, counts: BatchCounts) -> float:
    """Forward of the layers below the first cross-attention, and that layer's self-attention."""
    d, start = text.hidden_size, text.cross_attention_start
    below = _encoder(text, counts.text_tokens, counts.text_tokens_squared) * start / text.num_hidden_layers
    return below + 2 * counts.text_tokens * 4 * d**2 + 4 * counts.text_tokens_squared * d
