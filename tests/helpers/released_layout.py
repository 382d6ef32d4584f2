"""Checkpoints in the released LangCell's layout with random weights, of any size, and the files that go with them."""

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tiny import tiny_tokenizer
from transformers import BertConfig, BertForMaskedLM, BertModel

from langcell.processing.genes import GeneVocabulary

N_GENES = 50
TINY_CELL = {
    "vocab_size": N_GENES + 3,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_act": "relu",
    "max_position_embeddings": 64,
}
TINY_TEXT = {
    "vocab_size": len(tiny_tokenizer()) + 2,  # [DEC] and [ENC], as released
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 48,
}
FULL_CELL = {
    "vocab_size": 25427,
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "intermediate_size": 1024,
    "hidden_act": "relu",
    "max_position_embeddings": 2048,
}
FULL_TEXT = {"vocab_size": 30524}  # BERT's own sizes are PubMedBERT's


@dataclass
class ReleasedParts:
    """The five parts in memory; change them, then write them."""

    cell_config: dict[str, Any]
    text_config: dict[str, Any]
    tensors: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    def write(self, folder: Path, *, suffix: str = ".bin", prefix: str = "") -> Path:
        """Write the parts, every name of an encoder with `prefix`."""
        for part, tensors in self.tensors.items():
            path = folder / f"{part}{suffix}"
            if part.endswith("_bert"):
                (folder / part).mkdir(parents=True)
                config = self.cell_config if part == "cell_bert" else self.text_config
                (folder / part / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
                path = folder / part / {".bin": "pytorch_model.bin", ".safetensors": "model.safetensors"}[suffix]
                tensors = {prefix + name: tensor for name, tensor in tensors.items()}
            if suffix == ".bin":
                torch.save(tensors, path)
            else:
                save_file(tensors, path)
        return folder


def released_parts(
    cell: dict[str, Any] | None = None, text: dict[str, Any] | None = None, *, projection_dim: int = 8, seed: int = 0
) -> ReleasedParts:
    """Random weights: a plain BertModel, a BERT with cross-attention and without token types, and three Linears."""
    torch.manual_seed(seed)
    cell_config, text_config = BertConfig(**(cell or TINY_CELL)), BertConfig(**(text or TINY_TEXT))
    width, text_width = cell_config.hidden_size, text_config.hidden_size
    cell_tensors = BertModel(cell_config, add_pooling_layer=False).state_dict()
    text_tensors = BertModel(text_config, add_pooling_layer=False).state_dict()
    del text_tensors["embeddings.token_type_embeddings.weight"]
    for name, tensor in list(text_tensors.items()):
        if ".attention." in name:
            reads_cells = name.endswith(("self.key.weight", "self.value.weight"))
            shape = (text_width, width) if reads_cells else tensor.shape
            cross = torch.randn(shape) * 0.02 + float("LayerNorm.weight" in name)
            text_tensors[name.replace(".attention.", ".crossattention.")] = cross
    text_tensors["embeddings.position_ids"] = torch.arange(text_config.max_position_embeddings)[None]
    heads = {
        "cell_proj": (width, projection_dim),
        "text_proj": (text_width, projection_dim),
        "ctm_head": (text_width, 2),
    }
    tensors = {"cell_bert": dict(cell_tensors), "text_bert": dict(text_tensors)}
    tensors |= {part: dict(torch.nn.Linear(*sizes).state_dict()) for part, sizes in heads.items()}
    return ReleasedParts(cell or TINY_CELL, {**(text or TINY_TEXT), "encoder_width": width}, tensors)


def write_geneformer_v1(folder: Path, n_genes: int = N_GENES) -> dict[str, Path]:
    """Dictionaries of made-up genes in the layout of Geneformer V1: values are numpy scalars, as published."""
    genes = [f"ENSG{i:011d}" for i in range(1, n_genes + 1)]
    medians = np.random.default_rng(0).uniform(0.5, 8.0, n_genes)
    contents = {
        "token_dictionary": {"<pad>": 0, "<mask>": 1} | {gene: np.int16(i + 2) for i, gene in enumerate(genes)},
        "gene_medians": dict(zip(genes, medians, strict=True)),
        "gene_names": {f"GENE{i}": gene for i, gene in enumerate(genes, start=1)},
    }
    return {name: write_pickle(folder / f"{name}.pkl", content) for name, content in contents.items()}


def write_pickle(path: Path, content: Any, protocol: int = 4) -> Path:
    """Pickle `content`."""
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def write_geneformer_model(folder: Path, vocabulary: GeneVocabulary, *, with_cls: bool = False) -> BertForMaskedLM:
    """A random Geneformer V1: a BertForMaskedLM over genes, without `<cls>` unless asked for."""
    torch.manual_seed(1)
    model = BertForMaskedLM(BertConfig(**{**TINY_CELL, "vocab_size": vocabulary.n_tokens - (not with_cls)}))
    torch.nn.init.normal_(model.cls.predictions.bias)
    model.save_pretrained(folder)
    return model.eval()


def write_tokenizer(folder: Path) -> Path:
    """The tiny text tokenizer as a folder."""
    tiny_tokenizer().save_pretrained(folder)
    return folder
