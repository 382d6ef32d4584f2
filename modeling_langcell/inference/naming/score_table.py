"""Scores with the names of their labels."""

from typing import Any

import pandas as pd


def score_table(adata: Any) -> pd.DataFrame:
    """Return the scores of named cells as a table, a row a cell and a column a label, in the order of the labels.

    obsm["langcell_scores"] itself is a plain array, because CELLxGENE opens no file with a table in obsm.

    Args:
        adata: an AnnData that `annotate` or `classify` has named, in memory or read from a file.

    Raises:
        ValueError: its cells are not named.
    """
    if "langcell_scores" not in adata.obsm or "labels" not in adata.uns.get("langcell", {}):
        raise ValueError(
            "This AnnData holds no scores of LangCell; name its cells first: langcell.annotate(adata, labels)."
        )
    labels = [str(label) for label in adata.uns["langcell"]["labels"]]
    return pd.DataFrame(adata.obsm["langcell_scores"], index=adata.obs_names, columns=pd.Index(labels))
