"""The names that a file's cells were given, read back for some of them."""

from pathlib import Path

import numpy as np
import pandas as pd

from langcell.processing.cells.anndata_io import open_elements

_LABEL, _CONFIDENCE = "obs/langcell_label", "obs/langcell_confidence"


def read_given_names(path: str | Path, rows: np.ndarray) -> tuple[list[str], np.ndarray] | None:
    """Return the names that `annotate` gave to some cells, and how sure it was; None where it gave none.

    Args:
        path: h5ad file or zarr folder.
        rows: int64, rows of the cells, in any order.

    Returns:
        Labels, and confidences as float32, (rows,).
    """
    with open_elements(path) as (root, read):
        if _LABEL not in root:
            return None
        labels = pd.Categorical(read(root[_LABEL]))
        confidence = np.asarray(read(root[_CONFIDENCE]), dtype=np.float32)
    return labels[rows].astype(str).tolist(), confidence[rows]
