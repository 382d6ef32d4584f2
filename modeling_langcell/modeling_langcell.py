"""LangCell: a cell encoder and a text encoder in one space (Zhao et al., ICML 2024).

The cell encoder is transformers' BertModel over ranked genes. The text encoder is a BERT whose layers can also attend
to the states of a cell, as BLIP's do (Li et al. 2022): without a cell it embeds the text, with one it says whether text
and cell match. What depends on the cell alone (keys and values of the cross-attention) and what depends on the text
alone (everything below the first cross-attention) is computed once and shared by all (cell, text) pairs.
"""

import inspect
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithCrossAttentions,
    BaseModelOutputWithPooling,
    SequenceClassifierOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.models.bert.modeling_bert import (
    BertIntermediate,
    BertModel,
    BertOutput,
    BertSelfOutput,
    eager_attention_forward,
)
from transformers.processing_utils import Unpack  # pyright: ignore[reportPrivateImportUsage]  # typing has none in 3.10
from transformers.utils.generic import ModelOutput

# The pipeline and what it needs are saved with the model: imports are copied. transformers before 5.12 copies from a
# local folder what this file itself imports, and no more.
from .cell_blocks_langcell import cell_states_in_blocks as cell_states_in_blocks
from .configuration_langcell import LangCellConfig, LangCellTextConfig
from .encoders_langcell import TorchEncoders as TorchEncoders
from .pipeline_langcell import LangCellPipeline as LangCellPipeline
from .reranking_langcell import rerank_top as rerank_top
from .scoring_langcell import score_cells as score_cells
from .text_blocks_langcell import encode_texts as encode_texts

if TYPE_CHECKING:  # saved with the model, too, for sentence-transformers and for Inference Endpoints
    from .handler import EndpointHandler as EndpointHandler
    from .sentence_transformers_langcell import LangCellEmbedding as LangCellEmbedding

KeysValues = tuple[Tensor, Tensor]
Layers = bool | int | Sequence[int]
Weights = list[Tensor | None]
# What sentence-transformers reads: its module, and what has to be installed before it loads one.
_SENTENCE_MODULES = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers_langcell.LangCellEmbedding"}]
_SENTENCE_REQUIREMENTS = {
    "sentence-transformers": {"specifier": ">=6", "reason": "Modules that read cells came with version 6."},
    "transformers": ">=5.5,<6",
}
IGNORED_LABEL = -100  # as everywhere in torch and transformers
_ONE_CLASS = "single_label_classification"
_PROBLEM_TYPES = ("regression", _ONE_CLASS, "multi_label_classification")


class OutputOptions(TypedDict, total=False):
    """What every call takes beside its inputs; what is left out is as the configuration says.

    Attributes:
        output_attentions: also return the attention weights; needs "eager" attention.
        output_hidden_states: also return the states of all layers (True), or of some by their places (0 are the
            embeddings, -1 the last layer), with None for the others.
        return_dict: False for a tuple.
    """

    output_attentions: bool | None
    output_hidden_states: Layers | None
    return_dict: bool | None


class _Asked(NamedTuple):
    """`OutputOptions`, in their order and with nothing left out."""

    attentions: bool
    layers: Layers
    as_dict: bool


@dataclass
class LangCellOutput(ModelOutput):
    """What `LangCellModel` returns; as a tuple, what is there in this order.

    Attributes:
        loss: `LangCellForPreTraining` with `labels` only, the mean over the labelled genes.
        logits_per_cell: cos / temperature, shape (cells, texts).
        logits_per_text: its transpose.
        cell_embeds: unit length, shape (cells, projection_dim).
        text_embeds: unit length, shape (texts, projection_dim).
        match_logits: on request, shape (cells, texts, 2); class 1 is "the text describes the cell".
        masked_gene_logits: `LangCellForPreTraining` only and on request, shape (cells, genes, vocabulary).
        cell_model_output: the cell encoder's states, shape (cells, genes, hidden).
        text_model_output: the text encoder's states, shape (texts, tokens, hidden).
    """

    loss: Tensor | None = None
    logits_per_cell: Tensor | None = None
    logits_per_text: Tensor | None = None
    cell_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    match_logits: Tensor | None = None
    masked_gene_logits: Tensor | None = None
    cell_model_output: BaseModelOutput | None = None
    text_model_output: BaseModelOutput | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        """Return all values that are present, nested outputs as tuples."""
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())


