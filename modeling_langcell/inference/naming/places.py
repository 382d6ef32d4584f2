"""Where the cells of a run lie, as its options say; each cell is named alone where there is too little to say it."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from langcell.inference.naming.options import NamingOptions
from langcell.inference.refinement.placing import CellsInFile, PlacedCells, read_batches, read_known
from langcell.inference.running.job import InferenceJob
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.obsm_matrix import read_obsm
from langcell.processing.labels.lookup import Label

logger = logging.getLogger("langcell")


def place_cells(
    job: InferenceJob, source: CellSource, naming: NamingOptions, labels: Sequence[Label]
) -> PlacedCells | str:
    """Place the cells; returns in words why there is too little for a refinement that is wanted."""
    if not naming.refines:
        return PlacedCells()
    matrix = None if naming.refine_over is None else read_obsm(job.data, naming.refine_over)
    batches = None if naming.batch_column is None else read_batches(source, naming.batch_column)
    known = None if naming.known_column is None else read_known(source, naming.known_column, labels)
    return PlacedCells.of(source, CellsInFile(matrix, batches, known), rows_per_chunk=job.options.rows_per_chunk)


def with_places(naming: NamingOptions, found: PlacedCells | str) -> tuple[NamingOptions, PlacedCells]:
    """Return the options and the places, without refinement where there is too little for it."""
    if isinstance(found, PlacedCells):
        return naming, found
    if naming.known_column is not None:
        raise ValueError(f"known_column is {naming.known_column!r}, but no cell can learn from another: {found}.")
    logger.info("Each cell is named alone: %s.", found)
    return replace(naming, refine="none", refine_over=None, batch_column=None).checked(), PlacedCells()
