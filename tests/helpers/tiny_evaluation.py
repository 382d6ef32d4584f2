"""Thirty-six cells of three types in two batches, different enough to be told apart, for the evaluation tasks."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import tiny
from scipy.sparse import csr_matrix

TYPES = ("B cell", "T cell", "monocyte")
IDS = {"B cell": "CL:0000236", "T cell": "CL:0000084", "monocyte": "CL:0000576"}
CELLS_PER_TYPE = 12


def type_counts(*, seed: int = 0) -> tuple[csr_matrix, list[str]]:
    """Counts, each type with ten genes of its own that it expresses strongly, and the type of each cell."""
    rng = np.random.default_rng(seed)
    names = [name for name in TYPES for _ in range(CELLS_PER_TYPE)]
    rates = np.full((len(names), tiny.N_GENES + 2), 0.5)
    for row, name in enumerate(names):
        first = 12 * TYPES.index(name)
        rates[row, first : first + 10] = 8.0
    return csr_matrix(rng.poisson(rates).astype(np.float32)), names


def save_cells(path: Path, *, seed: int = 0) -> Path:
    """Write the cells with obs columns cell_type, cell_type_ontology_term_id, batch and disease."""
    counts, names = type_counts(seed=seed)
    obs = pd.DataFrame(
        {
            "cell_type": names,
            "cell_type_ontology_term_id": [IDS[name] for name in names],
            "batch": [f"run {i % 2}" for i in range(len(names))],
            "disease": ["normal" if i % 3 else "lung adenocarcinoma" for i in range(len(names))],
        },
        index=[f"c{i}" for i in range(len(names))],
    )
    adata = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    adata.write_h5ad(path)
    return path


def save_gene_sets(path: Path) -> Path:
    """A GMT file: two sets of ten genes of two types, and one of genes that the data lacks."""
    symbols = tiny.tiny_vocabulary().symbols
    lines = [
        "\t".join(["FIRST", "genes of B cells", *symbols[:10]]),
        "\t".join(["SECOND", "genes of T cells", *symbols[12:22]]),
        "\t".join(["ABSENT", "", "NOGENE1", "NOGENE2", "NOGENE3"]),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
