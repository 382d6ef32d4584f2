"""What scores ask of a model (`Encoders`), and a torch model as that (`TorchEncoders`)."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from .cell_blocks_langcell import cell_states_in_blocks, encodes_in_blocks, is_plain

# Up to so many texts for each cell, reading its states takes less than keys and values of them.
FEW_TEXTS = 32


@dataclass(frozen=True)
class EncodedCells:
    """A batch of cells.

    Attributes:
        embeds: float32, unit length, (cells, projection_dim).
        attention_mask: (cells, genes).
        for_match: what the match reads of them, tensors with a row for each cell; empty where it was not asked for.
    """

    embeds: Tensor
    attention_mask: Tensor
    for_match: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.embeds)

    def at(self, rows: Tensor) -> "EncodedCells":
        """Return some of the cells, by distinct and ascending rows; nothing is copied where all of them are wanted."""
        if len(rows) == len(self):
            return self
        return EncodedCells(self.embeds[rows], self.attention_mask[rows], tuple(part[rows] for part in self.for_match))


@dataclass(frozen=True)
class EncodedTexts:
    """Texts, encoded once for any number of cells.

    Attributes:
        embeds: float32, unit length, (texts, projection_dim).
        attention_mask: (texts, tokens).
        states: what the match reads of them, (texts, tokens, hidden), or (texts, 1, hidden) where it reads position 0
            alone; None where it was not asked for.
    """

    embeds: Tensor
    attention_mask: Tensor
    states: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeds)

    @property
    def for_match(self) -> Tensor:
        """The states.

        Raises:
            ValueError: the texts were encoded without them.
        """
        if self.states is None:
            raise ValueError("The texts were encoded for their embeddings alone; encode them with for_match=True.")
        return self.states

    @property
    def lengths(self) -> Tensor:
        """Positions of each text that the match reads, (texts,)."""
        return self.attention_mask.sum(-1).clamp(max=self.for_match.shape[1])

    def in_dtype(self, dtype: torch.dtype) -> "EncodedTexts":
        """Return the same with states as a model of this dtype reads them; embeddings stay float32."""
        return self if self.states is None else replace(self, states=self.states.to(dtype))


class Encoders(Protocol):
    """Both encoders and the match, by torch, by onnxruntime or by whatever else computes them.

    None of the methods sorts or splits: whoever calls them brings texts of like length, as many as the memory holds.
    """

    @property
    def config(self) -> Any:
        """The model's configuration: `alpha` and `logit_temperature` are read here."""
        ...

    @property
    def device(self) -> torch.device:
        """Where tensors have to be."""
        ...

    def encode_cells(
        self,
        cell_input_ids: Tensor,
        cell_attention_mask: Tensor,
        *,
        for_match: bool = True,
        n_texts: int | None = None,
    ) -> EncodedCells:
        """Encode cells, with what the match reads of them or without.

        Args:
            cell_input_ids: ranked gene ids, (cells, genes).
            cell_attention_mask: (cells, genes).
            for_match: keep what the match reads.
            n_texts: how many texts most of the cells are matched with, where it is known; it may change the time.
        """
        ...

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor, *, for_match: bool = True) -> EncodedTexts:
        """Encode token ids with their mask, (texts, tokens) each, with what the match reads or without."""
        ...

    def match(self, cells: EncodedCells, texts: EncodedTexts, columns: Tensor, longest: int) -> Tensor:
        """Return the probability that chosen texts match each cell.

        Args:
            cells: encoded for the match.
            texts: likewise.
            columns: the texts that each cell is matched with, (cells, chosen).
            longest: none of these texts has more positions to read.

        Returns:
            float32, (cells, chosen).
        """
        ...


