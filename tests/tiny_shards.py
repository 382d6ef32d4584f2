"""Shard folders for the tests of training: cells of three types whose high genes differ."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tiny

# CD4-positive T cell is a descendant of T cell: their pairs are neither positive nor negative.
TYPES = ("CL:0000236", "CL:0000084", "CL:0000624", "CL:0000576")
TEXTS = ("b cell", "t cell of the blood", "t cell", "monocyte", "monocyte of the blood")
TYPE_OF_TEXT = (0, 1, 2, 3, 3)


def write_tiny_shards(folder: Path, *, n_cells: int = 180, n_parts: int = 3, seed: int = 0) -> Path:
    """Write `n_cells` cells of 5 to 20 ids in `n_parts` files, with five descriptions of four cell types."""
    folder.mkdir(parents=True)
    vocabulary = tiny.tiny_vocabulary()
    rng = np.random.default_rng(seed)
    for part, indices in enumerate(np.array_split(np.arange(n_cells), n_parts)):
        descriptions = rng.integers(0, len(TEXTS), len(indices))
        cells = [_cell(rng, TYPE_OF_TEXT[code], n_ids=int(rng.integers(5, 21))) for code in descriptions]
        table = {
            "input_ids": pa.array([[vocabulary.cls_token_id, *cell] for cell in cells], type=pa.list_(pa.uint16())),
            "length": pa.array([len(cell) + 1 for cell in cells], type=pa.int32()),
            "description_id": pa.array(descriptions, type=pa.int32()),
        }
        pq.write_table(pa.table(table), folder / f"part-{part:05d}.parquet")
    table = {
        "description_id": pa.array(range(len(TEXTS)), type=pa.int32()),
        "text": list(TEXTS),
        "cell_type_ontology_term_id": [TYPES[code] for code in TYPE_OF_TEXT],
    }
    pq.write_table(pa.table(table), folder / "descriptions.parquet")
    return folder


def _cell(rng: np.random.Generator, cell_type: int, *, n_ids: int) -> list[int]:
    """Distinct gene ids, those of the type's own ten genes mostly first."""
    weights = np.ones(tiny.N_GENES)
    weights[10 * cell_type : 10 * cell_type + 10] = 50.0
    return (2 + rng.choice(tiny.N_GENES, size=n_ids - 1, replace=False, p=weights / weights.sum())).tolist()
