"""CELLxGENE obs columns as texts: what shards keep of the metadata of a cell, and which cells are copies of others."""

import numpy as np
import pandas as pd

from langcell.processing.ontology.descriptions import DESCRIBED_COLUMNS

PRIMARY_COLUMN = "is_primary_data"
METADATA_COLUMNS = DESCRIBED_COLUMNS
Metadata = tuple[str, ...]
"""The values of `METADATA_COLUMNS` of a cell, "" where there is none."""


def as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """`METADATA_COLUMNS` as categories of strings, "" where a value or a column is missing.

    >>> as_texts(pd.DataFrame({"sex_ontology_term_id": ["PATO:0000384", None]})).iloc[1].tolist()
    ['', '', '', '', '', '', '', '', '', '', '']
    """
    columns = {}
    for name in METADATA_COLUMNS:
        if name not in frame:
            columns[name] = pd.Categorical.from_codes(np.zeros(len(frame), dtype=np.int8), [""])
            continue
        values = frame[name].astype("category").cat
        names = ["" if pd.isna(value) else str(value) for value in values.categories]
        codes, distinct = pd.factorize(np.array([*names, ""], dtype=object))
        columns[name] = pd.Categorical.from_codes(codes[values.codes.to_numpy()], distinct)  # code -1: the last, ""
    return pd.DataFrame(columns, index=frame.index)


def distinct_metadata(texts: pd.DataFrame) -> tuple[list[Metadata], np.ndarray]:
    """The distinct combinations in what `as_texts` made, in order of first appearance, and which one each cell has."""
    combination = np.zeros(len(texts), dtype=np.int64)
    for name in METADATA_COLUMNS:
        column = texts[name].cat
        # Numbered anew after each column, so that the product stays far from the int64 limit.
        combination, _ = pd.factorize(combination * len(column.categories) + column.codes.to_numpy())
    _, first = np.unique(combination, return_index=True)
    columns = [np.asarray(texts[name].iloc[first], dtype=object) for name in METADATA_COLUMNS]
    return list(zip(*columns, strict=True)), combination


def is_kept(metadata: pd.DataFrame, *, keep_duplicates: bool) -> np.ndarray:
    """bool, shape (cells,); cells that are no copies of cells in another data set."""
    if keep_duplicates or PRIMARY_COLUMN not in metadata:
        return np.ones(len(metadata), dtype=bool)
    primary = metadata[PRIMARY_COLUMN]
    if primary.dtype != bool:  # stored as text or as categories of it
        texts = primary.astype(str).str.lower()
        if wrong := sorted(set(texts) - {"true", "false"}):
            raise ValueError(f"{PRIMARY_COLUMN} holds {wrong[0]!r}; expected True or False.")
        primary = texts == "true"
    return primary.to_numpy(dtype=bool)