def _additive_mask(mask: Tensor | None, states: Tensor) -> Tensor | None:
    """0/1 mask (rows, keys) -> what is added to attention scores, shape (rows, 1, 1, keys)."""
    if mask is None:
        return None
    hidden = torch.finfo(states.dtype).min
    return torch.zeros_like(mask, dtype=states.dtype).masked_fill(mask == 0, hidden)[:, None, None, :]


def _pool(states: Tensor, mask: Tensor | None, pooling: str) -> Tensor:
    """States (rows, positions, hidden) -> one vector a row: of position 0, or the mean over what is not padding."""
    if pooling == "cls":
        return states[:, 0]
    if mask is None:
        return states.mean(1)
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1)


def _chosen_states(states: Sequence[Tensor] | None, layers: Layers) -> tuple[Tensor | None, ...] | None:
    """Hidden states that a call asked for, with None in place of the others; places that are not there select none."""
    # Done here, because transformers before 5.23 takes True and False only.
    if states is None or isinstance(layers, bool):
        return tuple(states) if states is not None and layers else None
    places = [layers] if isinstance(layers, int) else list(layers)
    kept = {place + len(states) if place < 0 else place for place in places}
    return tuple(state if place in kept else None for place, state in enumerate(states)) if places else None


class LangCellTextEmbeddings(nn.Module):
    """Words plus positions; no token types, as in the released text encoder."""

    def __init__(self, config: LangCellTextConfig):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the token ids (texts, tokens) -> (texts, tokens, hidden)."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        embedded = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(embedded))


