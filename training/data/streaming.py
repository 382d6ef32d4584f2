"""Shards to batches: several folders mixed, shuffled, in batches of like lengths, per process, and exactly resumable.

The parquet files are streamed by `load_dataset("parquet", streaming=True)`, from this disk or from the Hub, one row
group (a *block* of 2,000 cells) at a time, and stay arrow tables until a window is complete. Blocks come in a new order
in each epoch, and every stream (a process, or a part of one) reads its own stretch of that order (`row_order`): no cell
is read by two streams, none is left out. The shuffle buffer of `datasets` is not used because its content is lost when
a run resumes. Instead cells are taken in *windows* of some batches: drawn from the folders by weight, shuffled, sorted
by length, cut into batches, and the batches shuffled. How well cells are mixed is how many blocks a window spans:
batch size * window / 2,000.

All of it follows from the seed, the stream, the number of the window and how many cells of each folder came before it,
so the state of a stream is a few integers, and a resumed run re-reads one window. A window depends on nothing else:
with `workers` processes windows are made ahead of their turn, and the batches are the same with any number of them. A
process that is killed takes nothing with it: another one makes its window. (The error by which a torch `DataLoader`
answers that comes in a signal handler, at any line of the training, and cannot be caught.)

A run that is resumed has to have as many streams as before. `global_batch.GlobalBatch` keeps them when the number of
processes changes: the position is then kept to the batch, no cell twice and none lost.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from langcell.processing.workers.pool import results_in_order, run_in_processes
from langcell.training.data.cell_batches import Cell, CellBatch
from langcell.training.data.collation import BatchCollator
from langcell.training.data.shard_reader import ShardReader, open_shards
from langcell.training.data.text_table import UNKNOWN, Descriptions
from langcell.training.data.windows import WindowMaker, WindowPlan

__all__ = ["UNKNOWN", "BatchCollator", "Cell", "CellBatch", "CellBatches", "Descriptions", "ShardReader", "open_shards"]


class CellBatches:
    """An endless iterator of batches of cells, as the head of this file says.

    Args:
        readers: one for each shard folder.
        weights: their shares of the cells; any positive numbers.
        batch_size: cells a batch.
        window: batches that are shuffled and sorted together.
        max_length: what counts as the length of a cell that will be cut.
        seed: random seed of the draws and the shuffling.
        rank: number of this stream.
        variants: texts that each description has (`Descriptions.variants`).
        gene_dropout: each cell loses a share of its genes, drawn between 0 and this.
        workers: processes that make windows ahead; 0: windows are made when they are asked for.

    Raises:
        ValueError: `weights` do not fit, or `workers` is negative.
    """

    def __init__(
        self,
        readers: Sequence[ShardReader],
        *,
        weights: Sequence[float],
        batch_size: int,
        window: int,
        max_length: int,
        seed: int,
        rank: int = 0,
        variants: int = 1,
        gene_dropout: float = 0.0,
        workers: int = 0,
    ):
        if len(weights) != len(readers) or min(weights) <= 0:
            raise ValueError(f"Weights {list(weights)} do not give each of {len(readers)} folders a number above 0.")
        if workers < 0:
            raise ValueError(f"workers is {workers}; it has to be at least 0.")
        self.readers, self.shares = readers, np.array(weights) / np.sum(weights)
        self.batch_size, self.window, self.seed, self.workers = batch_size, window, seed, workers
        self._maker = WindowMaker(readers, batch_size, window, max_length, seed, rank, variants, gene_dropout)
        self._windows: Iterator[tuple[WindowPlan, CellBatch]] | None = None
        self._cells: CellBatch = CellBatch.of([])
        self._at = WindowPlan(0, [reader.state_dict() for reader in readers], [])
        self._next_batch = 0

    def __iter__(self) -> Iterator[CellBatch]:
        return self

    def __next__(self) -> CellBatch:
        if self._windows is None:
            self._windows = self._make_windows()
            _, self._cells = next(self._windows)  # the window of the present position
        if self._next_batch == self.window:
            self._at, self._cells = next(self._windows)
            self._next_batch = 0
        first = self._next_batch * self.batch_size
        self._next_batch += 1
        return self._cells[first : first + self.batch_size]

    def _plans(self, index: int) -> Iterator[WindowPlan]:
        """Plans of all windows from number `index` on, which begins where the readers stand."""
        while True:
            start = [reader.state_dict() for reader in self.readers]
            # Without the rank, so that all streams go through each folder at the same pace.
            rng = np.random.default_rng([self.seed, index])
            counts = rng.multinomial(self.batch_size * self.window, self.shares).tolist()
            yield WindowPlan(index, start, [reader.plan(n) for reader, n in zip(self.readers, counts, strict=True)])
            index += 1

    def _make_windows(self) -> Iterator[tuple[WindowPlan, CellBatch]]:
        """Windows from the present position on, with their plans."""
        for reader, position in zip(self.readers, self._at.start, strict=True):
            reader.load_state_dict(position)
        waiting: deque[WindowPlan] = deque()

        def issued() -> Iterator[WindowPlan]:
            for plan in self._plans(self._at.index):
                waiting.append(plan)
                yield plan

        made = map(self._maker.__getitem__, issued()) if self.workers == 0 else self._in_workers(issued())
        for cells in made:
            yield waiting.popleft(), cells

    def _in_workers(self, plans: Iterator[WindowPlan]) -> Iterator[CellBatch]:
        """Windows that processes make ahead of their turn; what a process that died had to make, another makes."""
        return results_in_order(
            run_in_processes(self._maker.__getitem__, plans, workers=self.workers, finish_begun=False)
        )

    def state_dict(self) -> dict[str, Any]:
        """Return where the next batch stands."""
        return {
            "window": self._at.index,
            "next_batch": self._next_batch,
            "readers": self._at.start,
            "cells_a_window": [self.batch_size, self.window],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position that `state_dict` gave; the next batch re-reads its window.

        Raises:
            ValueError: batches or windows had another size, or the shards are others.
        """
        size = [self.batch_size, self.window]
        if state["cells_a_window"] != size or len(state["readers"]) != len(self.readers):
            raise ValueError(
                f"The position was saved with batch.size and batch.window {state['cells_a_window']} and "
                f"{len(state['readers'])} folders; this run has {size} and {len(self.readers)}. Resume with the same, "
                "or give another output_dir."
            )
        self._stop()
        for reader, position in zip(self.readers, state["readers"], strict=True):
            reader.load_state_dict(position)
        self._at = WindowPlan(state["window"], state["readers"], [])
        self._next_batch = state["next_batch"]

    def close(self) -> None:
        """Close open files and end worker processes."""
        self._stop()
        for reader in self.readers:
            reader.close()

    def _stop(self) -> None:
        # Windows that were made ahead are dropped; the processes end when nothing refers to it.
        self._windows, self._cells = None, CellBatch.of([])
