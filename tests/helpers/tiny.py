"""A LangCell small enough for tests, made by code with fixed seeds; fresh processes import it too."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_matrix
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import GeneVocabulary
from langcell.processing.processing_langcell import LangCellProcessor
from langcell.processing.reference_cells import ReferenceCells

N_GENES = 40
MAX_CELL_LENGTH = 32
MAX_TEXT_LENGTH = 24
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "a", "b", "t", "nk", "cell", "cells", "type", "of", "the", "blood", "lymphocyte", "monocyte", "that", "makes",
    "antibodies", "kills", ":", ".", ",", ";", "##s", "##cyte", "lympho", "mono",
)  # fmt: skip
TEXTS = (
    "cell type: b cell. the lymphocyte that makes antibodies",
    "cell type: nk cell",
    "monocyte",
)


def tiny_vocabulary(n_genes: int = N_GENES, seed: int = 0) -> GeneVocabulary:
    """Genes ENSG00000000001, ... named GENE1, ... with medians between 0.5 and 8."""
    medians = np.random.default_rng(seed).uniform(0.5, 8.0, n_genes)
    return GeneVocabulary(
        gene_ids=[f"ENSG{i:011d}" for i in range(1, n_genes + 1)],
        medians=medians,
        symbols=[f"GENE{i}" for i in range(1, n_genes + 1)],
    )


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer with a few words and every letter."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = dict.fromkeys([*SPECIAL_TOKENS, *WORDS, *letters, *(f"##{letter}" for letter in letters)])
    word_piece = models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    tokenizer = Tokenizer(word_piece)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, SPECIAL_TOKENS, strict=True)))


def tiny_reference(n_cells: int = 60) -> ReferenceCells:
    """Reference cells of the tiny vocabulary."""
    extractor = LangCellFeatureExtractor(tiny_vocabulary(), max_length=MAX_CELL_LENGTH)
    ranked = extractor.encode(tiny_counts(n_cells, seed=99), tiny_gene_names(), max_length=1000)
    cells = [ranked[i][1:] for i in range(n_cells)]
    return ReferenceCells(
        np.concatenate(cells), np.cumsum([0, *map(len, cells)]), TEXTS, np.arange(n_cells) % len(TEXTS)
    )


def tiny_processor(*, reference: bool = False) -> LangCellProcessor:
    """Processor of the tiny vocabulary and tokenizer, with reference cells or without."""
    cells = tiny_reference() if reference else None
    extractor = LangCellFeatureExtractor(tiny_vocabulary(), max_length=MAX_CELL_LENGTH, reference_cells=cells)
    return LangCellProcessor(extractor, tiny_tokenizer(), max_text_length=MAX_TEXT_LENGTH)


def tiny_config(
    *, cell: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **config: Any
) -> LangCellConfig:
    """Configuration of the tiny model; `cell` and `text` change fields of the encoders."""
    vocabulary = tiny_vocabulary()
    cell_config = {
        "vocab_size": vocabulary.n_tokens,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": MAX_CELL_LENGTH,
    }
    text_config = {
        "vocab_size": len(tiny_tokenizer()),
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": MAX_TEXT_LENGTH,
        "cross_attention_start": 1,
    }
    return LangCellConfig(
        cell_config=cell_config | (cell or {}),
        text_config=text_config | (text or {}),
        **{"projection_dim": 8, "vocabulary_fingerprint": vocabulary.fingerprint, **config},
    )


def tiny_model(config: LangCellConfig | None = None, *, seed: int = 0) -> LangCellForPreTraining:
    """The tiny model in evaluation mode.

    All weights are drawn with a spread that lets every part of the model show in its outputs; with the usual small
    initial weights attention is nearly uniform and the biases are zero, so that many faults would not show.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = LangCellForPreTraining(config or tiny_config())
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.2)
    return model.eval()


def tiny_counts(n_cells: int = 5, *, seed: int = 0) -> csr_matrix:
    """Raw counts, (n_cells, N_GENES + 2), the last two columns being genes that the vocabulary lacks."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.4, 4.0, size=(n_cells, N_GENES + 2))
    return csr_matrix(rng.poisson(rates).astype(np.float32))


def tiny_gene_names() -> list[str]:
    """Names of the columns of `tiny_counts`: ids, ids with a version, symbols, and two unknown genes."""
    vocabulary = tiny_vocabulary()
    kinds = (lambda i: vocabulary.gene_ids[i], lambda i: f"{vocabulary.gene_ids[i]}.7", lambda i: vocabulary.symbols[i])
    return [*(str(kinds[i % 3](i)) for i in range(N_GENES)), "UNKNOWN1", "ENSG99999999999"]


def tiny_batch(n_cells: int = 5, texts: tuple[str, ...] = TEXTS, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Inputs of the tiny model as tensors; cells and texts of different lengths."""
    batch = tiny_processor()(
        cells=tiny_counts(n_cells, seed=seed), text=list(texts), gene_names=tiny_gene_names(), return_tensors="pt"
    )
    return dict(batch)


def without_weight(folder: str | Path, copy: str | Path, weight: str) -> Path:
    """Copy the folder of a model, but for one of its weights."""
    shutil.copytree(folder, copy)
    path = Path(copy) / "model.safetensors"
    weights = load_file(path)
    del weights[weight]
    save_file(weights, path, metadata={"format": "pt"})
    return Path(copy)


def save_tiny_folder(folder: str | Path, *, reference: bool = False, config: LangCellConfig | None = None) -> Path:
    """Write a complete Hub folder: weights, configuration, processor, tokenizer, gene vocabulary and code."""
    tiny_model(config).save_pretrained(folder)
    tiny_processor(reference=reference).save_pretrained(folder)
    return Path(folder)
