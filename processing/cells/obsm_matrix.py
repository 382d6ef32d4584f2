"""A matrix of obsm, such as the principal components that scanpy leaves there, as numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.anndata_io import Source, open_elements


def read_obsm(source: Source, key: str) -> np.ndarray:
    """Return one matrix of obsm, of all cells.

    Args:
        source: h5ad file, zarr folder, or an AnnData.
        key: its name, such as "X_pca".

    Returns:
        float32, (cells, columns).

    Raises:
        ValueError: it is not there, is no table of numbers, or has NaN, infinite values or a row of zeros alone.

    >>> from anndata import AnnData
    >>> read_obsm(AnnData(np.zeros((2, 1)), obsm={"X_pca": np.array([[1, 2], [3, 4]])}), "X_pca")
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    if not isinstance(source, str | Path):
        return _checked(source.obsm.get(key), key, "the AnnData", list(source.obsm))
    with open_elements(source) as (root, read):
        keys = list(root["obsm"]) if "obsm" in root else []
        return _checked(read(root[f"obsm/{key}"]) if key in keys else None, key, str(source), keys)


def _checked(values: Any, key: str, where: str, keys: list[str]) -> np.ndarray:
    if values is None:
        raise ValueError(f"{where} has no obsm {key!r}; it has {', '.join(keys) or 'none'}.")
    values = values.to_numpy() if isinstance(values, pd.DataFrame) else values
    values = values.toarray() if sparse.issparse(values) else np.asarray(values)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number):
        raise ValueError(f"obsm {key!r} of {where} is {values.dtype} {values.shape}; it has to be a table of numbers.")
    values = values.astype(np.float32)
    faulty = ~np.isfinite(values).all(axis=1) | ~values.any(axis=1)
    if faulty.any():
        raise ValueError(
            f"obsm {key!r} of {where} has {faulty.sum()} rows with NaN or infinite values, or of zeros alone; "
            f"the first is row {faulty.argmax()}."
        )
    return values
