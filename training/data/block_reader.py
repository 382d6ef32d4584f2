"""Rows of parquet files, read with `datasets` at any place, on this disk or from the Hub."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import IterableDataset, load_dataset

from langcell.training.data.row_order import RowRange

COLUMNS = ("input_ids", "description_id")
_FILES_KEPT = 256  # opened: some kB each
_BLOCKS_KEPT = 2  # a stretch of rows often begins in the block where the last one ended


class _File(NamedTuple):
    """A parquet file as a stream whose shards are its row groups, and the first row of each."""

    groups: IterableDataset
    starts: np.ndarray


class BlockReader:
    """Reads rows of some files; what it has opened stays behind when it is pickled.

    Args:
        files: paths or `hf://` addresses of parquet files with `COLUMNS`.
    """

    def __init__(self, files: Sequence[str]):
        self.files = list(files)
        self.close()

    def read(self, ranges: Sequence[RowRange]) -> pa.Table:
        """Return the rows of all ranges in order; columns `COLUMNS`.

        Raises:
            ValueError: a file has fewer rows than are asked for.
            OSError: a file cannot be read.
        """
        return pa.concat_tables([part for wanted in ranges for part in self._read(wanted)])

    def close(self) -> None:
        """Close what is open."""
        self._dataset: IterableDataset | None = None
        self._opened: OrderedDict[int, _File] = OrderedDict()
        self._blocks: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.files = state["files"]
        self.close()

    def _read(self, wanted: RowRange) -> list[pa.Table]:
        starts = self._open(wanted.file).starts
        if wanted.stop > starts[-1]:
            raise ValueError(
                f"{self.files[wanted.file]} has {starts[-1]} cells, not the {wanted.stop} of its manifest; "
                "check the folder with: langcell shards info --verify"
            )
        parts, row = [], wanted.start
        while row < wanted.stop:
            group = int(np.searchsorted(starts, row, side="right")) - 1
            count = min(wanted.stop, int(starts[group + 1])) - row
            parts.append(self._block(wanted.file, group).slice(row - int(starts[group]), count))
            row += count
        return parts

    def _block(self, file: int, group: int) -> pa.Table:
        key = (file, group)
        if key not in self._blocks:
            groups = self._open(file).groups
            # `iter`, not `__iter__`: the latter deals the blocks out to the worker processes of a DataLoader.
            tables = list(groups.shard(num_shards=groups.num_shards, index=group).iter(batch_size=1_000_000))
            self._blocks[key] = pa.concat_tables(tables)
            while len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[key]

    def _open(self, file: int) -> _File:
        if file not in self._opened:
            if self._dataset is None:
                stream = load_dataset(
                    "parquet", data_files=self.files, split="train", streaming=True, columns=list(COLUMNS)
                )
                self._dataset = stream.with_format("arrow")
            with fsspec.open(self.files[file], "rb") as stream:
                footer = pq.read_metadata(stream)
            rows = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
            groups = self._dataset.shard(num_shards=len(self.files), index=file).reshard()
            self._opened[file] = _File(groups, np.cumsum([0, *rows]))
            while len(self._opened) > _FILES_KEPT:
                self._opened.popitem(last=False)
        return self._opened[file]
