"""Where the cells of a run lie, as its options say; each cell is named alone where there is too little to say it."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from langcell.inference.naming.options import NamingOptions
from langcell.inference.refinement.batches import check_harmony
from langcell.inference.refinement.placing import CellsInFile, PlacedCells, known_labels, read_batches, read_column
from langcell.inference.running.job import InferenceJob
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.obsm_matrix import read_obsm
from langcell.processing.labels.columns import read_label_column
from langcell.processing.labels.lookup import Label

logger = logging.getLogger("langcell")

_SAID = {"mean": "their means", "harmony": "Harmony"}


def known_names(source: CellSource, naming: NamingOptions) -> list[str]:
    """Return the names of the types that some cells are known to have, sorted; none where nobody said.

    Raises:
        ValueError: no such column, or values that do not fit the cells.
    """
    if naming.known_column is not None:
        values = read_column(source, naming.known_column, "column of known labels")
    elif naming.known is not None:
        values = values_for_cells(naming.known, source.obs_names)
    else:
        return []
    return sorted({value for value in read_label_column(values).values if value})


def place_cells(
    job: InferenceJob, source: CellSource, naming: NamingOptions, labels: Sequence[Label]
) -> PlacedCells | str:
    """Place the cells; returns in words why there is too little for a refinement that is wanted."""
    if not naming.refines:
        return PlacedCells()
    if naming.batch_correction == "harmony":
        check_harmony()  # refused before the file is read
    matrix = None if naming.refine_over is None else read_obsm(job.data, naming.refine_over)
    batches = None if naming.batch_column is None else read_batches(source, naming.batch_column)
    known = None
    if naming.known_column is not None:
        values = read_column(source, naming.known_column, "column of known labels")
        known = known_labels(values, f"obs[{naming.known_column!r}]", labels)
    elif naming.known is not None:
        known = known_labels(values_for_cells(naming.known, source.obs_names), "known", labels)
    found = PlacedCells.of(source, CellsInFile(matrix, batches, known), rows_per_chunk=job.options.rows_per_chunk)
    if batches is None or isinstance(found, str):
        return found
    note = "The %d batches of obs[%r] are moved onto one another by %s."
    logger.info(note, len(np.unique(batches)), naming.batch_column, _SAID[naming.batch_correction])
    return replace(found, batch_method=naming.batch_correction)


def values_for_cells(values: Any, cell_names: pd.Index) -> pd.Series:
    """Bring the labels that somebody knows into the order of the cells; a missing value where nobody does.

    Args:
        values: one for each cell, or a Series whose index names some of the cells.
        cell_names: cell names of all cells.

    Raises:
        ValueError: neither, or an index that does not say which cell is meant.
    """
    if _names_cells(values, cell_names):
        if strange := [str(name) for name in values.index[~values.index.isin(cell_names)]]:
            raise ValueError(
                f"known names {len(strange)} cells that are not there, such as {strange[0]!r}; give cells of the data, "
                "or an array with a value for each."
            )
        if twice := [str(name) for name in {*values.index[values.index.duplicated()]}]:
            raise ValueError(f"known has several values for the cell {min(twice)!r}; give one for each cell.")
        if (same := cell_names[cell_names.duplicated()].intersection(values.index)).size:
            raise ValueError(f"known names {str(same[0])!r}, as several cells are called; give a value for each cell.")
        return values.astype(object).reindex(cell_names)
    if not pd.api.types.is_list_like(values) or isinstance(values, Mapping | Set) or np.ndim(values) != 1:
        raise ValueError(
            f"known is {type(values).__name__}; give an array with a value for each cell, or a Series whose index "
            "names some of the cells."
        )
    if len(values) != len(cell_names):
        raise ValueError(
            f"known has {len(values)} values for {len(cell_names)} cells; give one for each, or a Series whose index "
            "names some of the cells."
        )
    return pd.Series(np.asarray(values, dtype=object), index=cell_names)


def _names_cells(values: Any, cell_names: pd.Index) -> bool:
    """Return whether the index of a Series says which cells are meant, rather than its order."""
    return (
        isinstance(values, pd.Series)
        and not isinstance(values.index, pd.RangeIndex)
        and not values.index.equals(cell_names)
    )


def with_places(naming: NamingOptions, found: PlacedCells | str) -> tuple[NamingOptions, PlacedCells]:
    """Return the options and the places, without refinement where there is too little for it."""
    if isinstance(found, PlacedCells):
        return naming, found
    if naming.known_column is not None:
        raise ValueError(f"known_column is {naming.known_column!r}, but no cell can learn from another: {found}.")
    if naming.known is not None:
        raise ValueError(f"known is given, but no cell can learn from another: {found}.")
    logger.info("Each cell is named alone%s: %s.", " and no clusters are made" if naming.cluster else "", found)
    alone = replace(naming, refine="none", refine_over=None, batch_column=None, batch_correction="mean", cluster=False)
    return alone.checked(), PlacedCells()
