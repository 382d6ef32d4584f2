"""A sample of cells that does not depend on the order in which they come, nor on the blocks they come in.

Each cell has a number that its values alone decide: sum over genes of (key of the gene) * (bits of the value), modulo
2^64, mixed once more (the finaliser of splitmix64, Steele et al. 2014). The cells with the smallest numbers are the
sample, in the order of these numbers. Whatever is fitted to it is the same to the bit for any order of the file.
"""

from collections.abc import Iterable

import numpy as np
from scipy import sparse

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class TooFewCells(ValueError):
    """A file has too few cells, or too few different ones, to fit anything to."""


def cell_numbers(block: sparse.csr_matrix | sparse.csr_array | np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Give each cell a number that its values and the seed decide.

    Args:
        block: counts or any other matrix, shape (cells, genes). Zeros, stored or not, do not count.
        seed: another seed draws another sample.

    Returns:
        uint64, shape (cells,); equal for cells with equal values.

    >>> first = cell_numbers(np.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> bool((first == cell_numbers(sparse.csr_matrix([[3.0, 0.0], [0.0, 2.0]]))[::-1]).all())
    True
    """
    rows = sparse.csr_matrix(block)
    rows.sum_duplicates()
    n_genes = np.asarray(rows.shape)[1]
    keys = _mixed((np.arange(n_genes, dtype=np.uint64) + np.uint64(1)) * _STEP + _mixed(np.uint64(seed) + _STEP))
    # Adding 0.0 makes -0.0 a plain zero, whose bits are 0.
    bits = (rows.data.astype(np.float64) + 0.0).view(np.uint64)
    terms = np.concatenate(
        [np.zeros(1, dtype=np.uint64), np.cumsum(keys[rows.indices] * _mixed(bits), dtype=np.uint64)]
    )
    return _mixed(terms[rows.indptr[1:]] - terms[rows.indptr[:-1]])


def smallest(numbers: np.ndarray, most: int) -> np.ndarray:
    """Return the rows of the `most` smallest numbers, in the order of the numbers; int64, at most `most`."""
    return np.argsort(numbers, kind="stable")[:most]


class CellSample:
    """The cells with the smallest numbers of all that were added, held in memory and no others.

    Args:
        most_cells: how many are kept.
        seed: see `cell_numbers`.
    """

    def __init__(self, most_cells: int, *, seed: int = 0) -> None:
        if most_cells < 1:
            raise ValueError(f"most_cells is {most_cells}; give 1 or more cells to keep.")
        self._most, self._seed = most_cells, seed
        self._numbers = np.zeros(0, dtype=np.uint64)
        self._rows: sparse.csr_matrix | None = None

    def add(self, block: sparse.csr_matrix) -> None:
        """Look at a block of cells, shape (cells, genes), and keep those that belong to the sample."""
        numbers = cell_numbers(block, seed=self._seed)
        if len(self._numbers) >= self._most:  # most blocks of a large file hold few or none
            wanted = np.flatnonzero(numbers < self._numbers[-1])
            block, numbers = sparse.csr_matrix(block)[wanted], numbers[wanted]
        together = block if self._rows is None else sparse.vstack([self._rows, block], format="csr")
        numbers = np.concatenate([self._numbers, numbers])
        kept = smallest(numbers, self._most)
        self._numbers, self._rows = numbers[kept], sparse.csr_matrix(together)[kept]

    @property
    def cells(self) -> sparse.csr_matrix:
        """The sample, in the order of the cells' numbers.

        Raises:
            ValueError: no cell was added.
        """
        if self._rows is None or not len(self._numbers):
            raise TooFewCells("The sample holds no cell; add blocks of cells first.")
        return self._rows


def sample_of(blocks: Iterable[sparse.csr_matrix], most_cells: int, *, seed: int = 0) -> sparse.csr_matrix:
    """Return the sample of all blocks; see `CellSample`."""
    sample = CellSample(most_cells, seed=seed)
    for block in blocks:
        sample.add(block)
    return sample.cells


def _mixed(value: np.ndarray | np.uint64) -> np.ndarray:
    """Spread every bit of a number over all 64; 0 stays 0."""
    value = np.atleast_1d(np.asarray(value, dtype=np.uint64))
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return value ^ (value >> np.uint64(31))
