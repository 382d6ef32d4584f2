"""Mean, spread and share of expressing cells of each gene in each group of cells, gathered chunk by chunk.

Values are ln(1 + counts per 10,000 of the cell). Memory grows with groups x genes, never with cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from langcell.processing.cells.anndata_io import CellSource

PER = 10_000
# Smallest variance that an effect is measured by: a gene of which next to nothing was seen has no great effect.
LEAST_VARIANCE = 0.05
# Counts per 10,000 that are added before fold changes, so that they end where nothing can be told from nothing.
_ADDED = 0.1


@dataclass(frozen=True, eq=False)
class GroupMoments:
    """What is known of the genes of a file in groups of its cells.

    Attributes:
        cells: cells of each group, shape (groups,).
        total: sum of the values, shape (groups, genes).
        squares: sum of their squares, likewise.
        expressing: number of cells with a count of the gene, likewise.
        names: names of the genes as the file has them, shape (genes,).
    """

    cells: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    expressing: np.ndarray
    names: Sequence[str]

    @classmethod
    def gather(cls, source: CellSource, codes: np.ndarray, n_groups: int, *, rows_per_chunk: int) -> "GroupMoments":
        """Read all cells once.

        Args:
            source: the opened data.
            codes: int, shape (cells,); group of each cell, -1 for one of none, which is in the last row.
            n_groups: number of groups.
            rows_per_chunk: cells that are read at once.
        """
        shape = (n_groups + 1, len(source.gene_names))
        total, squares, expressing = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        groups = np.where(codes < 0, n_groups, codes)
        for chunk in source.chunks(rows_per_chunk):
            values = log_normalized(chunk.counts)
            of = groups[chunk.start :][: len(values.indptr) - 1]
            ones = np.ones(len(of))
            member = sparse.csr_matrix((ones, (of, np.arange(len(of)))), shape=(n_groups + 1, len(of)))
            total += _summed(member, values, values.data)
            squares += _summed(member, values, values.data**2)
            expressing += _summed(member, values, np.ones_like(values.data))
        cells = np.bincount(groups, minlength=n_groups + 1)
        return cls(cells, total, squares, expressing, list(source.gene_names))

    def contrast(self, group: int, rest: int | None = None) -> "FileContrast":
        """Compare a group with all other cells of the file, or with another group alone."""
        inside = np.arange(len(self.cells)) == group
        outside = ~inside if rest is None else np.arange(len(self.cells)) == rest
        here, there = self._facts(inside), self._facts(outside)
        variance = (here[1] + there[1]) / 2
        effect = (here[0] - there[0]) / np.sqrt(np.maximum(variance, 0) + LEAST_VARIANCE)
        fold = np.log2((np.expm1(here[0]) + _ADDED) / (np.expm1(there[0]) + _ADDED))
        n_out = int(self.cells[outside].sum())
        return FileContrast(effect.round(6), fold, here[0], there[0], here[2], there[2], n_out)

    def _facts(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, variance and share of expressing cells of some groups together."""
        n = max(int(self.cells[groups].sum()), 1)
        mean = self.total[groups].sum(axis=0) / n
        variance = self.squares[groups].sum(axis=0) / n - mean**2
        return mean, variance, self.expressing[groups].sum(axis=0) / n


@dataclass(frozen=True, eq=False)
class FileContrast:
    """How each gene differs between a group and other cells; all arrays have the shape (genes,).

    Attributes:
        effect: Cohen's d of the log-normalised values, with a floor under the variance.
        fold: log2 fold change of the geometric mean counts per 10,000.
        mean_in, mean_out: mean log-normalised value.
        share_in, share_out: share of the cells with a count of the gene.
        n_out: number of the other cells; with 0 there is nothing to compare with.
    """

    effect: np.ndarray
    fold: np.ndarray
    mean_in: np.ndarray
    mean_out: np.ndarray
    share_in: np.ndarray
    share_out: np.ndarray
    n_out: int


def log_normalized(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the ln(1 + counts per 10,000) of some cells, float64; an empty cell stays empty.

    >>> log_normalized(sparse.csr_matrix([[1.0, 3.0], [0.0, 0.0]])).toarray().round(3).tolist()
    [[7.824, 8.923], [0.0, 0.0]]
    """
    sums = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    factor = PER / np.where(sums > 0, sums, 1.0)
    values = np.log1p(counts.data * np.repeat(factor, np.diff(counts.indptr)))
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def _summed(member: Any, places: Any, data: np.ndarray) -> np.ndarray:
    """Sum of the data of each group, which stand at the places of a matrix of cells; shape (groups, genes)."""
    return (member @ sparse.csr_matrix((data, places.indices, places.indptr), shape=places.shape)).toarray()
