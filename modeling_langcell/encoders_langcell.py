"""What scores ask of a model (`Encoders`), and a torch model as that (`TorchEncoders`)."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

# Attention scores of a block, one megabyte in bfloat16; with longer cells torch's fused attention is as fast.
_SCORES_PER_BLOCK = 1 << 19
_LONGEST_IN_BLOCKS = 512


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
        self, cell_input_ids: Tensor, cell_attention_mask: Tensor, *, for_match: bool = True
    ) -> EncodedCells:
        """Return the ranked gene ids and their mask, (cells, genes) each, with what the match reads or without."""
        ...

    def encode_texts(self, input_ids: Tensor, attention_mask: Tensor, *, for_match: bool = True) -> EncodedTexts:
        """Return the token ids and their mask, (texts, tokens) each, with what the match reads or without."""
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
        self, cell_input_ids: Tensor, cell_attention_mask: Tensor, *, for_match: bool = True
    ) -> EncodedCells:
        """See `Encoders.encode_cells`; keys and values of every cross-attention are computed once for all texts."""
        in_blocks = attends_faster_in_blocks(self.model, cell_input_ids)
        encode = partial(cell_states_in_blocks, self.model) if in_blocks else self.model.get_cell_states
        states = encode(cell_input_ids, cell_attention_mask)
        embeds = unit_rows(self.model.project_cells(states, cell_attention_mask))
        keys_values = self.model.text_encoder.cell_keys_values(states) if for_match else []
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
        chosen = columns.flatten()
        read = self.model.text_encoder.read_cells(
            texts.for_match[chosen, :longest],
            texts.attention_mask[chosen, :longest],
            list(zip(cells.for_match[::2], cells.for_match[1::2], strict=True)),
            cells.attention_mask,
        )
        return self.model.match_head(read).float().softmax(-1)[:, 1].view(columns.shape)


def computing_device(model: Any) -> torch.device:
    """Return where a model computes; parts that accelerate has put on a disk come into memory for it."""
    placed = getattr(model, "hf_device_map", None)
    if not placed:
        return model.device
    return torch.device(next((place for place in placed.values() if place not in ("cpu", "disk")), "cpu"))


def attends_faster_in_blocks(model: Any, cell_input_ids: Tensor) -> bool:
    """Return whether `cell_states_in_blocks` is faster than the model's own way: short cells in bfloat16 on a CPU."""
    config = model.config.cell_config
    return (
        cell_input_ids.device.type == "cpu"
        and model.dtype == torch.bfloat16
        and cell_input_ids.shape[1] <= _LONGEST_IN_BLOCKS
        and not (model.training or torch.is_grad_enabled())
        and config._attn_implementation in (None, "sdpa")
        and not config.chunk_size_feed_forward
    )


def cell_states_in_blocks(model: Any, cell_input_ids: Tensor, cell_attention_mask: Tensor) -> Tensor:
    """Return the last states of the cell encoder, (cells, genes, hidden), as `get_cell_states` does.

    torch's fused attention for CPUs multiplies bfloat16 no faster than float32. Two plain products with a softmax
    between them do, where the attention scores of a few cells stay in the second-level cache.

    Args:
        model: a LangCellModel in evaluation mode.
        cell_input_ids: ranked gene ids, (cells, genes).
        cell_attention_mask: (cells, genes).
    """
    encoder, is_padding = model.cell_encoder, cell_attention_mask == 0
    padding = is_padding[:, None, None, :] if is_padding.any() else None
    states = encoder.embeddings(input_ids=cell_input_ids)
    for layer in encoder.encoder.layer:
        heads = layer.attention.self
        parts = (project(states) for project in (heads.query, heads.key, heads.value))
        split = [part.unflatten(-1, (-1, heads.attention_head_size)).transpose(1, 2) for part in parts]
        attended = layer.attention.output(_attend_in_blocks(*split, padding), states)
        states = layer.output(layer.intermediate(attended), attended)
    return states


def _attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None) -> Tensor:
    """Attend within (cells, heads, genes, head size), with padding (cells, 1, 1, genes); (cells, genes, hidden)."""
    n_cells, n_heads, n_genes, head_size = queries.shape
    queries, read = queries * head_size**-0.5, torch.empty_like(queries.transpose(1, 2))
    step = max(1, _SCORES_PER_BLOCK // (n_heads * n_genes**2))
    for begin in range(0, n_cells, step):
        some = slice(begin, begin + step)
        scores = queries[some] @ keys[some].transpose(-1, -2)
        if padding is not None:
            scores.masked_fill_(padding[some], torch.finfo(scores.dtype).min)
        read[some] = (scores.softmax(-1) @ values[some]).transpose(1, 2)
    return read.flatten(2)


def unit_rows(embeds: Tensor) -> Tensor:
    """Return the embeddings as float32 of unit length: in bfloat16 a unit vector is one only to three digits."""
    return F.normalize(embeds.float(), dim=-1)
