"""A file of tiny cells in three groups, enough of them to name each other."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from tiny import tiny_gene_names

N_CELLS = 150
SMALL = {"progress": False, "rows_per_chunk": 17, "max_batch_tokens": 400}


def grouped_cells(n_cells: int = N_CELLS, *, seed: int = 3) -> AnnData:
    """Cells of three groups, each with genes of its own, and a column of clusters."""
    rng = np.random.default_rng(seed)
    genes = tiny_gene_names()
    group = np.arange(n_cells) % 3
    rates = np.full((3, len(genes)), 0.3)
    for code in range(3):
        rates[code, code::3] = 4.0
    counts = sparse.csr_matrix(rng.poisson(rates[group]).astype(np.float32))
    obs = pd.DataFrame({"leiden": [f"c{code}" for code in group], "batch": ["x", "y"] * (n_cells // 2)})
    return AnnData(
        counts, obs=obs.set_index(pd.Index([f"cell{i}" for i in range(n_cells)])), var=pd.DataFrame(index=genes)
    )
