"""In which order the rows of a shard folder are read, and which of them by whom: arithmetic alone, nothing is read.

Rows lie in *blocks* (the row groups of the parquet files). Each time through the folder (an epoch) the blocks come in a
new order; the epochs follow one another without end, so that every row of that sequence has a number. The sequence is
cut into stretches of `parts * share` rows, `share` being the rows of an epoch divided by the parts, rounded down. Of
each stretch every part reads an equal piece. So no row is read by two parts, none is left out, and all parts have as
many rows at any time: where an epoch does not divide, its last rows (fewer than there are parts) come in the first
stretch of the next.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from langcell.processing.shards.files import ROWS_PER_GROUP


class RowRange(NamedTuple):
    """Rows `start` to `stop` of file number `file`."""

    file: int
    start: int
    stop: int


class RowOrder:
    """The endless sequence of the rows of a folder, as one part of several reads it.

    Args:
        file_rows: rows of each file.
        seed: random seed of the order of the blocks.
        part: number of this part, of `parts`.
        block_rows: rows of a block; a file's last block has what is left.

    Raises:
        ValueError: there are no rows, or no such part.

    >>> order = RowOrder([5, 3], seed=0, part=1, parts=2, block_rows=4)
    >>> order.ranges(0, 4)  # the second half of the first epoch
    [RowRange(file=0, start=1, stop=4), RowRange(file=0, start=4, stop=5)]
    """

    def __init__(
        self, file_rows: Sequence[int], *, seed: int, part: int = 0, parts: int = 1, block_rows: int = ROWS_PER_GROUP
    ):
        if not 0 <= part < parts:
            raise ValueError(f"part is {part} of {parts}; parts are counted from 0.")
        starts = [(file, start) for file, rows in enumerate(file_rows) for start in range(0, rows, block_rows)]
        if not starts:
            raise ValueError("There are no cells to read.")
        self.seed, self.part, self.parts = seed, part, parts
        self._blocks = np.array([(f, s, min(s + block_rows, file_rows[f])) for f, s in starts], dtype=np.int64)
        self.n_rows = int(np.sum(file_rows))
        self.share = max(1, self.n_rows // parts)
        self._orders: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def ranges(self, start: int, stop: int) -> list[RowRange]:
        """Return where the rows `start` to `stop` of this part lie, in order."""
        found: list[RowRange] = []
        while start < stop:
            stretch, within = divmod(start, self.share)
            count = min(stop - start, self.share - within)
            first = (stretch * self.parts + self.part) * self.share + within
            found += self._locate(first, first + count)
            start += count
        return found

    def _locate(self, first: int, last: int) -> Iterator[RowRange]:
        """Yield where the rows with these numbers in the whole sequence lie."""
        while first < last:
            epoch, row = divmod(first, self.n_rows)
            blocks, ends = self._order_of(epoch)
            place = int(np.searchsorted(ends, row, side="right"))
            file, begin, end = blocks[place].tolist()
            skipped = row - (int(ends[place]) - (end - begin))
            count = min(last - first, end - begin - skipped)
            yield RowRange(file, begin + skipped, begin + skipped + count)
            first += count

    def _order_of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the blocks in the order of an epoch, and the number of rows up to the end of each."""
        if epoch not in self._orders:
            blocks = self._blocks[np.random.default_rng([self.seed, epoch]).permutation(len(self._blocks))]
            earlier = {epoch - 1: self._orders[epoch - 1]} if epoch - 1 in self._orders else {}
            self._orders = earlier | {epoch: (blocks, np.cumsum(blocks[:, 2] - blocks[:, 1]))}
        return self._orders[epoch]
