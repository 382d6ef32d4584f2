"""Files of a folder of tokenized shards: each written whole or not at all, and byte for byte the same each time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology.descriptions import DESCRIBED_COLUMNS
from langcell.processing.rank_values import RankedCells
from langcell.processing.shards.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    FileRecord,
    Manifest,
    read_manifest,
    sha256_of,
    write_manifest,
)

# In a folder of its own: `load_dataset("parquet", data_files="shards/*.parquet")` must not take the texts for cells.
DESCRIPTIONS_FILE = "descriptions/descriptions.parquet"
EARLIER_DESCRIPTIONS_FILE = "descriptions.parquet"  # where earlier versions wrote it; their manifests say so
# Plain strings: parquet stores them as a dictionary anyway, and `datasets` does not read arrow's dictionary type.
TEXT_COLUMNS = ("cell_type_ontology_term_id", "tissue_ontology_term_id", "source")
# Columns that shards of tokenized sources have as well: the other metadata, and the row of the source (of a Census the
# soma_joinid), by which a cell is found again.
ROW_COLUMN = "row"
MORE_COLUMNS = (*(name for name in DESCRIBED_COLUMNS if name not in TEXT_COLUMNS), ROW_COLUMN)
ROWS_PER_GROUP = 2_000  # what a streaming reader holds at a time
CELL_SCHEMA = pa.schema(
    [
        pa.field("input_ids", pa.list_(pa.uint16())),
        pa.field("length", pa.int32()),
        pa.field("description_id", pa.int32()),
        *(pa.field(name, pa.string()) for name in TEXT_COLUMNS),
    ]
)
FULL_SCHEMA = pa.schema(
    [*CELL_SCHEMA, *(pa.field(name, pa.int64() if name == ROW_COLUMN else pa.string()) for name in MORE_COLUMNS)]
)
# Written out although they are the defaults of today: the bytes of a shard must not change with a library's version.
_PARQUET: Mapping[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "version": "2.6",
    "data_page_version": "1.0",
}


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
    """Return the ranked cells as rows of a shard.

    Args:
        ranked: The cells.
        description_id: int, shape (cells,); row in the table of descriptions.
        columns: `TEXT_COLUMNS`, and all of `MORE_COLUMNS` or none; each of shape (cells,).

    Raises:
        ValueError: A column is missing, unknown, or has another length than the cells.
    """
    schema = FULL_SCHEMA if set(columns) & set(MORE_COLUMNS) else CELL_SCHEMA
    needed = schema.names[3:]
    if set(columns) != set(needed):
        raise ValueError(f"The shard columns are {sorted(columns)}; give exactly {needed}.")
    for name, values in {"description_id": description_id, **columns}.items():
        if len(values) != len(ranked):
            raise ValueError(f"Column {name!r} has {len(values)} values for {len(ranked)} cells; give one a cell.")
    if len(ranked.token_ids) > np.iinfo(np.int32).max:
        raise ValueError(f"{len(ranked)} cells have {len(ranked.token_ids):,} ids, too many for one table; add fewer.")
    values = {
        "input_ids": pa.ListArray.from_arrays(ranked.offsets.astype(np.int32), pa.array(ranked.token_ids, pa.uint16())),
        "length": pa.array(ranked.lengths, pa.int32()),
        "description_id": pa.array(np.asarray(description_id), pa.int32()),
        **{name: pa.array(np.asarray(columns[name], dtype=object), schema.field(name).type) for name in needed},
    }
    return pa.table(values, schema=schema)


def prepare_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Make a folder ready for shards: what a run that did not finish left behind is removed.

    Raises:
        ValueError: The folder holds finished shards and `overwrite` is False.
    """
    folder = Path(folder)
    if (folder / MANIFEST_FILE).exists() and not overwrite:
        raise ValueError(f"{folder} already holds finished shards; name another folder, or allow overwriting.")
    (folder / MANIFEST_FILE).unlink(missing_ok=True)  # first: from here on the folder is not finished
    for texts in (EARLIER_DESCRIPTIONS_FILE, DESCRIPTIONS_FILE):
        (folder / texts).unlink(missing_ok=True)
    _remove_if_empty((folder / DESCRIPTIONS_FILE).parent)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for pattern in ("train-*.parquet", ".train-*.tmp"):
        for leftover in (folder / "data").glob(pattern):
            leftover.unlink()
    return folder


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def write_shard(folder: str | Path, number: int, cells: pa.Table) -> FileRecord:
    """Write one shard, whole or not at all; the same cells give the same bytes.

    Args:
        folder: A folder from `prepare_folder`.
        number: Number of the shard, from 0.
        cells: Rows from `cell_table`.

    Raises:
        OSError: There is no room on the disk.
    """
    path = shard_path(number)
    tokens = int(np.asarray(cells["length"], dtype=np.int64).sum())
    return FileRecord(path, _write_parquet(Path(folder) / path, cells), cells.num_rows, tokens)


