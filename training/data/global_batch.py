"""The cells of a process, out of the global batch of a run.

A run reads its data in *streams*, as many as it had processes when it began (or `batch.streams`), and keeps them to its
end. The batches of all streams side by side are the global batch of a pass; each process takes an equal share of its
rows, and opens the streams that these come from. With as many processes as streams each reads its own. Resumed on
another number of processes, a run goes on with the very same global batches, in larger or smaller shares.
"""

from collections.abc import Callable, Sequence
from typing import Any

from langcell.training.data.streaming import Cell, CellBatches


class GlobalBatch:
    """An endless iterator of the cells of this process; `start` comes first.

    Args:
        open_stream: opens stream i of n, which is read as process i of n would read the shards.
        batch_size: cells of a batch of one stream.
        streams: streams of a run that begins; 0: one for each process.
        rank: number of this process, of `processes`.
    """

    def __init__(
        self,
        open_stream: Callable[[int, int], CellBatches],
        *,
        batch_size: int,
        streams: int = 0,
        rank: int = 0,
        processes: int = 1,
    ):
        self.open_stream, self.batch_size, self.streams = open_stream, batch_size, streams or processes
        self.rank, self.processes = rank, processes
        self._open: dict[int, CellBatches] = {}
        self._rows: dict[int, slice] = {}

    def start(self, positions: Sequence[dict[str, Any]] | None = None) -> None:
        """Open the streams, at their beginning or where a run that is resumed stood.

        Args:
            positions: positions of all streams, in order, from `state_dict` of all processes.

        Raises:
            ValueError: there are more processes than cells in the global batch.
        """
        self.streams = self.streams if positions is None else len(positions)
        cells = self.streams * self.batch_size
        if cells < self.processes:
            raise ValueError(
                f"A pass has {cells} cells ({self.streams} streams of batch.size {self.batch_size}) for "
                f"{self.processes} processes. Give a larger batch.size, or start fewer processes."
            )
        bounds = [cells * rank // self.processes for rank in (self.rank, self.rank + 1)]
        for stream in range(bounds[0] // self.batch_size, -(-bounds[1] // self.batch_size)):
            first = stream * self.batch_size
            self._rows[stream] = slice(max(bounds[0] - first, 0), min(bounds[1] - first, self.batch_size))
            self._open[stream] = self.open_stream(stream, self.streams)
            if positions is not None:
                self._open[stream].load_state_dict(positions[stream])

    def __next__(self) -> Sequence[Cell]:
        shares = [next(batches)[self._rows[stream]] for stream, batches in self._open.items()]
        return shares[0] if len(shares) == 1 else [cell for share in shares for cell in share]

    def state_dict(self) -> dict[int, dict[str, Any]]:
        """Return the positions of the streams that this process reads, by their number."""
        return {stream: batches.state_dict() for stream, batches in self._open.items()}

    def close(self) -> None:
        """Close open files."""
        for batches in self._open.values():
            batches.close()
