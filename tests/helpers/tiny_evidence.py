"""A tiny model whose reference cells know three types, and cells of these types, made by code."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from tiny import MAX_CELL_LENGTH, N_GENES, tiny_model, tiny_processor, tiny_vocabulary

from langcell.loading.load import LoadedLangCell
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.rank_values import rank_encode
from langcell.processing.reference_cells import ReferenceCells

TYPES = {"B cell": "CL:0000236", "natural killer cell": "CL:0000623", "CD14-positive monocyte": "CL:0001054"}
MARKERS_PER_TYPE = 6
PROFILES_PER_TYPE = 20


def markers_of(label: str) -> list[str]:
    """Symbols of the genes that a type has more of than the others."""
    first = list(TYPES).index(label) * MARKERS_PER_TYPE
    return [f"GENE{i + 1}" for i in range(first, first + MARKERS_PER_TYPE)]


def typed_counts(labels: Sequence[str], *, seed: int = 0) -> sparse.csr_matrix:
    """Raw counts of cells of these types, shape (cells, genes)."""
    rng = np.random.default_rng(seed)
    rates = np.ones((len(labels), N_GENES)) * tiny_vocabulary().medians
    for row, label in enumerate(labels):
        first = list(TYPES).index(label) * MARKERS_PER_TYPE
        others = np.arange(len(TYPES) * MARKERS_PER_TYPE)
        rates[row, others] *= 0.05
        rates[row, first : first + MARKERS_PER_TYPE] *= 120
    return sparse.csr_matrix(rng.poisson(rates).astype(np.float32))


def typed_cells(cells_per_type: int = 20, *, seed: int = 0) -> AnnData:
    """Cells of the three types with their labels in obs["label"] and a cluster per type in obs["leiden"]."""
    labels = [label for label in TYPES for _ in range(cells_per_type)]
    obs = pd.DataFrame(
        {"label": labels, "leiden": [str(list(TYPES).index(label)) for label in labels]},
        index=pd.Index([f"cell{i}" for i in range(len(labels))]),
    )
    var = pd.DataFrame(index=pd.Index(tiny_vocabulary().gene_ids))
    return AnnData(typed_counts(labels, seed=seed), obs=obs, var=var)


def typed_reference(*, named: bool = True) -> ReferenceCells:
    """Reference cells of the three types, with names and ids or without."""
    labels = [label for label in TYPES for _ in range(PROFILES_PER_TYPE)]
    ranked = rank_encode(typed_counts(labels, seed=77), np.arange(N_GENES), tiny_vocabulary(), add_cls=False)
    texts = tuple(label.text for label in resolve_labels(list(TYPES.values())))
    of = np.array([list(TYPES).index(label) for label in labels])
    cells = ReferenceCells(ranked.token_ids, ranked.offsets, texts, of)
    names = tuple(f"Blood|{label}|{i}" for i, label in enumerate(labels))
    return replace(cells, names=names, types=tuple(TYPES.values())) if named else cells


def typed_model(reference: ReferenceCells | None = None) -> LoadedLangCell:
    """The tiny model with reference cells, or without."""
    processor = tiny_processor()
    processor.feature_extractor.reference_cells = reference
    assert processor.feature_extractor.max_length == MAX_CELL_LENGTH
    return LoadedLangCell(tiny_model(), processor, "tiny", "0123456789ab")
