"""Real blood cells that every installation has: the sample inside scanpy, with its counts recovered."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

# How the Cell Ontology calls the ten sorted populations of scanpy's sample.
BULK_LABELS = {
    "CD14+ Monocyte": "CD14-positive monocyte",
    "Dendritic": "dendritic cell",
    "CD19+ B": "B cell",
    "CD56+ NK": "natural killer cell",
    "CD4+/CD25 T Reg": "regulatory T cell",
    "CD4+/CD45RA+/CD25- Naive T": "naive thymus-derived CD4-positive, alpha-beta T cell",
    "CD4+/CD45RO+ Memory": "CD4-positive, alpha-beta memory T cell",
    "CD8+ Cytotoxic T": "CD8-positive, alpha-beta cytotoxic T cell",
    "CD8+/CD45RA+ Naive Cytotoxic": "naive thymus-derived CD8-positive, alpha-beta T cell",
    "CD34+": "hematopoietic stem cell",
}


def sample_cells() -> AnnData:
    """Return 700 peripheral blood cells (10x Genomics, in scanpy's package) with their counts recovered.

    The sample holds log1p of counts per 10,000 for 765 genes; with the true depth in obs["n_counts"] the counts come
    back exactly: round(expm1(x) * n_counts / 10,000). obs has the sorted population of each cell (`bulk_labels`, and
    as the Cell Ontology calls it `cell_type`), its depth, and scanpy's clusters (`louvain`).

    Raises:
        ValueError: the values do not come out as whole counts (another version of the sample).
    """
    import scanpy as sc

    sample = sc.datasets.pbmc68k_reduced()
    table = pd.DataFrame(sample.obs[["bulk_labels", "n_counts", "louvain"]])
    depth = table["n_counts"].to_numpy()
    counts = csr_matrix(sample.raw.X, dtype=np.float64)
    counts.data = np.expm1(counts.data) * np.repeat(depth, np.diff(counts.indptr)) / 10_000
    whole = np.rint(counts.data)
    if np.abs(counts.data - whole).max() > 0.1:
        raise ValueError("scanpy's pbmc68k_reduced is not as expected: its values do not come back as whole counts.")
    counts.data = whole
    table["cell_type"] = pd.Categorical([BULK_LABELS[name] for name in table["bulk_labels"]])
    return AnnData(counts.astype(np.float32), obs=table, var=pd.DataFrame(sample.raw.var))