class TorchEncoders:
    """`Encoders` of a LangCellModel in evaluation mode, whether its class is this package's or a Hub folder's own."""

    def __init__(self, model: Any):
        check_reads_text(model)
        self.model = model

    @property
    def config(self) -> Any:
        """See `Encoders.config`."""
        return self.model.config

    @property
    def device(self) -> torch.device:
        """See `Encoders.device`."""
        return computing_device(self.model)

    def encode_cells(
        self,
        cell_input_ids: Tensor,
        cell_attention_mask: Tensor,
        *,
        for_match: bool = True,
        n_texts: int | None = None,
    ) -> EncodedCells:
        """See `Encoders.encode_cells`; keys and values of every cross-attention are computed once for all texts."""
        in_blocks = encodes_in_blocks(self.model, cell_input_ids)
        encode = partial(cell_states_in_blocks, self.model) if in_blocks else self.model.get_cell_states
        states = encode(cell_input_ids, cell_attention_mask)
        embeds = unit_rows(self.model.project_cells(states, cell_attention_mask))
        if not for_match:
            return EncodedCells(embeds, cell_attention_mask)
        if n_texts is not None and n_texts <= FEW_TEXTS and reads_states(self.model.text_encoder):
            return EncodedCells(embeds, cell_attention_mask, (states,))
        keys_values = self.model.text_encoder.cell_keys_values(states)
        return EncodedCells(embeds, cell_attention_mask, tuple(part for layer in keys_values for part in layer))

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor, *, for_match: bool = True) -> EncodedTexts:
        """See `Encoders.encode_texts`; what lies below the first cross-attention is computed once for both results."""
        encoder = self.model.text_encoder
        start = encoder.config.cross_attention_start
        states, before_cell = encoder.embeddings(input_ids), None
        for layer in encoder.layer[:start]:
            states = layer(states, attention_mask)
        if for_match:
            first_only = start == len(encoder.layer) - 1  # of the last layer, only position 0 is ever read
            before_cell = encoder.layer[start].attend_to_text(states, attention_mask, first_only)
        for layer in encoder.layer[start:]:
            states = layer(states, attention_mask)
        return EncodedTexts(unit_rows(self.model.project_texts(states, attention_mask)), attention_mask, before_cell)

    def match(self, cells: EncodedCells, texts: EncodedTexts, columns: Tensor, longest: int) -> Tensor:
        """See `Encoders.match`."""
        if len(cells.for_match) == 1:
            read = read_states(self.model.text_encoder, cells, texts.for_match[columns, 0])
            return self.model.match_head(read).float().softmax(-1)[..., 1]
        chosen = columns.flatten()
        read = self.model.text_encoder.read_cells(
            texts.for_match[chosen, :longest],
            texts.attention_mask[chosen, :longest],
            list(zip(cells.for_match[::2], cells.for_match[1::2], strict=True)),
            cells.attention_mask,
        )
        return self.model.match_head(read).float().softmax(-1)[:, 1].view(columns.shape)


def check_reads_text(model: Any) -> None:
    """Refuse a model without a text encoder, such as a classifier.

    Raises:
        ValueError: it has none.
    """
    if not hasattr(model, "text_encoder"):
        raise ValueError(f"{type(model).__name__} reads no text; load the model with AutoModel.")


def computing_device(model: Any) -> torch.device:
    """Return where a model computes; parts that accelerate has put on a disk come into memory for it."""
    placed = getattr(model, "hf_device_map", None)
    if not placed:
        return model.device
    return torch.device(next((place for place in placed.values() if place not in ("cpu", "disk")), "cpu"))


def reads_states(text_encoder: Any) -> bool:
    """Return whether `read_states` can stand for keys and values: one layer reads cells, by plain products."""
    last = text_encoder.layer[-1]
    is_alone = text_encoder.config.cross_attention_start == len(text_encoder.layer) - 1
    implementation = text_encoder.config._attn_implementation
    if not is_alone or implementation not in (None, "sdpa") or torch.is_grad_enabled() or text_encoder.training:
        return False
    heads = last.crossattention.self
    return is_plain(heads.key, heads.key.weight) and is_plain(heads.value, heads.value.weight)


def read_states(text_encoder: Any, cells: EncodedCells, before: Tensor) -> Tensor:
    """Let texts read cells, without keys and values of the cells' genes.

    With a query q and a gene's state s, q (K s + b) = (K' q) s + q b. The last part is the same for all genes, and
    changes no softmax. With weights p of the genes, sum p (V s + c) = V (sum p s) + c.

    Args:
        text_encoder: one whose last layer alone reads cells.
        cells: with their states.
        before: position 0 of the texts before that layer's cross-attention, (cells, chosen, hidden).

    Returns:
        Position 0 of the last layer, (cells, chosen, hidden).
    """
    layer, (states,) = text_encoder.layer[-1], cells.for_match
    heads = layer.crossattention.self
    keys, values = (part.weight.unflatten(0, (-1, heads.head_size)) for part in (heads.key, heads.value))
    queries = heads.query(before).unflatten(-1, (-1, heads.head_size)) * heads.scaling
    asked = torch.einsum("cthd,hdk->cthk", queries, keys)
    scores = asked.flatten(1, 2) @ states.transpose(1, 2)
    is_padding = cells.attention_mask == 0
    if is_padding.any():
        scores.masked_fill_(is_padding[:, None, :], torch.finfo(scores.dtype).min)
    read = (scores.softmax(-1) @ states).view_as(asked)
    context = torch.einsum("cthk,hdk->cthd", read, values).flatten(2) + heads.value.bias
    return layer.feed_forward(layer.crossattention.output(context, before))


def unit_rows(embeds: Tensor) -> Tensor:
    """Return the embeddings as float32 of unit length: in bfloat16 a unit vector is one only to three digits."""
    return F.normalize(embeds.float(), dim=-1)