class LangCellAttentionHeads(nn.Module):
    """Multi-head attention whose keys and values can be computed beforehand and shared.

    Args:
        config: the text encoder's.
        source_size: width of the states that are attended to.
    """

    def __init__(self, config: LangCellTextConfig, source_size: int):
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_size**-0.5
        self.is_causal = False
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(source_size, config.hidden_size)
        self.value = nn.Linear(source_size, config.hidden_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def _split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (-1, self.head_size)).transpose(1, 2)

    def keys_values(self, source: Tensor) -> KeysValues:
        """Return the states (rows, keys, source_size) -> keys and values, each (rows, heads, keys, head size)."""
        return self._split_heads(self.key(source)), self._split_heads(self.value(source))

    def forward(self, states: Tensor, keys_values: KeysValues, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Attend from states (rows, queries, hidden); mask is (rows, keys) with 1 for what may be read.

        Returns:
            What was read, (rows, queries, hidden); with "eager" attention the weights, (rows, heads, queries, keys).
        """
        queries = self._split_heads(self.query(states))
        implementation = self.config._attn_implementation or "eager"
        if implementation == "flash_attention_2" and queries.shape[2] == keys_values[0].shape[2]:
            attention_mask = mask
        else:
            # transformers' flash wrapper takes a mask for queries and keys of the same length only: what reads a cell
            # or one position goes through SDPA, which uses a fused kernel just as well.
            implementation = "sdpa" if implementation == "flash_attention_2" else implementation
            attention_mask = _additive_mask(mask, states)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)
        dropout = self.dropout.p if self.training else 0.0
        context, weights = attend(self, queries, *keys_values, attention_mask, dropout=dropout, scaling=self.scaling)
        return context.flatten(2), weights


class LangCellTextAttention(nn.Module):
    """Attention heads and their output layer, named as in BERT."""

    def __init__(self, config: LangCellTextConfig, source_size: int):
        super().__init__()
        self.self = LangCellAttentionHeads(config, source_size)
        self.output = BertSelfOutput(config)

    def forward(
        self, states: Tensor, keys_values: KeysValues, mask: Tensor | None, weights: Weights | None = None
    ) -> Tensor:
        """Attend and add; shapes as in LangCellAttentionHeads. `weights` gets the attention weights."""
        context, found = self.self(states, keys_values, mask)
        if weights is not None:
            weights.append(found)
        return self.output(context, states)


class LangCellTextLayer(GradientCheckpointingLayer):
    """Self-attention, optional cross-attention to cells, feed-forward."""

    def __init__(self, config: LangCellTextConfig, cell_hidden_size: int, has_cross_attention: bool):
        super().__init__()
        self.attention = LangCellTextAttention(config, config.hidden_size)
        self.crossattention = LangCellTextAttention(config, cell_hidden_size) if has_cross_attention else None
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def attend_to_text(
        self, states: Tensor, mask: Tensor | None, first_position_only: bool = False, weights: Weights | None = None
    ) -> Tensor:
        """Attend within texts; with `first_position_only` only position 0 asks, and all positions answer."""
        keys_values = self.attention.self.keys_values(states)
        return self.attention(states[:, :1] if first_position_only else states, keys_values, mask, weights)

    def attend_to_cell(
        self, states: Tensor, keys_values: KeysValues, cell_mask: Tensor | None, weights: Weights | None = None
    ) -> Tensor:
        """Let pairs (cells * texts, tokens, hidden) attend to (cells, ...) keys and values.

        The texts of one cell stand side by side on the query axis: queries do not see one another, so one call serves
        all texts of a cell.
        """
        assert self.crossattention is not None, "a layer below cross_attention_start was asked to read a cell"
        by_cell = states.reshape(keys_values[0].shape[0], -1, states.shape[-1])
        return self.crossattention(by_cell, keys_values, cell_mask, weights).view_as(states)

    def feed_forward(self, states: Tensor) -> Tensor:
        """Apply the feed-forward part, the layer's last."""
        return self.output(self.intermediate(states), states)

    def forward(
        self,
        states: Tensor,
        mask: Tensor | None,
        cell_keys: Tensor | None = None,
        cell_values: Tensor | None = None,
        cell_mask: Tensor | None = None,
        first_position_only: bool = False,
        weights: Weights | None = None,
    ) -> Tensor:
        """Map (pairs, tokens, hidden) -> the same, or (pairs, 1, hidden) with `first_position_only`.

        `weights` gets the weights of the self-attention and, where a cell is read, those of the cross-attention.
        """
        # Keys and values are two arguments, because reentrant checkpointing sees no tensor inside a tuple.
        states = self.attend_to_text(states, mask, first_position_only, weights)
        if cell_keys is not None and cell_values is not None:
            states = self.attend_to_cell(states, (cell_keys, cell_values), cell_mask, weights)
        return self.feed_forward(states)


class LangCellPreTrainedModel(PreTrainedModel):
    """Weight initialization and loading shared by all LangCell models."""

    config: LangCellConfig
    config_class = LangCellConfig
    base_model_prefix = "langcell"
    main_input_name = "cell_input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _no_split_modules = ["BertLayer", "LangCellTextLayer"]  # noqa: RUF012 (transformers' own idiom)
    # For transformers' Trainer: losses are means over a batch, whatever `**kwargs` looks like.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Fill new weights; transformers fills those of known layers, but no parameter that stands by itself."""
        super()._init_weights(module)
        if isinstance(module, LangCellMaskedGeneHead):
            init.zeros_(module.bias)

    def _asked(self, options: Any) -> _Asked:
        """Return what a call asks for. Options that are None, which peft gives for all that it could, are left out.

        Raises:
            TypeError: one is unknown.
            ValueError: attention weights are asked of an implementation of attention that has none.
        """
        given = {name: value for name, value in options.items() if value is not None}
        known = OutputOptions.__annotations__
        if unknown := [name for name in given if name not in known]:
            own = [name for name in inspect.signature(type(self).forward).parameters if name not in ("self", "options")]
            raise TypeError(
                f"{type(self).__name__} takes no {unknown[0]!r}; legal are {', '.join(own)}, {', '.join(known)}."
            )
        asked = _Asked(*(given.get(name, getattr(self.config, name)) for name in known))
        parts = self.modules() if asked.attentions else ()
        if any(isinstance(part, PreTrainedModel) and part.config._attn_implementation != "eager" for part in parts):
            raise ValueError(
                "output_attentions needs 'eager' attention; load the model with attn_implementation='eager', or call "
                "model.set_attn_implementation('eager') first."
            )
        return asked

    def _encode_cells(self, ids: Tensor, mask: Tensor | None, asked: _Asked) -> BaseModelOutput:
        """Run the cell encoder of a model that has one."""
        encoded = cast(PreTrainedModel, self.cell_encoder)(
            input_ids=ids,
            attention_mask=mask,
            output_attentions=asked.attentions,
            output_hidden_states=asked.layers is not False,
            return_dict=True,
        )
        hidden_states: Any = _chosen_states(encoded.hidden_states, asked.layers)
        return BaseModelOutput(encoded.last_hidden_state, hidden_states, encoded.attentions)


class LangCellTextEncoder(LangCellPreTrainedModel):
    """BERT over words that can read a cell.

    Args:
        config: LangCellTextConfig.
        cell_hidden_size: width of the cell encoder's states.
    """

    config: LangCellTextConfig
    config_class = LangCellTextConfig
    main_input_name = "input_ids"

    def __init__(self, config: LangCellTextConfig, cell_hidden_size: int):
        super().__init__(config)
        self.embeddings = LangCellTextEmbeddings(config)
        self.layer = nn.ModuleList(
            LangCellTextLayer(config, cell_hidden_size, index >= config.cross_attention_start)
            for index in range(config.num_hidden_layers)
        )
        self.gradient_checkpointing = False
        self.post_init()

    @property
    def _typed_layers(self) -> Sequence[LangCellTextLayer]:
        """The layers as what they are; nn.ModuleList only says that they are modules."""
        return cast(Sequence[LangCellTextLayer], self.layer)

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = value

    def cell_keys_values(self, cell_states: Tensor) -> list[KeysValues]:
        """Return the keys and values of every cross-attention layer, computed once per cell.

        Args:
            cell_states: shape (cells, genes, cell hidden).
        """
        return [
            layer.crossattention.self.keys_values(cell_states)
            for layer in self._typed_layers
            if layer.crossattention is not None
        ]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cell_states: Tensor | None = None,
        cell_attention_mask: Tensor | None = None,
        **options: Unpack[OutputOptions],
    ) -> BaseModelOutputWithCrossAttentions | tuple[Any, ...]:
        """Return all states of all texts; with `cell_states` (texts, genes, cell hidden), text i reads cell i."""
        asked = self._asked(options)
        states = self.embeddings(input_ids)
        hidden_states = [states]
        attentions: Weights = []
        cross_attentions: Weights = []
        keys_values = iter(self.cell_keys_values(cell_states) if cell_states is not None else ())
        for layer in self._typed_layers:
            reads_cell = cell_states is not None and layer.crossattention is not None
            keys, values = next(keys_values) if reads_cell else (None, None)
            weights: Weights = []
            kept = weights if asked.attentions else None
            states = layer(states, attention_mask, keys, values, cell_attention_mask, False, kept)
            hidden_states.append(states)
            attentions += weights[:1]
            cross_attentions += weights[1:]
        output = BaseModelOutputWithCrossAttentions(
            last_hidden_state=states,
            hidden_states=cast(Any, _chosen_states(hidden_states, asked.layers)),
            attentions=cast(Any, tuple(attentions) or None),
            cross_attentions=cast(Any, tuple(cross_attentions) or None),
        )
        return output if asked.as_dict else output.to_tuple()

    def states_before_cell(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Return what depends on the text alone: all up to the first cross-attention; (texts, tokens, hidden)."""
        states = self.embeddings(input_ids)
        for layer in self.layer[: self.config.cross_attention_start]:
            states = layer(states, attention_mask)
        first = self._typed_layers[self.config.cross_attention_start]
        only_layer = self.config.cross_attention_start == len(self.layer) - 1
        return first.attend_to_text(states, attention_mask, first_position_only=only_layer)

    def read_cells(
        self,
        text_states: Tensor,
        attention_mask: Tensor | None,
        keys_values: Sequence[KeysValues],
        cell_attention_mask: Tensor | None,
    ) -> Tensor:
        """Return the position 0 of the last layer for pairs of cells and texts, from shared parts.

        Args:
            text_states: from `states_before_cell`, (pairs, tokens, hidden); the pairs of one cell stand together, and
                every cell has the same number of them.
            attention_mask: (pairs, tokens).
            keys_values: from `cell_keys_values`, for the cells.
            cell_attention_mask: (cells, genes).

        Returns:
            (pairs, hidden).
        """
        first, *others = self._typed_layers[self.config.cross_attention_start :]
        states = first.feed_forward(first.attend_to_cell(text_states, keys_values[0], cell_attention_mask))
        for layer, layer_keys_values in zip(others, keys_values[1:], strict=True):
            # Only position 0 of the last layer is read.
            states = layer(states, attention_mask, *layer_keys_values, cell_attention_mask, layer is others[-1])
        return states[:, 0]


class LangCellModel(LangCellPreTrainedModel):
    """Cell encoder, text encoder, both projections and the matching head."""

    # The heads of other LangCell classes may stand in the same checkpoint.
    _keys_to_ignore_on_load_unexpected = [r"^masked_gene_head\.", r"^classifier\."]  # noqa: RUF012

    def __init__(self, config: LangCellConfig):
        super().__init__(config)
        cell, text = config.cell_config, config.text_config
        # The configuration has every field that BertModel reads.
        self.cell_encoder = BertModel(cell, add_pooling_layer=False)  # pyright: ignore[reportArgumentType]
        self.text_encoder = LangCellTextEncoder(text, cell.hidden_size)
        self.cell_projection = nn.Linear(cell.hidden_size, config.projection_dim)
        self.text_projection = nn.Linear(text.hidden_size, config.projection_dim)
        self.match_head = nn.Linear(text.hidden_size, 2)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the text encoder's word embeddings: the ones that `resize_token_embeddings` is about."""
        return self.text_encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the text encoder's word embeddings."""
        self.text_encoder.set_input_embeddings(value)

    def get_cell_states(self, cell_input_ids: Tensor, cell_attention_mask: Tensor | None = None) -> Tensor:
        """Return the last states of the cell encoder, (cells, genes, cell hidden)."""
        return self.cell_encoder(input_ids=cell_input_ids, attention_mask=cell_attention_mask).last_hidden_state

    def pool_cells(self, cell_states: Tensor, cell_attention_mask: Tensor | None) -> Tensor:
        """Return one vector for each cell, (cells, cell hidden), read from the states as the cell config says."""
        return _pool(cell_states, cell_attention_mask, self.config.cell_config.pooling)

    def project_cells(self, cell_states: Tensor, cell_attention_mask: Tensor | None) -> Tensor:
        """Return cell embeddings, unit length, (cells, projection_dim)."""
        return F.normalize(self.cell_projection(self.pool_cells(cell_states, cell_attention_mask)), dim=-1)

    def pool_texts(self, text_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return one vector for each text, (texts, text hidden), read from the states as the text config says."""
        return _pool(text_states, attention_mask, self.config.text_config.pooling)

    def project_texts(self, text_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the text embeddings, unit length, (texts, projection_dim)."""
        return F.normalize(self.text_projection(self.pool_texts(text_states, attention_mask)), dim=-1)

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Write configuration, weights and code, and what tells sentence-transformers which module this is."""
        super().save_pretrained(save_directory, *args, **kwargs)
        Path(save_directory, "modules.json").write_text(json.dumps(_SENTENCE_MODULES, indent=2) + "\n")
        # sentence-transformers writes this file before the model, and without the requirements.
        settings = Path(save_directory, "config_sentence_transformers.json")
        found = json.loads(settings.read_text()) if settings.is_file() else {"model_type": "SentenceTransformer"}
        content = found | {"requirements": _SENTENCE_REQUIREMENTS}
        settings.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

    def get_cell_features(
        self, cell_input_ids: Tensor, cell_attention_mask: Tensor | None = None, **options: Unpack[OutputOptions]
    ) -> Any:
        """Return cell embeddings of unit length.

        Args:
            cell_input_ids: ranked gene ids, (cells, genes).
            cell_attention_mask: 1 for genes, 0 for padding, (cells, genes).
            options: `OutputOptions`.

        Returns:
            A `BaseModelOutputWithPooling`, whose `pooler_output` are the embeddings, (cells, projection_dim), if any of
            the options is given or the configuration asks for more; otherwise the embeddings alone in this release, and
            from the next one on the same.

        >>> import langcell
        >>> loaded = langcell.load("langcell-mini", device="cpu")
        >>> counts = [[9, 4, 2], [1, 0, 7]]
        >>> batch = loaded.processor(cells=counts, gene_names=["MS4A1", "CD79A", "CD74"], return_tensors="pt")
        >>> loaded.model.get_cell_features(**batch, return_dict=True).pooler_output.shape
        torch.Size([2, 256])
        """
        asked = self._asked(options)
        encoded = self._encode_cells(cell_input_ids, cell_attention_mask, asked)
        embeds = self.project_cells(cast(Tensor, encoded.last_hidden_state), cell_attention_mask)
        return _features("get_cell_features", encoded, embeds, asked, options)

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Unpack[OutputOptions]
    ) -> Any:
        """Return text embeddings of unit length.

        Args:
            input_ids: token ids, (texts, tokens).
            attention_mask: 1 for tokens, 0 for padding, (texts, tokens).
            options: `OutputOptions`.

        Returns:
            As `get_cell_features`, for texts.

        >>> import langcell
        >>> loaded = langcell.load("langcell-mini", device="cpu")
        >>> batch = loaded.processor(text=["B cell", "natural killer cell"], return_tensors="pt")
        >>> embeds = loaded.model.get_text_features(**batch, return_dict=True).pooler_output
        >>> embeds.shape, [round(length, 3) for length in embeds.norm(dim=-1).tolist()]
        (torch.Size([2, 256]), [1.0, 1.0])
        """
        asked = self._asked(options)
        encoded = self._encode_texts(input_ids, attention_mask, asked)
        embeds = self.project_texts(cast(Tensor, encoded.last_hidden_state), attention_mask)
        return _features("get_text_features", encoded, embeds, asked, options)

    def _encode_texts(self, ids: Tensor, mask: Tensor | None, asked: _Asked) -> BaseModelOutput:
        """Run the text encoder without cells."""
        options = {"output_attentions": asked.attentions, "output_hidden_states": asked.layers, "return_dict": True}
        return self.text_encoder(ids, mask, **options)

    def match(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        cell_states: Tensor,
        cell_attention_mask: Tensor | None,
        cell_index: Tensor | None = None,
        text_index: Tensor | None = None,
    ) -> Tensor:
        """Match logits of chosen pairs.

        Args:
            input_ids: distinct texts, (texts, tokens).
            attention_mask: (texts, tokens).
            cell_states: distinct cells, (cells, genes, cell hidden).
            cell_attention_mask: (cells, genes).
            cell_index: cell of each pair, (pairs,); the p-th cell when None.
            text_index: text of each pair, (pairs,); the p-th text when None.

        Returns:
            (pairs, 2); class 1 is "the text describes the cell".

        >>> import langcell
        >>> loaded = langcell.load("langcell-mini", device="cpu")
        >>> cells = loaded.processor(cells=[[9, 4, 2]], gene_names=["MS4A1", "CD79A", "CD74"], return_tensors="pt")
        >>> texts = loaded.processor(text=["B cell", "natural killer cell"], return_tensors="pt")
        >>> states = loaded.model.get_cell_states(**cells)
        >>> one_cell, both_texts = torch.tensor([0, 0]), torch.tensor([0, 1])
        >>> logits = loaded.model.match(**texts, cell_states=states,
        ...     cell_attention_mask=cells["cell_attention_mask"], cell_index=one_cell, text_index=both_texts)
        >>> b_cell, killer_cell = logits.softmax(-1)[:, 1].tolist()
        >>> b_cell > killer_cell
        True
        """
        text_states = self.text_encoder.states_before_cell(input_ids, attention_mask)
        keys_values = self.text_encoder.cell_keys_values(cell_states)
        if text_index is not None:
            text_states = text_states[text_index]
            attention_mask = attention_mask[text_index] if attention_mask is not None else None
        if cell_index is not None:
            keys_values = [(keys[cell_index], values[cell_index]) for keys, values in keys_values]
            cell_attention_mask = cell_attention_mask[cell_index] if cell_attention_mask is not None else None
        return self.match_head(
            self.text_encoder.read_cells(text_states, attention_mask, keys_values, cell_attention_mask)
        )

    def match_all(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        cell_states: Tensor,
        cell_attention_mask: Tensor | None,
    ) -> Tensor:
        """Match logits of every cell with every text, (cells, texts, 2); arguments as in `match`."""
        n_cells, n_texts = len(cell_states), len(input_ids)
        text_states = self.text_encoder.states_before_cell(input_ids, attention_mask)
        pairs = self.text_encoder.read_cells(
            text_states.repeat(n_cells, 1, 1),
            attention_mask.repeat(n_cells, 1) if attention_mask is not None else None,
            self.text_encoder.cell_keys_values(cell_states),
            cell_attention_mask,
        )
        return self.match_head(pairs).view(n_cells, n_texts, 2)

    def forward(
        self,
        cell_input_ids: Tensor | None = None,
        cell_attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_match_logits: bool = False,
        **options: Unpack[OutputOptions],
    ) -> LangCellOutput | tuple[Any, ...]:
        """Embed cells and texts and compare them.

        Args:
            cell_input_ids: ranked gene ids, (cells, genes).
            cell_attention_mask: (cells, genes).
            input_ids: token ids, (texts, tokens).
            attention_mask: (texts, tokens).
            return_match_logits: also let every text read every cell.
            options: `OutputOptions`.

        Raises:
            ValueError: neither cells nor texts are given, the match is asked for without both, or attention weights are
                asked of an attention that has none.
            TypeError: an option is unknown.
        """
        if cell_input_ids is None and input_ids is None:
            raise ValueError(f"{type(self).__name__} got neither cell_input_ids nor input_ids; give at least one.")
        if return_match_logits and (cell_input_ids is None or input_ids is None):
            raise ValueError("return_match_logits needs both cell_input_ids and input_ids.")
        asked = self._asked(options)
        cells = texts = cell_embeds = text_embeds = logits = match_logits = None
        if cell_input_ids is not None:
            cells = self._encode_cells(cell_input_ids, cell_attention_mask, asked)
            cell_embeds = self.project_cells(cast(Tensor, cells.last_hidden_state), cell_attention_mask)
        if input_ids is not None:
            texts = self._encode_texts(input_ids, attention_mask, asked)
            text_embeds = self.project_texts(cast(Tensor, texts.last_hidden_state), attention_mask)
        if cell_embeds is not None and text_embeds is not None:
            logits = cell_embeds @ text_embeds.T / self.config.logit_temperature
        if return_match_logits and cells is not None and input_ids is not None:
            states = cast(Tensor, cells.last_hidden_state)
            match_logits = self.match_all(input_ids, attention_mask, states, cell_attention_mask)
        # In one call: what is set later would stand behind, whatever the order of the fields.
        output = LangCellOutput(
            logits_per_cell=logits,
            logits_per_text=logits.T if logits is not None else None,
            cell_embeds=cell_embeds,
            text_embeds=text_embeds,
            match_logits=match_logits,
            cell_model_output=cells,
            text_model_output=texts,
        )
        return output if asked.as_dict else output.to_tuple()


class LangCellMaskedGeneHead(nn.Module):
    """States -> one logit a gene; the output weights are the gene embeddings themselves."""

    def __init__(self, config: Any):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: Tensor, gene_embeddings: Tensor) -> Tensor:
        """Map (..., hidden) -> (..., vocabulary)."""
        return F.linear(self.LayerNorm(self.activation(self.dense(states))), gene_embeddings, self.bias)


class LangCellForPreTraining(LangCellModel):
    """LangCellModel with the masked-gene head.

    A call gives the loss of hidden genes where it gets `labels`, as BertForMaskedLM does. The contrastive losses and
    that of the match need the cells of all devices and negatives: they live with the training code.
    """

    _keys_to_ignore_on_load_unexpected = [r"^classifier\."]  # noqa: RUF012

    def __init__(self, config: LangCellConfig):
        super().__init__(config)
        self.masked_gene_head = LangCellMaskedGeneHead(config.cell_config)
        self.post_init()

    def masked_gene_logits(self, states: Tensor) -> Tensor:
        """Map (..., cell hidden) -> (..., gene vocabulary); pass only the masked positions."""
        table = cast(nn.Embedding, self.cell_encoder.embeddings.word_embeddings)
        if not table.weight.is_meta:
            return self.masked_gene_head(states, table.weight)
        # Offloaded by accelerate, which brings weights into memory for the call of their own module alone.
        return self.masked_gene_head(states, table(torch.arange(table.num_embeddings, device=states.device)))

    def forward(
        self,
        cell_input_ids: Tensor | None = None,
        cell_attention_mask: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_masked_gene_logits: bool = False,
        return_match_logits: bool = False,
        labels: Tensor | None = None,
        **options: Unpack[OutputOptions],
    ) -> LangCellOutput | tuple[Any, ...]:
        """Return the same as `LangCellModel.forward`, and more on request.

        `return_masked_gene_logits` adds (cells, genes, vocabulary) logits. `labels` add a loss: (cells, genes), the ids
        of the genes that are hidden in `cell_input_ids`, and -100 everywhere else; the loss is the mean cross-entropy
        over them, 0 where none is hidden.

        Raises:
            ValueError: also where there is not one label for each gene.
        """
        if cell_input_ids is None and (return_masked_gene_logits or labels is not None):
            raise ValueError("return_masked_gene_logits and labels need cell_input_ids.")
        inputs = (cell_input_ids, cell_attention_mask, input_ids, attention_mask, return_match_logits)
        full: Any = super().forward(*inputs, **{**options, "return_dict": True})
        added = {}
        if labels is not None:
            added["loss"] = self._masked_gene_loss(full.cell_model_output.last_hidden_state, labels)
        if return_masked_gene_logits:
            added["masked_gene_logits"] = self.masked_gene_logits(full.cell_model_output.last_hidden_state)
        output = LangCellOutput(**{**full, **added})
        return output if self._asked(options).as_dict else output.to_tuple()

    def _masked_gene_loss(self, states: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the labelled genes, 0-dimensional; states (cells, genes, hidden).

        Raises:
            ValueError: there is not one label for each gene.
        """
        if labels.shape != states.shape[:2]:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, cell_input_ids {tuple(states.shape[:2])}; give for each "
                f"gene the id that is hidden there, or {IGNORED_LABEL}."
            )
        hidden = labels != IGNORED_LABEL
        logits = self.masked_gene_logits(states[hidden])
        return F.cross_entropy(logits.float(), labels[hidden], reduction="sum") / hidden.sum().clamp(min=1)


class LangCellForCellClassification(LangCellPreTrainedModel):
    """The cell encoder with a classification head on its pooled states (LangCell-CE in the paper)."""

    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012
        r"^text_encoder\.",
        r"^cell_projection\.",
        r"^text_projection\.",
        r"^match_head\.",
        r"^masked_gene_head\.",
    ]

    def __init__(self, config: LangCellConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        cell = config.cell_config
        self.cell_encoder = BertModel(cell, add_pooling_layer=False)  # pyright: ignore[reportArgumentType]
        self.dropout = nn.Dropout(cell.hidden_dropout_prob)
        self.classifier = nn.Linear(cell.hidden_size, cast(int, config.num_labels))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the gene embeddings."""
        return self.cell_encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the gene embeddings."""
        self.cell_encoder.set_input_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Return the same as in any transformers model; here the tokens are genes."""
        # transformers writes the new size into the text config, which this model does not use.
        n_words = self.config.text_config.vocab_size
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        self.config.text_config.vocab_size = n_words
        self.config.cell_config.vocab_size = embeddings.num_embeddings
        return embeddings

    def forward(
        self,
        cell_input_ids: Tensor,
        cell_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Unpack[OutputOptions],
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Classify cells.

        Args:
            cell_input_ids: ranked gene ids, (cells, genes).
            cell_attention_mask: (cells, genes).
            labels: what adds the loss of `config.problem_type`: class indices, (cells,), for
                "single_label_classification" (cross-entropy); 0 and 1, (cells, num_labels), for
                "multi_label_classification" (binary cross-entropy); numbers, (cells,) or (cells, num_labels), for
                "regression" (mean squared error). Without a problem type, num_labels=1 means a regression, otherwise
                whole numbers mean one class and others several; the first loss writes it into the configuration.
            options: `OutputOptions`.

        Returns:
            `logits` (cells, num_labels); before them, with labels, `loss`.

        Raises:
            ValueError: labels do not fit, or attention weights are asked of an attention that has none.
            TypeError: an option is unknown.
        """
        asked = self._asked(options)
        encoded = self._encode_cells(cell_input_ids, cell_attention_mask, asked)
        states = cast(Tensor, encoded.last_hidden_state)
        pooled = _pool(states, cell_attention_mask, self.config.cell_config.pooling)
        logits = self.classifier(self.dropout(pooled))
        output = SequenceClassifierOutput(
            loss=_classification_loss(logits, labels, self.config) if labels is not None else None,
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return output if asked.as_dict else output.to_tuple()


def _classification_loss(logits: Tensor, labels: Tensor, config: LangCellConfig) -> Tensor:
    """Return the loss that transformers has for a problem type, 0-dimensional.

    Raises:
        ValueError: there is no such problem type, labels of classes are no whole numbers, or there are more or fewer
            labels than the problem type asks for.
    """
    kind, is_one_number = config.problem_type, config.num_labels == 1
    if kind not in (None, *_PROBLEM_TYPES):
        raise ValueError(f"problem_type is {kind!r}; legal are {', '.join(map(repr, _PROBLEM_TYPES))} and None.")
    is_class = kind == _ONE_CLASS or (kind is None and not is_one_number and not labels.is_floating_point())
    takes = "one class" if is_class else "one number" if is_one_number else f"{config.num_labels} numbers"
    fits = labels.numel() == len(logits) if is_class or is_one_number else labels.shape == logits.shape
    if not fits or (is_class and labels.is_floating_point()):
        raise ValueError(
            f"labels have shape {tuple(labels.shape)} and {labels.dtype} for {len(logits)} cells; this model takes "
            f"{takes} for each cell{', a whole number' if is_class else ''} (problem_type {kind!r}, num_labels "
            f"{config.num_labels})."
        )
    # In the shape and the type that transformers computes with; it makes neither of them.
    labels = labels.reshape(-1).long() if is_class else labels.reshape(logits.shape).to(logits.dtype)
    return ForSequenceClassificationLoss(labels, logits, config)


def _features(method: str, encoded: BaseModelOutput, embeds: Tensor, asked: _Asked, options: OutputOptions) -> Any:
    """Return what `get_cell_features` and `get_text_features` return."""
    if asked == _Asked(False, False, True) and all(value is None for value in options.values()):
        warnings.warn(
            f"{method} returns the embeddings alone in this release; from the next one on they are the pooler_output "
            "of what it returns, as in transformers 5, and with return_dict=True they are so now.",
            FutureWarning,
            stacklevel=3,
        )
        return embeds
    output = BaseModelOutputWithPooling(
        last_hidden_state=encoded.last_hidden_state,
        pooler_output=cast(Any, embeds),
        hidden_states=encoded.hidden_states,
        attentions=encoded.attentions,
    )
    return output if asked.as_dict else output.to_tuple()


LangCellModel.register_for_auto_class("AutoModel")
LangCellForPreTraining.register_for_auto_class("AutoModelForPreTraining")
LangCellForCellClassification.register_for_auto_class("AutoModelForSequenceClassification")
