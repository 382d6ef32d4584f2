"""Cells as training reads them: ids of many cells in one flat array, so that no step goes through them one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np


class Cell(NamedTuple):
    """One cell of a shard.

    Attributes:
        input_ids: ranked gene ids with `<cls>` first.
        description: code of its description, -1: none.
        variant: which paraphrase of the description it is read with; 0 is the plain text.
    """

    input_ids: np.ndarray
    description: int
    variant: int = 0


@dataclass(frozen=True, eq=False)
class CellBatch(Sequence[Cell]):
    """Cells in order; slices share the arrays.

    Attributes:
        input_ids: the ids of all cells, one after the other.
        offsets: int64, shape (cells + 1,); cell i has the ids from `offsets[i]` to `offsets[i + 1]`.
        descriptions: int64, shape (cells,); codes, -1 where there is none.
        variants: int64, shape (cells,).

    >>> batch = CellBatch.of([Cell(np.array([9, 4, 2]), 0), Cell(np.array([9]), 1)])
    >>> len(batch), batch.lengths.tolist(), batch[1:][0].input_ids.tolist()
    (2, [3, 1], [9])
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    descriptions: np.ndarray
    variants: np.ndarray

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> "CellBatch":
        """Join single cells; a batch comes back as it is."""
        if isinstance(cells, cls):
            return cells
        rows = list(cells)
        ids = np.concatenate([row.input_ids for row in rows]) if rows else np.zeros(0, dtype=np.int32)
        offsets = np.cumsum([0, *(len(row.input_ids) for row in rows)], dtype=np.int64)
        codes, variants = (np.array([row[i] for row in rows], dtype=np.int64) for i in (1, 2))
        return cls(ids, offsets, codes, variants)

    def __len__(self) -> int:
        return len(self.descriptions)

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> "CellBatch": ...
    def __getitem__(self, index: int | slice) -> "Cell | CellBatch":
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"Cells are sliced with step 1, not {step}.")
            stop = max(start, stop)
            rows = slice(start, stop)
            return CellBatch(
                self.input_ids, self.offsets[start : stop + 1], self.descriptions[rows], self.variants[rows]
            )
        row = range(len(self))[index]
        ids = self.input_ids[self.offsets[row] : self.offsets[row + 1]]
        return Cell(ids, int(self.descriptions[row]), int(self.variants[row]))

    @property
    def lengths(self) -> np.ndarray:
        """int64, shape (cells,); ids of each cell."""
        return np.diff(self.offsets)

    def thinned(self, lost: np.ndarray, rng: np.random.Generator) -> "CellBatch":
        """Return the cells without some of their genes; the first id, `<cls>`, stays, and so does the order of the
        others.

        Args:
            lost: probability that a cell loses a gene, shape (cells,).
            rng: what the choice of genes is drawn from.

        >>> batch = CellBatch.of([Cell(np.array([9, 4, 2]), 0), Cell(np.array([9, 5]), 1)])
        >>> [cell.input_ids.tolist() for cell in batch.thinned(np.array([1.0, 0.0]), np.random.default_rng(0))]
        [[9], [9, 5]]
        """
        flat = self.input_ids[self.offsets[0] : self.offsets[-1]]
        offsets = self.offsets - self.offsets[0]
        kept = rng.random(len(flat)) >= np.repeat(lost, self.lengths)
        kept[offsets[:-1][self.lengths > 0]] = True
        before = np.concatenate([[0], np.cumsum(kept)])
        return CellBatch(flat[kept], before[offsets], self.descriptions, self.variants)

    def padded(self, *, max_length: int, pad_token_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids cut to `max_length` and padded to the longest that is left.

        Returns:
            ids and mask (1: an id, 0: padding), both int64, shape (cells, longest).

        >>> CellBatch.of([Cell(np.array([9, 4, 2]), 0), Cell(np.array([9]), 1)]).padded(max_length=2, pad_token_id=0)
        (array([[9, 4],
               [9, 0]]), array([[1, 1],
               [1, 0]]))
        """
        lengths = np.minimum(self.lengths, max_length)
        longest = int(lengths.max(initial=0))
        mask = np.arange(longest) < lengths[:, None]
        ids = np.full(mask.shape, pad_token_id, dtype=np.int64)
        flat = self.input_ids[self.offsets[0] : self.offsets[-1]]
        if int(lengths.sum()) < len(flat):
            place = np.arange(len(flat)) - np.repeat(self.offsets[:-1] - self.offsets[0], self.lengths)
            flat = flat[place < max_length]
        ids[mask] = flat  # both run through the cells in order
        return ids, mask.astype(np.int64)
