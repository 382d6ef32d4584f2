"""Whether a column of obs can be what a model is taught: names of types, several of them, with cells to each."""

from pathlib import Path
from typing import Any, cast

import pandas as pd
from anndata import AnnData

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.ontology.unknown_values import names_no_type, says_nothing

# With more types than these, a column has to have several cells of most of them.
TYPES_OF_ANY_SIZE = 20
LEAST_MEAN_CELLS = 2
# Of whole numbers more: counts and numbers of genes are no names, and repeat by chance.
LEAST_MEAN_CELLS_OF_NUMBERS = 10


def check_label_column(
    data: AnnData | str | Path, label_column: str, *, least_types: int = 2, **source_options: Any
) -> None:
    """Refuse a column that holds no types.

    - Numbers with decimals are measurements. (Text such as "1.2", as subclusters are called, is a name.)
    - More than 20 different values with fewer than 2 cells each on the average are names of cells, such as barcodes.
    - Whole numbers are names, such as those of clusters, unless there are more than 20 with fewer than 10 cells each on
      the average: then they are counts.
    - A single type leaves nothing to tell it apart from, unless the caller has other candidates (`least_types`).

    A column that is absent or empty is refused by `read_labelled_cells`, and passes here.

    Args:
        data: h5ad file, zarr folder, or AnnData.
        label_column: column of obs with the types.
        least_types: 2, or 1 where a single type is fine.
        source_options: x_is, gene_column and layer of `open_cells`.

    Raises:
        ValueError: one of these, with file and column.
    """
    where = column_in(data, label_column)
    with open_cells(data, **source_options, read_obs=False) as source:
        if label_column not in source.obs_columns:
            return
        table = source.metadata([label_column], 0, source.n_cells)
        values = _labelled(cast(pd.Series, table[label_column]))
        others = ", ".join(column for column in source.obs_columns if column != label_column) or "none"
    kinds, advice = values.drop_duplicates().to_list(), f"Name a column with the types; others of obs are {others}."
    are_numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if are_numbers and (broken := [number for number in kinds if number % 1]):
        raise ValueError(
            f"{where} has numbers with decimals, such as {broken[0]:g}, but types are names or the numbers of "
            f"clusters. {advice}"
        )
    if len(kinds) == 1 and least_types > 1:
        raise ValueError(
            f"{where} has only the type {str(kinds[0])!r} ({len(values)} cells), but a model learns to tell types "
            f"apart. {advice}"
        )
    least = LEAST_MEAN_CELLS_OF_NUMBERS if are_numbers else LEAST_MEAN_CELLS
    if len(kinds) > TYPES_OF_ANY_SIZE and len(values) < least * len(kinds):
        what = "numbers that are types" if are_numbers else "types"
        raise ValueError(
            f"{where} has {len(kinds)} different values, such as {str(kinds[0])!r}, in {len(values)} cells, but {what} "
            f"have {least} cells or more on the average. {advice}"
        )


def column_in(data: AnnData | str | Path, label_column: str) -> str:
    """Return how a message calls a column of a data set.

    >>> column_in("cells.h5ad", "cell_type")
    "cells.h5ad: obs['cell_type']"
    """
    return f"{'the AnnData' if isinstance(data, AnnData) else data}: obs[{label_column!r}]"


def _labelled(column: pd.Series) -> pd.Series:
    """Return the values that are types; numbers as numbers, also where they are categories or among missing values."""
    column = column.dropna()
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    column = column.infer_objects()
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.loc[[not (says_nothing(value) or names_no_type(str(value))) for value in column]]
