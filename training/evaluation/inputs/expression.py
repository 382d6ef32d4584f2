"""Features of cells without any model: log-normalised counts and their principal components."""

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

N_GENES = 2000
N_COMPONENTS = 50
_COUNTS = 10_000


def log_normalize(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return log1p of counts per 10,000, float32, shape as given (cells, genes); a cell without counts stays empty."""
    n_counts = np.asarray(counts.sum(axis=1)).ravel()
    scale = sparse.diags_array(_COUNTS / np.where(n_counts > 0, n_counts, 1.0))
    values = sparse.csr_matrix(scale @ counts, dtype=np.float32)
    values.data = np.log1p(values.data)
    return values


def principal_components(values: sparse.csr_matrix, *, seed: int) -> np.ndarray:
    """Return the principal components of the most variable genes.

    Args:
        values: log-normalized, shape (cells, genes).
        seed: random seed of the solver's first vector.

    Returns:
        float32, shape (cells, components): 50, or one fewer than there are cells or genes.
    """
    mean = np.asarray(values.mean(axis=0)).ravel()
    n_cells, _ = values.shape  # pyright: ignore[reportGeneralTypeIssues]  # its stub allows None
    variance = np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2
    genes = np.sort(np.argsort(-variance, kind="stable")[:N_GENES])
    n_components = max(1, min(N_COMPONENTS, n_cells - 1, len(genes) - 1))
    pca = PCA(n_components, svd_solver="arpack", random_state=seed)
    return pca.fit_transform(values[:, genes].astype(np.float64)).astype(np.float32)
