"""Shard folders for the tests of training: cells of four types whose first genes differ."""

from pathlib import Path

import numpy as np
import tiny

from langcell.processing.rank_values import RankedCells
from langcell.processing.shards.writer import TEXT_COLUMNS, Description, ShardWriter

# T cell is an ancestor of CD4-positive T cell: their pairs are neither positive nor negative.
B_CELL, T_CELL, CD4_T_CELL, MONOCYTE = TYPES = ("CL:0000236", "CL:0000084", "CL:0000624", "CL:0000576")
DESCRIPTIONS = (
    Description("b cell", B_CELL),
    Description("t cell of the blood", T_CELL),
    Description("t cell", CD4_T_CELL),
    Description("monocyte", MONOCYTE),
    Description("monocyte of the blood", MONOCYTE),
)
UNLABELLED = (Description("", ""),)


def write_tiny_shards(
    folder: Path, *, n_cells: int = 180, cells_per_shard: int = 60, descriptions=DESCRIPTIONS, seed: int = 0
) -> Path:
    """Write cells of 5 to 20 ids."""
    rng = np.random.default_rng(seed)
    vocabulary = tiny.tiny_vocabulary()
    codes = rng.integers(0, len(descriptions), n_cells)
    cells = [_cell(rng, descriptions[code], n_genes=int(rng.integers(4, 20))) for code in codes]
    ids = [np.array([vocabulary.cls_token_id, *cell], dtype=np.uint16) for cell in cells]
    ranked = RankedCells(
        token_ids=np.concatenate(ids),
        offsets=np.cumsum([0, *map(len, ids)]),
        n_known_genes=np.array([len(cell) for cell in cells]),
        n_counts=np.ones(n_cells),
        n_known_counts=np.ones(n_cells),
    )
    columns = {name: np.full(n_cells, "", dtype=object) for name in TEXT_COLUMNS}
    options = {"descriptions": descriptions, "max_length": 20, "sources": [], "cells_per_shard": cells_per_shard}
    with ShardWriter(folder, vocabulary, **options) as writer:
        writer.add(ranked, codes, columns)
    return folder


def _cell(rng: np.random.Generator, description: Description, *, n_genes: int) -> np.ndarray:
    """Distinct gene ids, those of the type's own ten genes mostly first."""
    weights = np.ones(tiny.N_GENES)
    if description.cell_type_ontology_term_id:
        first = 10 * TYPES.index(description.cell_type_ontology_term_id)
        weights[first : first + 10] = 50.0
    return 2 + rng.choice(tiny.N_GENES, size=n_genes, replace=False, p=weights / weights.sum())
