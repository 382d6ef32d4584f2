"""The cells of one shard folder, on this disk or on the Hub, as one stream of several reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from langcell.training.data.block_reader import BlockReader
from langcell.training.data.cell_batches import CellBatch
from langcell.training.data.row_order import RowOrder, RowRange
from langcell.training.data.shard_location import ShardLocation
from langcell.training.data.text_table import UNKNOWN


class ShardReader:
    """The cells of one shard folder that belong to one stream, for ever.

    Args:
        files: the folder's parquet files.
        file_rows: cells in each of them.
        description_codes: the folder's description ids to codes; ids that are not in it become -1.
        seed: random seed of the order of the blocks.
        rank: number of this stream, of `world_size`.

    Attributes:
        taken: cells that were planned or taken so far.
    """

    def __init__(
        self,
        files: Sequence[str],
        *,
        file_rows: Sequence[int],
        description_codes: dict[int, int],
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.blocks = BlockReader(files)
        self.order = RowOrder(file_rows, seed=seed, part=rank, parts=world_size)
        # Code of each id; the entry behind the last one is for ids that have none.
        self._codes = np.full(max(description_codes, default=-1) + 2, UNKNOWN, dtype=np.int64)
        self._codes[list(description_codes)] = list(description_codes.values())
        self.taken = 0

    def plan(self, count: int) -> list[RowRange]:
        """Return where the next `count` cells lie; they count as taken."""
        start, self.taken = self.taken, self.taken + count
        return self.order.ranges(start, self.taken)

    def read(self, ranges: Sequence[RowRange]) -> pa.Table:
        """Return the rows with `input_ids` and the `code` of their description."""
        table = self.blocks.read(ranges)
        ids = table["description_id"].to_numpy()
        last = len(self._codes) - 1
        codes = self._codes[np.where((ids >= 0) & (ids < last), ids, last)]
        return pa.table({"input_ids": table["input_ids"], "code": codes})

    def take(self, count: int) -> CellBatch:
        """Return the next `count` cells, from as many epochs as it needs."""
        return as_cells(self.read(self.plan(count)))

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the folder, and what the position means."""
        return {"taken": self.taken, "cells": self.order.n_rows, "streams": self.order.parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position that `state_dict` gave.

        Raises:
            ValueError: the folder had another number of cells, or was read by another number of streams.
        """
        for name, value in self.state_dict().items():
            if name != "taken" and state.get(name) != value:
                raise ValueError(
                    f"The position was saved with {state.get(name)} {name}, this run has {value}. Resume with the same "
                    "shards and batch.streams, or give another output_dir."
                )
        self.taken = state["taken"]

    def close(self) -> None:
        """Close open files."""
        self.blocks.close()


def open_shards(
    folders: Sequence[str | Path | ShardLocation],
    *,
    code_maps: Sequence[dict[int, int]],
    seed: int,
    rank: int = 0,
    world_size: int = 1,
) -> list[ShardReader]:
    """Return a reader for each finished shard folder.

    Args:
        folders: folders, ids of datasets on the Hub, or what `ShardLocation.find` found.
        code_maps: from `Descriptions.read`.
        seed: random seed of the order of the blocks.
        rank: number of this stream, of `world_size`.
    """
    return [
        ShardReader(
            place.files,
            file_rows=[shard.rows for shard in place.manifest.shards],
            description_codes=codes,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        for place, codes in zip(map(ShardLocation.find, folders), code_maps, strict=True)
    ]


def as_cells(table: pa.Table) -> CellBatch:
    """Return the rows with `input_ids` and `code`, as `ShardReader.read` gives them, as cells that are read with plain
    texts."""
    lists = pa.concat_arrays(table["input_ids"].chunks)
    codes = table["code"].to_numpy()
    return CellBatch(
        lists.values.to_numpy(), lists.offsets.to_numpy().astype(np.int64), codes, np.zeros(len(codes), dtype=np.int64)
    )
