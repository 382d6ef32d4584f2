"""One shard as a task of its own: from rows of a source to a file, the same bytes in whichever process it runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary, check_same_vocabulary
from langcell.processing.rank_values import RankedCells, keep_first_of_duplicates, rank_encode
from langcell.processing.shards.files import (
    ROW_COLUMN,
    TEXT_COLUMNS,
    cell_table,
    write_shard_in_parts,
)
from langcell.processing.shards.manifest import FileRecord, ShardOrigin
from langcell.processing.sources.cell_metadata import (
    METADATA_COLUMNS,
    PRIMARY_COLUMN,
    Metadata,
    as_texts,
    distinct_metadata,
    is_kept,
)
from langcell.processing.sources.open_source import RowSource, SourceSpec, open_source
from langcell.processing.tokenization.options import TokenizeOptions
from langcell.processing.tokenization.plan import Plan, PlannedShard
from langcell.processing.tokenization.rank_kernel import rank_encode_compiled

WORK_FOLDER = ".tokenize"  # hidden, so that `datasets` does not look into it
_TEXTS_FILE = "metadata.parquet"
_CELLS_PER_CHUNK = 1_000
_CELLS_WORTH_COMPILING = 20_000  # fewer are ranked before numba has made its machine code
_DATASET_COLUMN = "dataset_id"  # of a Census: which data set a cell is from

DUPLICATE, TOO_FEW_GENES, NO_KNOWN_GENE, OUTSIDE_FILTER = (
    "duplicate",
    "too_few_genes",
    "no_known_gene",
    "outside_filter",
)
"""Why cells are dropped; the last is known of a Census alone, and counted by the plan."""


@dataclass(frozen=True)
class ShardTask:
    """All that a process needs to make one shard.

    Attributes:
        folder: Folder of the shards, which every worker can reach; `prepare_tasks` has written to it.
        shard: Which rows.
        spec: Source of the cells.
        sha256: Checksum of the source.
        options: Options of the run.
        fingerprint: Fingerprint of the gene vocabulary in the folder.
        plan_sha256: Checksum of the plan that the texts in the folder belong to.
        compiled: Rank by machine code; the ids are the same.
    """

    folder: str
    shard: PlannedShard
    spec: SourceSpec
    sha256: str
    options: TokenizeOptions
    fingerprint: str
    plan_sha256: str
    compiled: bool


@dataclass(frozen=True)
class ShardResult:
    """A finished shard; `file` is None where every cell was dropped, and then there is no file."""

    number: int
    file: FileRecord | None
    origin: ShardOrigin


def prepare_tasks(folder: Path, plan: Plan, vocabulary: GeneVocabulary) -> list[ShardTask]:
    """Write what all tasks of a plan share (gene vocabulary, texts) to the folder; the tasks, in order."""
    work = folder / WORK_FOLDER
    work.mkdir(parents=True, exist_ok=True)
    with atomic_output(folder / VOCABULARY_FILE) as temporary:
        vocabulary.save(temporary)
    rows = [
        {"source": source, "description_id": text_id, **dict(zip(METADATA_COLUMNS, metadata, strict=True))}
        for source, ids in enumerate(plan.description_ids)
        for metadata, text_id in ids.items()
    ]
    with atomic_output(work / _TEXTS_FILE) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
    return [
        ShardTask(
            folder=str(folder),
            shard=shard,
            spec=plan.sources[shard.source].spec,
            sha256=plan.sources[shard.source].sha256,
            options=plan.options,
            fingerprint=plan.fingerprint,
            plan_sha256=plan.sha256,
            compiled=plan.total_cells >= _CELLS_WORTH_COMPILING,
        )
        for shard in plan.shards
    ]


def make_shard(task: ShardTask) -> ShardResult:
    """Read, check, rank and write the cells of one shard; what is in memory is one chunk.

    Raises:
        ValueError: A value is no raw count, or the source has changed since the plan was made.
        OSError: The source cannot be read, there is no room for the shard, or this process does not see the folder.
    """
    folder, shard, options = Path(task.folder), task.shard, task.options
    if not (folder / WORK_FOLDER / _TEXTS_FILE).exists():
        raise FileNotFoundError(f"{folder}: a worker does not see this folder; name one that all machines share.")
    work = folder / WORK_FOLDER
    with open_source(task.spec, options.read, work=work, checksum=task.sha256) as source:
        columns = [*METADATA_COLUMNS, PRIMARY_COLUMN, *([_DATASET_COLUMN] if task.spec.census else [])]
        metadata = source.metadata(columns, shard.start, shard.stop)
        if len(metadata) != shard.read:
            raise ValueError(f"{task.spec.path} has changed while it was read; run the same command again.")
        kept = is_kept(metadata, keep_duplicates=options.keep_duplicates)  # the plan has read it, so it can be read
        cells = _Cells(task, metadata[kept])
        dropped = {DUPLICATE: int((~kept).sum())}
        totals = {"n_counts": 0.0, "n_known_counts": 0.0}
        file = write_shard_in_parts(folder, shard.number, _tables(source, cells, task, dropped, totals))
    dropped = {reason: number for reason, number in dropped.items() if number}
    assert shard.read == (file.rows if file else 0) + sum(dropped.values())
    return ShardResult(
        shard.number, file, ShardOrigin(shard.source, shard.start, shard.stop, shard.read, dropped, **totals)
    )


class _Cells:
    """The cells of a shard that are no duplicates: their rows, and the columns that stand beside their ids."""

    def __init__(self, task: ShardTask, metadata: pd.DataFrame) -> None:
        self.rows = metadata.index.to_numpy(dtype=np.int64)
        self.vocabulary = _vocabulary(str(Path(task.folder, VOCABULARY_FILE)), task.fingerprint)
        texts = as_texts(metadata)
        ids = _description_ids(str(Path(task.folder, WORK_FOLDER, _TEXTS_FILE)), task.shard.source, task.plan_sha256)
        combinations, which = distinct_metadata(texts)
        try:
            of_combination = np.array([ids[combination] for combination in combinations], dtype=np.int64)
        except KeyError:
            raise ValueError(f"{task.spec.path} has changed while it was read; run the same command again.") from None
        self.description_id = of_combination[which]
        names = task.spec.name
        if _DATASET_COLUMN in metadata:
            told = metadata[_DATASET_COLUMN].astype(object)
            names = told.where(told.notna(), names).astype(str)
        self.columns: dict[str, np.ndarray] = {
            **{name: np.asarray(texts[name], dtype=object) for name in METADATA_COLUMNS},
            TEXT_COLUMNS[-1]: np.full(len(texts), names, dtype=object),
            ROW_COLUMN: self.rows,
        }


def _tables(
    source: RowSource, cells: _Cells, task: ShardTask, dropped: dict[str, int], totals: dict[str, float]
) -> Iterator[pa.Table]:
    """Yield the cells as tables, chunk by chunk; counts in `dropped` and `totals` what became of them."""
    options, rank = task.options, rank_encode_compiled if task.compiled else rank_encode
    gene_index = _gene_index(source, cells.vocabulary, task)
    for reason in (TOO_FEW_GENES, NO_KNOWN_GENE):
        dropped[reason] = 0
    for start in range(0, len(cells.rows), _CELLS_PER_CHUNK):
        chunk = slice(start, start + _CELLS_PER_CHUNK)
        counts: Any = source.counts_of(cells.rows[chunk])
        ranked = rank(counts, gene_index, cells.vocabulary, max_length=options.max_length)
        enough = np.diff(counts.indptr) >= options.min_genes
        known = ranked.n_known_genes > 0
        del counts  # the next chunk is read before this one's table is done with
        dropped[TOO_FEW_GENES] += int((~enough).sum())
        dropped[NO_KNOWN_GENE] += int((enough & ~known).sum())
        kept = enough & known
        totals["n_counts"] += float(ranked.n_counts[kept].sum())
        totals["n_known_counts"] += float(ranked.n_known_counts[kept].sum())
        columns = {name: values[chunk][kept] for name, values in cells.columns.items()}
        yield cell_table(_some(ranked, kept), cells.description_id[chunk][kept], columns)


def _some(ranked: RankedCells, kept: np.ndarray) -> RankedCells:
    """Return the cells that are kept."""
    if kept.all():
        return ranked
    lengths = ranked.lengths
    return RankedCells(
        token_ids=ranked.token_ids[np.repeat(kept, lengths)],
        offsets=np.concatenate([[0], np.cumsum(lengths[kept])]),
        n_known_genes=ranked.n_known_genes[kept],
        n_counts=ranked.n_counts[kept],
        n_known_counts=ranked.n_known_counts[kept],
    )


@lru_cache(maxsize=1)
def _vocabulary(path: str, fingerprint: str) -> GeneVocabulary:
    vocabulary = GeneVocabulary.load(path)
    check_same_vocabulary(fingerprint, vocabulary.fingerprint, "the plan", path)
    return vocabulary


_last_gene_index: dict[tuple[str, int], np.ndarray] = {}  # most shards are of the source of the one before


def _gene_index(source: RowSource, vocabulary: GeneVocabulary, task: ShardTask) -> np.ndarray:
    """Place of each column in the vocabulary, found as the plan and inference find it; the plan has said how."""
    key = (task.plan_sha256, task.shard.source)
    if key not in _last_gene_index:
        found = source.find_genes(vocabulary, tell=False).index
        _last_gene_index.clear()
        _last_gene_index[key] = keep_first_of_duplicates(found) if task.options.duplicate_genes == "first" else found
    return _last_gene_index[key]


@lru_cache(maxsize=1)
def _description_ids(path: str, source: int, plan_sha256: str) -> dict[Metadata, int]:
    """Return the text ids of one source; `plan_sha256` keeps those of another plan apart."""
    table = pq.read_table(path, filters=[("source", "=", source)]).to_pydict()
    return dict(
        zip(zip(*(table[name] for name in METADATA_COLUMNS), strict=True), table["description_id"], strict=True)
    )
