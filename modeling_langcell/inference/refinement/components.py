"""Where each cell lies among the cells of its file: principal components of log-normalised counts.

Counts of a cell are divided by their sum, multiplied by the median sum of the sample, and log1p is taken. Of the genes
those whose values vary most are read, all in a panel. The axes are fitted to a sample (`sampling`) and applied to any
block of cells: memory does not grow with the file, and no result depends on blocks or order.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from langcell.inference.refinement.sampling import TooFewCells, sample_of

N_COMPONENTS = 50
N_GENES = 3000
# Counts of so many cells are held at once, 160 MB where a cell has 2,000 genes; more cells move no axis.
MOST_CELLS = 10_000


@dataclass(frozen=True, eq=False)
class CellComponents:
    """Axes on which the cells of a file lie.

    Attributes:
        genes: columns of the counts that are read, int64, rising, shape (genes,).
        depth: sum of counts that every cell is brought to.
        axes: float64, shape (genes, components).
        offset: components of the mean cell, shape (components,).
    """

    genes: np.ndarray
    depth: float
    axes: np.ndarray
    offset: np.ndarray

    @property
    def n_components(self) -> int:
        """Number of axes."""
        return self.axes.shape[1]

    @classmethod
    def fit(
        cls,
        blocks: Iterable[sparse.csr_matrix],
        *,
        n_components: int = N_COMPONENTS,
        n_genes: int = N_GENES,
        most_cells: int = MOST_CELLS,
        seed: int = 0,
    ) -> "CellComponents":
        """Fit axes to the cells of all blocks.

        Args:
            blocks: counts or other linear values, each of shape (cells, genes). Cells without any are left out.
            n_components: axes; fewer where there are fewer cells or genes.
            n_genes: genes to read, the most variable first.
            most_cells: size of the sample.
            seed: random seed of the sample and of the solver.

        Raises:
            ValueError: fewer than two different cells with counts.
        """
        cells = sample_of((_with_counts(block) for block in blocks), most_cells, seed=seed)
        sums = np.asarray(cells.sum(axis=1, dtype=np.float64)).ravel()
        depth = float(np.median(sums))
        values = _log_normalised(cells, depth)
        genes = _most_variable(values, n_genes)
        if not len(genes):
            raise TooFewCells(
                f"The {len(sums)} cells have no gene whose value varies; components need two different cells."
            )
        values = values[:, genes]
        wanted = min(n_components, len(sums) - 1, len(genes) - 1)
        # A single gene is its own axis.
        axes = np.ones((len(genes), 1)) if wanted < 1 else _axes(values, wanted, seed)
        offset = np.asarray(values.mean(axis=0)).ravel() @ axes
        return cls(genes, depth, axes, offset)

    def transform(self, block: sparse.csr_matrix) -> np.ndarray:
        """Place a block of cells.

        Args:
            block: counts as in `fit`, shape (cells, genes).

        Returns:
            float64, shape (cells, components); NaN for a cell without counts.
        """
        block = sparse.csr_matrix(block)
        empty = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel() <= 0
        placed = np.asarray(_log_normalised(block, self.depth)[:, self.genes] @ self.axes) - self.offset
        placed[empty] = np.nan
        return placed


def _with_counts(block: sparse.csr_matrix) -> sparse.csr_matrix:
    block = sparse.csr_matrix(block)
    return block[np.asarray(block.sum(axis=1, dtype=np.float64)).ravel() > 0]


def _log_normalised(block: sparse.csr_matrix, depth: float) -> sparse.csr_matrix:
    """log1p of counts per `depth`, float64; a cell without counts stays zero."""
    sums = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
    factors = depth / np.where(sums > 0, sums, 1.0)
    values = sparse.csr_matrix(block, dtype=np.float64, copy=True)
    values.data = np.log1p(values.data * np.repeat(factors, np.diff(values.indptr)))
    return values


def _most_variable(values: sparse.csr_matrix, n_genes: int) -> np.ndarray:
    """Return the columns with the greatest variance, rising; those that do not vary are left out."""
    mean = np.asarray(values.mean(axis=0)).ravel()
    variance = np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2
    order = np.argsort(-variance, kind="stable")[:n_genes]
    return np.sort(order[variance[order] > 1e-12])


def _axes(values: sparse.csr_matrix, wanted: int, seed: int) -> np.ndarray:
    """Principal axes, shape (genes, wanted); the solver starts from a seeded vector and fixes the signs."""
    from sklearn.decomposition import PCA

    solver = PCA(n_components=wanted, svd_solver="arpack", random_state=seed)
    axes: np.ndarray | None = solver.fit(values).components_
    assert axes is not None  # its stub allows None
    return np.ascontiguousarray(axes.T)