def shard_path(number: int) -> str:
    """Return the path of a shard, relative to its folder."""
    return f"data/train-{number:05d}.parquet"


def write_shard_in_parts(folder: str | Path, number: int, parts: Iterator[pa.Table]) -> FileRecord | None:
    """Do the same as `write_shard`, for cells that come in parts: what is in memory is a row group and a part.

    The bytes depend on the cells alone, not on the parts.

    Args:
        folder: A folder with a folder `data`.
        number: Number of the shard, from 0.
        parts: Tables from `cell_table` with the same columns.

    Returns:
        The record; None where there is no cell, and then no file.

    Raises:
        OSError: There is no room on the disk.
    """
    groups = _row_groups(parts)
    first = next(groups, None)
    if first is None:
        return None
    rows = tokens = 0
    path = shard_path(number)
    with atomic_output(Path(folder) / path) as temporary:
        with pq.ParquetWriter(temporary, first.schema, **_PARQUET) as writer:
            for group in chain([first], groups):
                writer.write_table(group, row_group_size=ROWS_PER_GROUP)
                rows += group.num_rows
                tokens += int(np.asarray(group["length"], dtype=np.int64).sum())
        digest = sha256_of(temporary)
    return FileRecord(path, digest, rows, tokens)


def _row_groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of the parts in tables of `ROWS_PER_GROUP`, one array a column; the last may have fewer."""
    waiting: list[pa.Table] = []
    for part in parts:
        table = pa.concat_tables([*waiting, part])
        whole = table.num_rows - table.num_rows % ROWS_PER_GROUP
        for start in range(0, whole, ROWS_PER_GROUP):
            yield table.slice(start, ROWS_PER_GROUP).combine_chunks()
        waiting = [table.slice(whole)]
    for table in waiting:
        if table.num_rows:
            yield table.combine_chunks()


def finish_folder(
    folder: str | Path,
    shards: Sequence[FileRecord],
    descriptions: Sequence[Description],
    *,
    vocabulary: GeneVocabulary,
    max_length: int,
    sources: Sequence[Mapping[str, Any]],
    simulation: Mapping[str, Any] | None = None,
    tokenizing: Mapping[str, Any] | None = None,
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
        tokenizing: Options and plan of tokenized cells.

    Raises:
        ValueError: A text occurs twice.
    """
    texts: set[str] = set()
    for description in descriptions:
        if description.text in texts:
            raise ValueError(f"The description {description.text[:60]!r} occurs twice; give each distinct text once.")
        texts.add(description.text)
    rows = [{"description_id": i, **asdict(description)} for i, description in enumerate(descriptions)]
    table = pa.Table.from_pylist(rows, schema=_DESCRIPTION_SCHEMA)
    (Path(folder) / DESCRIPTIONS_FILE).parent.mkdir(exist_ok=True)
    digest = _write_parquet(Path(folder) / DESCRIPTIONS_FILE, table)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        vocabulary_fingerprint=vocabulary.fingerprint,
        max_length=max_length,
        total_cells=sum(shard.rows for shard in shards),
        shards=tuple(shards),
        descriptions=FileRecord(DESCRIPTIONS_FILE, digest, len(rows)),
        sources=tuple(sources),
        simulation=simulation,
        tokenizing=tokenizing,
    )
    write_manifest(folder, manifest)
    (Path(folder) / EARLIER_DESCRIPTIONS_FILE).unlink(missing_ok=True)  # last: until now a manifest may have named it
    return manifest


def read_descriptions(folder: str | Path) -> list[Description]:
    """Return the texts of a finished folder of shards; item i has description id i.

    Raises:
        ValueError: The folder has no manifest that can be read.
    """
    rows = (
        pq.read_table(Path(folder) / read_manifest(folder).descriptions.path).drop_columns("description_id").to_pylist()
    )
    return [Description(**row) for row in rows]


def _write_parquet(path: Path, table: pa.Table) -> str:
    """Write a table and return its sha256."""
    with atomic_output(path) as temporary:
        # One array a column: the bytes must not depend on the chunks that the rows came in.
        pq.write_table(table.combine_chunks(), temporary, row_group_size=ROWS_PER_GROUP, **_PARQUET)
    return sha256_of(path)
