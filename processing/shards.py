"""Tokenized parquet shards: ranked cells with the ids of their descriptions, a table of descriptions, and a manifest.

    folder/
        data/train-00000.parquet ...   the cells
        descriptions.parquet           each distinct text once
        manifest.json                  what the folder holds; written last, so a folder without it is not finished

`datasets.load_dataset(folder, split="train")` reads the cells with no code of ours, locally or from the Hub.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .atomic_output import atomic_output
from .genes import GeneVocabulary
from .rank_values import RankedCells
from .shard_manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    FileRecord,
    Manifest,
    check_fingerprint,
    read_manifest,
    sha256_of,
    verify,
    write_manifest,
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

DESCRIPTIONS_FILE = "descriptions.parquet"
# Plain strings: parquet stores them as a dictionary anyway, and `datasets` does not read arrow's dictionary type.
TEXT_COLUMNS = ("cell_type_ontology_term_id", "tissue_ontology_term_id", "source")
_ROWS_PER_GROUP = 2_000  # what a streaming reader holds at a time
_CELL_SCHEMA = pa.schema(
    [
        pa.field("input_ids", pa.list_(pa.uint16())),
        pa.field("length", pa.int32()),
        pa.field("description_id", pa.int32()),
        *(pa.field(name, pa.string()) for name in TEXT_COLUMNS),
    ]
)


@dataclass(frozen=True)
class Description:
    """A text that cells are paired with.

    Attributes:
        text: The text; distinct within a folder.
        cell_type_ontology_term_id: The cell type that it describes.
        tissue_ontology_term_id: The tissue that it names, "" where it names none.
        form: What kind of text it is, such as "name", "synonym", "full".
    """

    text: str
    cell_type_ontology_term_id: str
    tissue_ontology_term_id: str = ""
    form: str = ""


_DESCRIPTION_SCHEMA = pa.schema(
    [pa.field("description_id", pa.int32())]
    + [pa.field(name, pa.string()) for name in Description.__dataclass_fields__]
)


def cell_table(ranked: RankedCells, description_id: np.ndarray, columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Ranked cells as rows of a shard.

    Args:
        ranked: The cells.
        description_id: int, shape (cells,); row in the table of descriptions.
        columns: Exactly `TEXT_COLUMNS`, each text of shape (cells,).

    Raises:
        ValueError: A column is missing, unknown, or has another length than the cells.
    """
    if set(columns) != set(TEXT_COLUMNS):
        raise ValueError(f"The shard columns are {sorted(columns)}; give exactly {list(TEXT_COLUMNS)}.")
    for name, values in {"description_id": description_id, **columns}.items():
        if len(values) != len(ranked):
            raise ValueError(f"Column {name!r} has {len(values)} values for {len(ranked)} cells; give one a cell.")
    if len(ranked.token_ids) > np.iinfo(np.int32).max:
        raise ValueError(f"{len(ranked)} cells have {len(ranked.token_ids):,} ids, too many for one table; add fewer.")
    values = {
        "input_ids": pa.ListArray.from_arrays(ranked.offsets.astype(np.int32), pa.array(ranked.token_ids, pa.uint16())),
        "length": pa.array(ranked.lengths, pa.int32()),
        "description_id": pa.array(np.asarray(description_id), pa.int32()),
        **{name: pa.array(np.asarray(columns[name], dtype=object), pa.string()) for name in TEXT_COLUMNS},
    }
    return pa.table(values, schema=_CELL_SCHEMA)


def prepare_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Make a folder ready for shards: what a run that did not finish left behind is removed.

    Raises:
        ValueError: The folder holds finished shards and `overwrite` is False.
    """
    folder = Path(folder)
    if (folder / MANIFEST_FILE).exists() and not overwrite:
        raise ValueError(f"{folder} already holds finished shards; name another folder, or allow overwriting.")
    (folder / MANIFEST_FILE).unlink(missing_ok=True)  # first: from here on the folder is not finished
    (folder / DESCRIPTIONS_FILE).unlink(missing_ok=True)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for pattern in ("train-*.parquet", ".train-*.tmp"):
        for leftover in (folder / "data").glob(pattern):
            leftover.unlink()
    return folder


def write_shard(folder: str | Path, number: int, cells: pa.Table) -> FileRecord:
    """Write one shard, whole or not at all; the same cells give the same bytes.

    Args:
        folder: A folder from `prepare_folder`.
        number: Number of the shard, from 0.
        cells: Rows from `cell_table`.

    Raises:
        OSError: There is no room on the disk.
    """
    path = f"data/train-{number:05d}.parquet"
    tokens = int(np.asarray(cells["length"], dtype=np.int64).sum())
    return FileRecord(path, _write_parquet(Path(folder) / path, cells), cells.num_rows, tokens)


def finish_folder(
    folder: str | Path,
    shards: Sequence[FileRecord],
    descriptions: Sequence[Description],
    *,
    vocabulary: GeneVocabulary,
    max_length: int,
    sources: Sequence[Mapping[str, Any]],
    simulation: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the table of descriptions, then the manifest, which makes the folder finished.

    Args:
        folder: The folder of the shards.
        shards: Records of all shards, in order.
        descriptions: The texts; row i has description id i.
        vocabulary: The gene vocabulary that the cells were ranked with.
        max_length: Most ids a cell may have.
        sources: Where the cells come from; values that JSON can hold.
        simulation: Seed and parameters of simulated cells.

    Raises:
        ValueError: A text occurs twice.
    """
    texts: set[str] = set()
    for description in descriptions:
        if description.text in texts:
            raise ValueError(f"The description {description.text[:60]!r} occurs twice; give each distinct text once.")
        texts.add(description.text)
    rows = [{"description_id": i, **asdict(description)} for i, description in enumerate(descriptions)]
    digest = _write_parquet(Path(folder) / DESCRIPTIONS_FILE, pa.Table.from_pylist(rows, schema=_DESCRIPTION_SCHEMA))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        vocabulary_fingerprint=vocabulary.fingerprint,
        max_length=max_length,
        total_cells=sum(shard.rows for shard in shards),
        shards=tuple(shards),
        descriptions=FileRecord(DESCRIPTIONS_FILE, digest, len(rows)),
        sources=tuple(sources),
        simulation=simulation,
    )
    write_manifest(folder, manifest)
    return manifest


def read_descriptions(folder: str | Path) -> list[Description]:
    """The texts of a folder of shards; item i has description id i."""
    rows = pq.read_table(Path(folder) / DESCRIPTIONS_FILE).drop_columns("description_id").to_pylist()
    return [Description(**row) for row in rows]


def _write_parquet(path: Path, table: pa.Table) -> str:
    """Write a table and return its sha256."""
    with atomic_output(path) as temporary:
        # One array a column: the bytes must not depend on the chunks that the rows came in.
        pq.write_table(table.combine_chunks(), temporary, row_group_size=_ROWS_PER_GROUP, compression="zstd")
    return sha256_of(path)


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
        self._pending = _CELL_SCHEMA.empty_table()
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
            raise ValueError(
                f"A cell has {longest} ids, more than max_length {self._max_length}; rank with that length."
            )
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
        self._records.append(
            write_shard(self.folder, len(self._records), self._pending.slice(0, self._cells_per_shard))
        )
        self._pending = self._pending.slice(self._cells_per_shard)
