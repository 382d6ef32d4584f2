"""Rows of a gene table that are genes, where a column says what each is: antibodies, guides, peaks are left out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.contents import Contents
from langcell.processing.cells.matrix_rows import MatrixRows

_COLUMNS = ("feature_types", "feature_type")
_GENES = "Gene Expression"


def genes_alone(contents: Contents) -> Contents:
    """The contents without rows that are no genes.

    Raises:
        ValueError: No row is a gene.
    """
    masks = {"X": _is_gene(contents.var), "raw/X": None if contents.raw_var is None else _is_gene(contents.raw_var)}
    if all(mask is None for mask in masks.values()):
        return contents
    if (of_x := masks["X"]) is not None and not of_x.any():
        kinds = ", ".join(
            sorted({str(kind) for name in _COLUMNS if name in contents.var for kind in contents.var[name]})
        )
        raise ValueError(f"{contents.name}: none of its {len(of_x)} features is a gene; they are {kinds}.")
    matrices = {}
    for place, read in contents.matrices.items():
        mask = masks["raw/X" if place == "raw/X" else "X"]
        matrices[place] = read if mask is None else partial(_chosen, read, mask)
    raw_var, raw_mask = contents.raw_var, masks["raw/X"]
    return replace(
        contents,
        var=contents.var if of_x is None else contents.var.loc[of_x],
        raw_var=raw_var if raw_var is None or raw_mask is None else raw_var.loc[raw_mask],
        matrices=matrices,
    )


def _is_gene(var: pd.DataFrame) -> np.ndarray | None:
    """Which rows are genes; None where all are, or nothing says so."""
    for name in _COLUMNS:
        if name in var:
            kinds = var[name].astype(str).to_numpy()
            is_gene = kinds == _GENES
            if is_gene.all() or not (is_gene.any() or np.isin(kinds, ["Antibody Capture", "Peaks"]).any()):
                return None
            return is_gene
    return None


def _chosen(read: Callable[[], MatrixRows], is_gene: np.ndarray) -> MatrixRows:
    rows = read()
    # What does not fit the tables is refused by who compares both.
    return _ChosenColumns(rows, np.flatnonzero(is_gene)) if rows.shape[1] == len(is_gene) else rows


class _ChosenColumns:
    """Rows of a matrix with some of its columns alone; see `MatrixRows`."""

    def __init__(self, rows: MatrixRows, columns: np.ndarray) -> None:
        self._rows, self._columns = rows, columns
        self.shape = (rows.shape[0], len(columns))
        self.dtype = rows.dtype

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `MatrixRows.read`."""
        return sparse.csr_matrix(self._rows.read(start, stop)[:, self._columns])

    def sample(self) -> Iterator[np.ndarray]:
        """See `MatrixRows.sample`."""
        return self._rows.sample()
