"""CELLxGENE obs columns as texts: what shards keep of the metadata of a cell, and which cells are copies of others."""

import numpy as np
import pandas as pd

from langcell.processing.ontology.descriptions import DESCRIBED_COLUMNS

PRIMARY_COLUMN = "is_primary_data"
METADATA_COLUMNS = DESCRIBED_COLUMNS
_TRUE = frozenset({"true", "1", "1.0", "t", "yes"})
_FALSE = frozenset({"false", "0", "0.0", "f", "no"})
_MISSING = frozenset({"", "nan", "none", "<na>", "na", "unknown"})
NAME_COLUMNS = {
    column: column.removesuffix("_ontology_term_id") for column in METADATA_COLUMNS if column.endswith("_term_id")
}
"""Where CELLxGENE writes the name of an ontology id: column of ids -> column of names."""
Metadata = tuple[str, ...]
"""The values of `METADATA_COLUMNS` of a cell, "" where there is none."""


def as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `METADATA_COLUMNS` as categories of strings, "" where a value or a column is missing.

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
    """Return the distinct combinations in what `as_texts` made, in order of first appearance, and which one each cell
    has."""
    combination = np.zeros(len(texts), dtype=np.int64)
    for name in METADATA_COLUMNS:
        column = texts[name].cat
        # Numbered again after each column, so that the product stays far from the int64 limit.
        combination, _ = pd.factorize(combination * len(column.categories) + column.codes.to_numpy())
    _, first = np.unique(combination, return_index=True)
    columns = [np.asarray(texts[name].iloc[first], dtype=object) for name in METADATA_COLUMNS]
    return list(zip(*columns, strict=True)), combination


def names_of_ids(block: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the names that stand beside ontology ids (`cell_type` beside `cell_type_ontology_term_id`), by column and
    id.

    >>> frame = {"cell_type_ontology_term_id": ["CL:4099999"], "cell_type": ["new cell"]}
    >>> names_of_ids(pd.DataFrame(frame))
    {('cell_type_ontology_term_id', 'CL:4099999'): 'new cell'}
    """
    names: dict[tuple[str, str], str] = {}
    for column in METADATA_COLUMNS:
        beside = NAME_COLUMNS.get(column)
        if column not in block or beside not in block:
            continue
        # Missing ones first: pandas 3 makes no text of them.
        for value, text in block[[column, beside]].drop_duplicates().dropna().astype(str).itertuples(index=False):
            ids, parts = value.split("||"), text.split("||")  # several terms have several names
            if len(ids) == len(parts):
                names.update(
                    {(column, term_id.strip()): name.strip() for term_id, name in zip(ids, parts, strict=True)}
                )
    return names


def is_kept(metadata: pd.DataFrame, *, keep_duplicates: bool) -> np.ndarray:
    """Return bool, shape (cells,); cells that are no copies of cells in another data set, as far as anything says so.

    Raises:
        ValueError: a value is neither true, false nor missing.
    """
    if keep_duplicates or PRIMARY_COLUMN not in metadata:
        return np.ones(len(metadata), dtype=bool)
    primary = metadata[PRIMARY_COLUMN]
    if primary.dtype == bool:
        return primary.to_numpy(dtype=bool)
    # Stored as text, numbers, categories or a nullable type; `anndata.concat` leaves gaps.
    texts = primary.astype(object).where(primary.notna(), "").astype(str).str.strip().str.lower()
    if wrong := sorted(set(texts) - _TRUE - _FALSE - _MISSING):
        raise ValueError(f"obs[{PRIMARY_COLUMN!r}] holds {wrong[0]!r}; expected True, False or a missing value.")
    return (~texts.isin(_FALSE)).to_numpy(dtype=bool)


def n_unmarked(metadata: pd.DataFrame) -> int:
    """Return cells of which `is_primary_data`, where there is such a column, does not say whether they are copies."""
    if PRIMARY_COLUMN not in metadata:
        return 0
    texts = metadata[PRIMARY_COLUMN].astype(object)
    return int((texts.isna() | texts.astype(str).str.strip().str.lower().isin(_MISSING)).sum())
