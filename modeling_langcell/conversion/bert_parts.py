"""The two BERT checkpoints that a LangCell can be made of, read from their files under LangCell's names."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig

from langcell.conversion.tensor_names import MASKED_GENE_HEAD, RELEASED_TO_LANGCELL, RenamedTensors, rename
from langcell.loading.hub_folders import folder_or_download
from langcell.loading.weight_files import Tensors, find_weights, read_config, read_tensors

logger = logging.getLogger(__name__)

CELL_TABLE = "cell_encoder.embeddings.word_embeddings.weight"
TEXT_TABLE = "text_encoder.embeddings.word_embeddings.weight"
MASKED_GENE_BIAS = "masked_gene_head.bias"
TEXT_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)
CELL_FIELDS = (*TEXT_FIELDS, "type_vocab_size")
_CHECKPOINT_FILES = ("config.json", "model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class BertPart:
    """One encoder of a checkpoint.

    Attributes:
        folder: where it was read.
        files: the files that were read.
        config: fields of LangCellCellConfig or LangCellTextConfig.
        tensors: float32, under LangCell's names.
        ignored: names of tensors without a place in LangCell, by a written-down list.
        unknown: names of tensors that nobody knows.
    """

    folder: Path
    files: tuple[Path, ...]
    config: dict[str, Any]
    tensors: Tensors
    ignored: list[str]
    unknown: list[str]


def read_cell_encoder(folder: Path, *, masked_gene_head: bool = False) -> BertPart:
    """Read a BERT over genes: the released `cell_bert`, or Geneformer V1.

    Args:
        folder: config.json and weights of a BertModel or a BertForMaskedLM.
        masked_gene_head: also take the head of a BertForMaskedLM, if it has one.

    Raises:
        ValueError: a file is missing or damaged, or it is no BERT with absolute positions.
    """
    table = {**RELEASED_TO_LANGCELL, **MASKED_GENE_HEAD} if masked_gene_head else RELEASED_TO_LANGCELL
    part = _read(folder, "cell_bert", CELL_FIELDS, table)
    part.config["vocab_size"] = len(_table_of(part, CELL_TABLE))
    return part


def read_text_encoder(folder: Path) -> BertPart:
    """Read a BERT over words, as it is: token types and cross-attention included if it has them.

    Raises:
        ValueError: as for `read_cell_encoder`.
    """
    part = _read(folder, "text_bert", TEXT_FIELDS, RELEASED_TO_LANGCELL)
    part.config["vocab_size"] = len(_table_of(part, TEXT_TABLE))
    return part


def fold_token_types(tensors: Tensors) -> Tensors:
    """Return a plain BERT's text tensors as LangCell has them, without token types.

    Text is always of type 0, so that row is added to every position embedding, which gives the same sums.
    """
    positions = "text_encoder.embeddings.position_embeddings.weight"
    folded = dict(tensors)
    token_types = folded.pop("text_encoder.embeddings.token_type_embeddings.weight", None)
    if token_types is not None and positions in folded:
        folded[positions] = folded[positions] + token_types[0]
    return folded


def add_cls_row(part: BertPart, n_tokens: int, *, seed: int) -> bool:
    """Make the gene table as long as the vocabulary, which has `<cls>` as its last row; whether one was added.

    Geneformer V1 knows no `<cls>`. The new row is drawn as BERT draws its embeddings, with `seed`.

    Raises:
        ValueError: the table belongs to another vocabulary.
    """
    table = part.tensors[CELL_TABLE]
    if len(table) == n_tokens:
        return False
    if len(table) != n_tokens - 1:
        raise ValueError(
            f"{part.folder} has {len(table):,} gene embeddings; the gene vocabulary has {n_tokens - 1:,} tokens, or "
            f"{n_tokens:,} with <cls>. Give the dictionaries that the checkpoint was trained with: Geneformer V1 has "
            "25,426 tokens, Geneformer V2 about 20,275."
        )
    drawn = torch.randn(1, table.shape[1], generator=torch.Generator().manual_seed(seed))
    part.tensors[CELL_TABLE] = torch.cat([table, drawn * part.config["initializer_range"]])
    if MASKED_GENE_BIAS in part.tensors:
        part.tensors[MASKED_GENE_BIAS] = torch.cat([part.tensors[MASKED_GENE_BIAS], torch.zeros(1)])
    part.config["vocab_size"] = n_tokens
    logger.info("%s has no row for <cls>: a fresh one was added (%s rows).", part.folder.name, f"{n_tokens:,}")
    return True


def first_cross_attention(tensors: Tensors, n_layers: int) -> int | None:
    """Return the first text layer that has cross-attention tensors; None if no layer has."""
    begins = tuple(f"text_encoder.layer.{layer}.crossattention." for layer in range(n_layers))
    return next((i for i, begin in enumerate(begins) if any(name.startswith(begin) for name in tensors)), None)


def locate_checkpoint(place: str | Path) -> Path:
    """Return the folder of a checkpoint given as a folder or a Hub id; see `folder_or_download`."""
    return folder_or_download(place, "the checkpoint", files=_CHECKPOINT_FILES)


def _read(folder: Path, part: str, fields: Sequence[str], table: dict[str, str]) -> BertPart:
    given, weights = read_config(folder), find_weights(folder)
    for name, needed in (("model_type", "bert"), ("position_embedding_type", "absolute")):
        if (given.get(name) or needed) != needed:
            raise ValueError(f"{folder} has {name} {given[name]!r}; LangCell's encoders need {needed!r}.")
    bert = BertConfig(**{name: given[name] for name in fields if name in given})
    renamed = rename(part, read_tensors(weights), table)
    if table is not RELEASED_TO_LANGCELL:
        _require_tied_head(renamed, folder)
    return BertPart(
        folder=folder,
        files=(folder / "config.json", weights),
        config={name: getattr(bert, name) for name in fields},
        tensors={name: _as_float32(tensor) for name, tensor in renamed.tensors.items()},
        ignored=sorted(renamed.ignored),
        unknown=renamed.unknown,
    )


def _require_tied_head(renamed: RenamedTensors, folder: Path) -> None:
    """LangCell's masked-gene head has no output weights of its own: they are the gene embeddings."""
    output = renamed.ignored.get("cell_bert/cls.predictions.decoder.weight")
    if output is not None and not torch.equal(output, renamed.tensors.get(CELL_TABLE, output)):
        raise ValueError(
            f"{folder} has a masked-gene head whose output weights differ from its gene embeddings; LangCell ties them."
        )


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _table_of(part: BertPart, name: str) -> Tensor:
    if name not in part.tensors:
        raise ValueError(f"{part.folder} has no word_embeddings; it is no BERT checkpoint.")
    return part.tensors[name]
