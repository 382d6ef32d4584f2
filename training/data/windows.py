"""Windows: cells of some batches, shuffled and sorted into batches of like lengths; each a function of its plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset

from langcell.training.data.cell_batches import CellBatch
from langcell.training.data.row_order import RowRange
from langcell.training.data.shard_reader import ShardReader, as_cells
from langcell.training.data.text_table import choose_variants


@dataclass(frozen=True)
class WindowPlan:
    """A window to make.

    Attributes:
        index: its number.
        start: the position of each reader before it.
        ranges: the rows to read from each reader.
    """

    index: int
    start: list[dict[str, Any]]
    ranges: list[list[RowRange]]


@dataclass(frozen=True)
class WindowMaker(Dataset[CellBatch]):
    """Makes any window from its plan; a copy of it does so in each worker process.

    Attributes:
        readers: one for each shard folder.
        batch_size: cells a batch.
        window: batches a window.
        max_length: what counts as the length of a cell that will be cut.
        seed: random seed of the shuffling and of the choice of paraphrases.
        rank: number of the stream.
        variants: texts that each description has.
        gene_dropout: each cell loses a share of its genes drawn between 0 and this.
    """

    readers: Sequence[ShardReader]
    batch_size: int
    window: int
    max_length: int
    seed: int
    rank: int
    variants: int
    gene_dropout: float = 0.0

    def __getitem__(self, plan: WindowPlan) -> CellBatch:
        """The cells of all batches, batch after batch."""
        parts = [reader.read(ranges) for reader, ranges in zip(self.readers, plan.ranges, strict=True) if ranges]
        table = pa.concat_tables(parts).combine_chunks()
        rng = np.random.default_rng([self.seed, self.rank, plan.index])
        shuffled = rng.permutation(table.num_rows)
        lengths = np.asarray(table["input_ids"].chunk(0).value_lengths())[shuffled]
        lost = rng.uniform(0, self.gene_dropout, len(shuffled)) if self.gene_dropout else np.zeros(len(shuffled))
        lengths = np.minimum(lengths * (1 - lost), self.max_length)
        by_length = np.argsort(lengths, kind="stable").reshape(self.window, self.batch_size)
        order = rng.permutation(by_length).ravel()
        cells = as_cells(table.take(shuffled[order]))
        if self.gene_dropout:
            cells = cells.thinned(lost[order], rng)
        return self._with_variants(cells, plan.index)

    def _with_variants(self, cells: CellBatch, index: int) -> CellBatch:
        # Without the rank: batches that the processes read at one time hold each description in one form.
        draws = np.random.default_rng([self.seed, index, 1]).integers(2**63, size=self.window)
        codes = cells.descriptions.reshape(self.window, self.batch_size)
        pairs = zip(codes, draws.tolist(), strict=True)
        variants = np.concatenate([choose_variants(row, variants=self.variants, draw=draw) for row, draw in pairs])
        return CellBatch(cells.input_ids, cells.offsets, cells.descriptions, variants)
