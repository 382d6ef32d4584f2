"""Tokenized parquet shards: ranked cells with the ids of their descriptions, a table of descriptions, and a manifest.

    folder/
        data/train-00000.parquet ...        the cells
        descriptions/descriptions.parquet   each distinct text once
        manifest.json                       what the folder holds; written last, so a folder without it is not finished

`datasets.load_dataset(folder, split="train")` reads the cells with no code of ours, locally or from the Hub.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import RankedCells
from langcell.processing.shards.files import (
    CELL_SCHEMA,
    DESCRIPTIONS_FILE,
    TEXT_COLUMNS,
    Description,
    cell_table,
    finish_folder,
    prepare_folder,
    read_descriptions,
    write_shard,
)
from langcell.processing.shards.manifest import (
    SCHEMA_VERSION,
    FileRecord,
    Manifest,
    check_fingerprint,
    read_manifest,
    sha256_of,
    verify,
)

__all__ = [
    "DESCRIPTIONS_FILE",
    "SCHEMA_VERSION",
    "TEXT_COLUMNS",
    "Description",
    "FileRecord",
    "Manifest",
    "ShardWriter",
    "cell_table",
    "check_fingerprint",
    "finish_folder",
    "prepare_folder",
    "read_descriptions",
    "read_manifest",
    "sha256_of",
    "verify",
    "write_shard",
]


class ShardWriter:
    """Cuts a stream of ranked cells into shards of equal size; a context manager.

    The shards depend on the cells alone, not on the chunks that they come in. A block that is left with an exception
    leaves a folder without a manifest, which no reader takes for finished.

    Args:
        folder: Where the shards go.
        vocabulary: The gene vocabulary that the cells were ranked with.
        descriptions: The texts; a `description_id` is a position in them.
        max_length: Most ids a cell may have, `<cls>` included.
        sources: Where the cells come from: name, sha256 and what else is known; values that JSON can hold.
        cells_per_shard: Cells in every shard but the last.
        overwrite: Replace finished shards.

    Raises:
        ValueError: The folder holds finished shards and `overwrite` is False, or `cells_per_shard` is below 1.
    """

    def __init__(
        self,
        folder: str | Path,
        vocabulary: GeneVocabulary,
        *,
        descriptions: Sequence[Description],
        max_length: int,
        sources: Sequence[Mapping[str, Any]],
        cells_per_shard: int = 20_000,
        overwrite: bool = False,
    ) -> None:
        if cells_per_shard < 1:
            raise ValueError(f"cells_per_shard is {cells_per_shard}; a shard has at least 1 cell.")
        self.folder = prepare_folder(folder, overwrite=overwrite)
        self._vocabulary, self._descriptions, self._sources = vocabulary, descriptions, sources
        self._max_length, self._cells_per_shard = max_length, cells_per_shard
        self._pending = CELL_SCHEMA.empty_table()
        self._records: list[FileRecord] = []

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def add(self, ranked: RankedCells, description_id: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Take more cells; shards that become full are written.

        Args:
            ranked: The cells, shape (cells,) in all three arguments.
            description_id: Position of each cell's text in `descriptions`.
            columns: `TEXT_COLUMNS`.

        Raises:
            ValueError: A cell has more than `max_length` ids, or a description id or a column is out of place.
        """
        longest = int(ranked.lengths.max(initial=0))
        if longest > self._max_length:
            raise ValueError(f"A cell has {longest} ids, more than max_length {self._max_length}: rank with it.")
        ids = np.asarray(description_id)
        wrong = ids[(ids < 0) | (ids >= len(self._descriptions))]
        if wrong.size:
            raise ValueError(f"Description id {wrong[0]} is not one of 0 to {len(self._descriptions) - 1}.")
        self._pending = pa.concat_tables([self._pending, cell_table(ranked, ids, columns)])
        while self._pending.num_rows >= self._cells_per_shard:
            self._write_pending()

    def close(self) -> Manifest:
        """Write the last shard, the descriptions and the manifest."""
        if self._pending.num_rows:
            self._write_pending()
        return finish_folder(
            self.folder,
            self._records,
            self._descriptions,
            vocabulary=self._vocabulary,
            max_length=self._max_length,
            sources=self._sources,
        )

    def _write_pending(self) -> None:
        cells = self._pending.slice(0, self._cells_per_shard)
        self._records.append(write_shard(self.folder, len(self._records), cells))
        self._pending = self._pending.slice(self._cells_per_shard)
