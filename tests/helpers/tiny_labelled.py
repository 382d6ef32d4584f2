"""Labelled cells for fine-tuning tests: three types that a tiny model can learn to tell apart."""

import anndata
import numpy as np
import pandas as pd
import tiny
from scipy.sparse import csr_matrix

TYPES = ("B cell", "T cell", "monocyte")


def labelled_cells(n_of_type: int = 12, *, seed: int = 0) -> anndata.AnnData:
    """Cells of three types in turn; each type expresses a third of the genes much more than the others do."""
    rng = np.random.default_rng(seed)
    types = np.tile(np.arange(len(TYPES)), n_of_type)
    rates = rng.gamma(0.4, 1.0, size=(len(types), tiny.N_GENES + 2))
    third = np.arange(tiny.N_GENES + 2) % len(TYPES)
    rates *= np.where(third[None, :] == types[:, None], 12.0, 0.1)
    return anndata.AnnData(
        csr_matrix(rng.poisson(rates).astype(np.float32)),
        obs=pd.DataFrame({"type": [TYPES[code] for code in types]}, index=[f"c{i}" for i in range(len(types))]),
        var=pd.DataFrame(index=tiny.tiny_gene_names()),
    )
