"""What `benchmarks/zero_shot.py` measures on: models, cells and label texts."""

from pathlib import Path

import numpy as np
import torch

from langcell.configuration_langcell import LangCellConfig
from langcell.loading.load import LoadedLangCell, load
from langcell.modeling_langcell import LangCellModel
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
from langcell.processing.genes import GeneVocabulary
from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.processing.processing_langcell import LangCellProcessor
from langcell.processing.rank_values import RankedCells, rank_encode

PAPER_GENES = 25_424  # with pad, mask and `<cls>`: the paper's 25,427 rows
LONGEST = 2048
# The spread of the random weights. With the usual 0.02 all labels of a cell get the same score, and the best of them
# would be a matter of rounding; with this one labels differ by as much as they do for trained weights.
WEIGHT_SPREAD = 0.06

BLOOD = (
    "CD4-positive, alpha-beta T cell",
    "CD8-positive, alpha-beta T cell",
    "B cell",
    "natural killer cell",
    "CD14-positive monocyte",
    "CD14-low, CD16-positive monocyte",
    "dendritic cell",
    "megakaryocyte",
)


def full_size_model(device: str, *, seed: int = 0) -> LoadedLangCell:
    """Return the released sizes (12 x 512 over genes, 2,048 positions; 12 x 768 over words) with random weights.

    Texts are tokenized by the bundled model's tokenizer, so that their lengths are real.
    """
    filler = [f"ENSG{90_000_000_000 + i}" for i in range(PAPER_GENES)]
    vocabulary = GeneVocabulary(filler, np.ones(PAPER_GENES), filler)
    cell = {"vocab_size": vocabulary.n_tokens, "initializer_range": WEIGHT_SPREAD, "max_position_embeddings": LONGEST}
    text = {"initializer_range": WEIGHT_SPREAD}
    torch.manual_seed(seed)
    config = LangCellConfig(cell_config=cell, text_config=text, vocabulary_fingerprint=vocabulary.fingerprint)
    sizes = [(part.num_hidden_layers, part.hidden_size) for part in (config.cell_config, config.text_config)]
    assert sizes == [(12, 512), (12, 768)], f"the default sizes are no longer the paper's: {sizes}"
    model = LangCellModel(config).eval().to(torch.device(device))
    extractor = LangCellFeatureExtractor(vocabulary, max_length=LONGEST)
    processor = LangCellProcessor(extractor, load(device="cpu").processor.tokenizer)
    return LoadedLangCell(model, processor, "full size, random weights", f"seed {seed}")


def full_size_cells(path: Path | None, n_cells: int, *, seed: int = 0) -> RankedCells:
    """Cells drawn from a file, every gene of it one of the vocabulary; without a file, random genes.

    The lengths of random cells are log-normal with median 820 and spread 0.35, about those of pbmc3k.
    """
    rng = np.random.default_rng(seed)
    if path is not None:
        genes = np.arange(PAPER_GENES)
        filler = GeneVocabulary([f"ENSG{90_000_000_000 + i}" for i in genes], np.ones(PAPER_GENES), [""] * PAPER_GENES)
        with open_cells(path) as source:
            index = np.arange(len(source.gene_names))
            rows = rng.choice(source.n_cells, n_cells, replace=n_cells > source.n_cells)
            chunks = [chunk.counts for chunk in source.chunks(source.n_cells)]
        return rank_encode(chunks[0][rows], index, filler, max_length=LONGEST)
    lengths = np.clip(rng.lognormal(np.log(820), 0.35, n_cells).astype(int), 200, LONGEST - 1)
    cells = [[PAPER_GENES + 2, *(2 + rng.choice(PAPER_GENES, length, replace=False))] for length in lengths]
    offsets = np.cumsum([0, *map(len, cells)])
    counts = np.ones(n_cells)
    return RankedCells(np.concatenate(cells).astype(np.uint16), offsets, lengths.astype(np.int64), counts, counts)


def chosen_cells(loaded: LoadedLangCell, path: Path, n_cells: int, *, seed: int = 0) -> RankedCells:
    """Cells drawn from a file, as the model reads them."""
    extractor = loaded.processor.feature_extractor
    with open_cells(path) as source:
        index = extractor.gene_index(source.gene_names, other_columns=source.gene_columns)
        rng = np.random.default_rng(seed)
        rows = rng.choice(source.n_cells, min(n_cells, source.n_cells), replace=False)
        chunks = [chunk.counts for chunk in source.chunks(source.n_cells)]
    return rank_encode(chunks[0][rows], index, extractor.vocabulary, max_length=extractor.max_length)


def label_texts(n_labels: int) -> list[Label]:
    """Eight types of blood cells, then types that the bundled model was trained on."""
    blood = resolve_labels(list(BLOOD))
    trained = resolve_labels(load(device="cpu").config.training_cell_types or [])
    known = {label.ontology_term_id for label in blood}
    labels = [*blood, *(label for label in trained if label.ontology_term_id not in known)]
    if n_labels > len(labels):
        raise ValueError(f"There are {len(labels)} labels; ask for that many at most, not {n_labels}.")
    return labels[:n_labels]
