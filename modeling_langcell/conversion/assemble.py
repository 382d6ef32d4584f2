"""A new LangCell from parts: a gene vocabulary, a cell encoder (fresh or pretrained) and a pretrained BERT for text."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from langcell.configuration_langcell import LangCellConfig
from langcell.conversion.bert_parts import (
    TEXT_TABLE,
    BertPart,
    add_cls_row,
    first_cross_attention,
    fold_token_types,
    locate_checkpoint,
    read_cell_encoder,
    read_text_encoder,
)
from langcell.conversion.tensor_names import require_all
from langcell.loading.weight_files import Tensors
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import GeneVocabulary
from langcell.processing.processing_langcell import LangCellProcessor

logger = logging.getLogger(__name__)

_CROSS_ATTENTION = ".crossattention."
_MASKED_GENE_HEAD = "masked_gene_head."


def new_langcell(
    vocabulary: GeneVocabulary,
    text_tower: str | Path,
    *,
    cell_config: dict[str, Any] | None = None,
    cell_tower: str | Path | None = None,
    text_config: dict[str, Any] | None = None,
    keep_words_of: Iterable[str] | None = None,
    seed: int = 0,
    **config: Any,
) -> tuple[LangCellForPreTraining, LangCellProcessor]:
    """Put a model together that pre-training can start from.

    The text encoder gets the weights of `text_tower`, the cell encoder those of `cell_tower` if it is given, with its
    masked-gene head if it has one. Everything else is fresh (drawn with `seed`) and named in the log.

    Args:
        vocabulary: genes of the cell encoder.
        text_tower: folder or Hub id of a BERT; its cross-attention is taken over if it has one.
        cell_config: sizes of the cell encoder (fields of LangCellCellConfig; vocab_size is the vocabulary's); with a
            `cell_tower`, changes to its configuration.
        cell_tower: folder or Hub id of a BERT over genes, such as Geneformer V1; `<cls>` is added if it has none.
        text_config: changes to the text encoder's configuration, such as {"pooling": "mean"}.
        keep_words_of: texts; word pieces that none of them uses are dropped from the text encoder.
        seed: random seed of the fresh weights.
        config: further fields of LangCellConfig.

    Returns:
        The model and its processor.

    Raises:
        ValueError: neither cell_config nor cell_tower is given, or a tower does not fit LangCell or the vocabulary.
    """
    if cell_config is None and cell_tower is None:
        raise ValueError("new_langcell needs a cell encoder: give cell_config (a fresh one), cell_tower, or both.")
    text = read_text_encoder(locate_checkpoint(text_tower))
    tokenizer = AutoTokenizer.from_pretrained(text_tower)
    weights = fold_token_types(text.tensors)
    if keep_words_of is not None:
        tokenizer, kept = prune_word_pieces(tokenizer, keep_words_of)
        weights[TEXT_TABLE] = weights[TEXT_TABLE][kept]
    start = first_cross_attention(weights, text.config["num_hidden_layers"])
    text_fields = {**text.config, "vocab_size": len(weights[TEXT_TABLE]), "cross_attention_start": start or 0}
    cell_fields: dict[str, Any] = {"vocab_size": vocabulary.n_tokens}
    cell = None
    if cell_tower is not None:
        cell = read_cell_encoder(locate_checkpoint(cell_tower), masked_gene_head=True)
        add_cls_row(cell, vocabulary.n_tokens, seed=seed)
        cell_fields = cell.config
    torch.manual_seed(seed)
    model = LangCellForPreTraining(
        LangCellConfig(
            cell_config={**cell_fields, **(cell_config or {})},
            text_config={**text_fields, **(text_config or {})},
            vocabulary_fingerprint=vocabulary.fingerprint,
            **config,
        )
    )
    _load_towers(model, weights, text, cell)
    extractor = LangCellFeatureExtractor(vocabulary, max_length=model.config.cell_config.max_position_embeddings)
    max_text_length = model.config.text_config.max_position_embeddings
    return model, LangCellProcessor(extractor, tokenizer, max_text_length=max_text_length)


def _load_towers(model: LangCellForPreTraining, text_weights: Tensors, text: BertPart, cell: BertPart | None) -> None:
    """Load what the towers have; all of an encoder has to be there, but the cross-attention and the head."""
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    weights = dict(text_weights)
    _require_part(expected, "text_encoder.", text_weights, _CROSS_ATTENTION, text)
    if cell is not None:
        _require_part(expected, ("cell_encoder.", _MASKED_GENE_HEAD), cell.tensors, _MASKED_GENE_HEAD, cell)
        weights |= cell.tensors
    model.load_state_dict(weights, strict=False)
    fresh = expected.keys() - weights.keys()
    logger.info("Fresh weights: %s. The others come from the towers.", ", ".join(_groups(fresh)))


def _require_part(
    expected: dict[str, torch.Size], begin: str | tuple[str, ...], given: Tensors, optional: str, part: BertPart
) -> None:
    """Account for one tower; tensors whose name holds `optional` may be missing, but only all together."""
    has_optional = any(optional in name for name in given)
    wanted = {
        name: shape
        for name, shape in expected.items()
        if name.startswith(begin) and (has_optional or optional not in name)
    }
    require_all(given, wanted, unknown=part.unknown, what=f"The checkpoint {part.folder}")


def _groups(names: Iterable[str]) -> list[str]:
    """Names of tensors by the module that people know them by."""
    return sorted({"cross-attention" if _CROSS_ATTENTION in name else name.partition(".")[0] for name in names})


def prune_word_pieces(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]
) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """Drop the word pieces that no text uses.

    Single Latin and Greek characters stay, so every such word can still be written. WordPiece takes the longest piece
    that fits, so a word whose pieces are all kept is split as before.

    Args:
        tokenizer: a WordPiece tokenizer of the tokenizers library.
        texts: the texts that have to be split exactly as before.

    Returns:
        The smaller tokenizer and, for each of its ids, the id that the piece had before.
    """
    pieces: dict[str, int] = tokenizer.get_vocab()
    used = {piece_id for text in texts for piece_id in tokenizer(text, truncation=False).input_ids}
    kept = sorted(
        piece_id
        for piece, piece_id in pieces.items()
        if piece_id in used or piece_id in tokenizer.all_special_ids or _is_common_character(piece)
    )
    names = {piece_id: piece for piece, piece_id in pieces.items()}
    backend: Any = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    new_ids = {names[old]: new for new, old in enumerate(kept)}
    state["model"]["vocab"] = new_ids
    for token in state["added_tokens"]:
        token["id"] = new_ids[token["content"]]
    for special in (state.get("post_processor") or {}).get("special_tokens", {}).values():
        special["ids"] = [new_ids[token] for token in special["tokens"]]
    for end in ("sep", "cls"):  # BertProcessing keeps its two tokens as [text, id]
        if isinstance((state.get("post_processor") or {}).get(end), list):
            state["post_processor"][end][1] = new_ids[state["post_processor"][end][0]]
    backend = type(backend).from_str(json.dumps(state))
    specials = {
        name: getattr(tokenizer, name) for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    return PreTrainedTokenizerFast(tokenizer_object=backend, **specials), kept


def _is_common_character(piece: str) -> bool:
    character = piece.removeprefix("##")
    return len(character) == 1 and ord(character) < 0x400  # up to the end of Greek
