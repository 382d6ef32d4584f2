"""The rows of a source cut into the ranges of its shards."""

import numpy as np

# A shard that would need more rows than this many times its cells, because most are duplicates, is left smaller.
_MOST_ROWS_PER_CELL = 10


class RowCutter:
    """Cuts the rows of a source into ranges with equally many kept cells."""

    def __init__(self, cells_per_shard: int) -> None:
        self._cells = cells_per_shard
        self._ranges: list[tuple[int, int, int]] = []
        self._start: int | None = None
        self._stop = self._read = self._kept = 0

    def add(self, rows: np.ndarray, kept: np.ndarray) -> None:
        """Take the next rows, ascending."""
        begin = 0
        while begin < len(rows):
            room = min(len(rows) - begin, self._cells * _MOST_ROWS_PER_CELL - self._read)
            so_far = self._kept + np.cumsum(kept[begin : begin + room])
            taken = min(room, int(np.searchsorted(so_far, self._cells)) + 1)
            self._start = int(rows[begin]) if self._start is None else self._start
            self._stop, self._read = int(rows[begin + taken - 1]) + 1, self._read + taken
            self._kept = int(so_far[taken - 1])
            begin += taken
            if self._kept == self._cells or self._read == self._cells * _MOST_ROWS_PER_CELL:
                self._close()

    def finish(self) -> list[tuple[int, int, int]]:
        """Start, stop and number of rows of each range."""
        self._close()
        return self._ranges

    def _close(self) -> None:
        if self._start is not None:
            self._ranges.append((self._start, self._stop, self._read))
        self._start, self._read, self._kept = None, 0, 0
