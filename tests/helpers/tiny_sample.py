"""A tiny model that knows the genes of the sample of 700 blood cells."""

from pathlib import Path

import numpy as np
import scanpy as sc
from tiny import MAX_CELL_LENGTH, MAX_TEXT_LENGTH, tiny_config, tiny_model, tiny_tokenizer

from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import GeneVocabulary
from langcell.processing.processing_langcell import LangCellProcessor


def save_sample_model(folder: Path, *, training_cell_types: list[str] | None = None) -> Path:
    """Write a complete model folder; genes are known by their symbols."""
    symbols = list(sc.datasets.pbmc68k_reduced().raw.var_names)
    medians = np.random.default_rng(0).uniform(0.5, 8.0, len(symbols))
    vocabulary = GeneVocabulary([f"ENSG{i:011d}" for i in range(len(symbols))], medians, symbols)
    config = tiny_config(
        cell={"vocab_size": vocabulary.n_tokens},
        vocabulary_fingerprint=vocabulary.fingerprint,
        training_cell_types=training_cell_types or [],
    )
    tiny_model(config).save_pretrained(folder)
    extractor = LangCellFeatureExtractor(vocabulary, max_length=MAX_CELL_LENGTH)
    LangCellProcessor(extractor, tiny_tokenizer(), max_text_length=MAX_TEXT_LENGTH).save_pretrained(folder)
    return folder
