"""The plan of a run of tokenizing: which rows of which source make which shard, and which text each cell gets.

It is made before any cell is tokenized, in one pass over the metadata of all sources, and follows from the sources and
the options alone. So each shard is a task of its own, and the shards are the same however many processes make them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology.descriptions import describe
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.files import Description
from langcell.processing.sources.cell_metadata import (
    METADATA_COLUMNS,
    PRIMARY_COLUMN,
    Metadata,
    as_texts,
    distinct_metadata,
    is_kept,
)
from langcell.processing.sources.census import CensusSource
from langcell.processing.sources.open_source import (
    RowSource,
    SourceSpec,
    checksum_of,
    open_source,
)
from langcell.processing.tokenization.options import TokenizeOptions

# A shard that would need more rows than this many times its cells, because most are duplicates, is left smaller.
_MOST_ROWS_PER_CELL = 10


@dataclass(frozen=True)
class PlannedShard:
    """Rows `start` to `stop` of a source, and how many cells of it are there to be read."""

    number: int
    source: int
    start: int
    stop: int
    read: int


@dataclass(frozen=True)
class PlannedSource:
    """A source, its checksum (of a Census: over its selected cells and its genes), and the cells outside its filter."""

    spec: SourceSpec
    sha256: str
    outside_filter: int = 0


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do.

    Attributes:
        options: Of the run.
        fingerprint: Of the gene vocabulary.
        sources: In the order given.
        shards: In order; the shards of a source cover all its rows.
        descriptions: The distinct texts, in order of first appearance.
        description_ids: For each source, the id of the text of each combination of metadata in it.
    """

    options: TokenizeOptions
    fingerprint: str
    sources: list[PlannedSource]
    shards: list[PlannedShard]
    descriptions: list[Description]
    description_ids: list[dict[Metadata, int]]

    @property
    def total_cells(self) -> int:
        """Cells to be read."""
        return sum(shard.read for shard in self.shards)

    def summary(self) -> dict[str, Any]:
        """What has to agree for two runs to make the same shards; values that JSON can hold, but no places."""
        texts = json.dumps([asdict(text) for text in self.descriptions]).encode()
        return {
            "options": asdict(self.options),
            "vocabulary_fingerprint": self.fingerprint,
            "sources": [[source.spec.name, source.sha256, source.outside_filter] for source in self.sources],
            "descriptions": hashlib.sha256(texts).hexdigest(),
        }

    @property
    def sha256(self) -> str:
        """Checksum of the summary."""
        return hashlib.sha256(json.dumps(self.summary(), sort_keys=True).encode()).hexdigest()


def make_plan(
    specs: Sequence[SourceSpec],
    vocabulary: GeneVocabulary,
    *,
    options: TokenizeOptions,
    ontology: Ontology,
    work: Path,
    progress: bool = True,
) -> Plan:
    """Read the metadata of all sources once, a block at a time, and plan the shards.

    Args:
        specs: The sources.
        vocabulary: Genes of each source are matched against it, so that one without any is found now.
        options: Of the run.
        ontology: Where the ids in the metadata are looked up.
        work: Folder for the readable form of text matrices.
        progress: Show a progress bar.

    Raises:
        ValueError: A source has no raw counts, no known gene, or an unknown ontology id; the message names it.
        OSError: A source cannot be read.
    """
    if not specs:
        raise ValueError("No source of cells; name at least one file, folder, glob or Census.")
    planner = _Planner(options, ontology)
    sources = []
    with tqdm(desc="reading metadata", unit="cell", unit_scale=True, disable=not progress) as bar:
        for spec in specs:
            checksum = "" if spec.census else checksum_of(spec)
            with open_source(spec, options.read, work=work, checksum=checksum) as source:
                vocabulary.require_known(source.gene_names, other_columns=source.gene_columns)
                sources.append(planner.add(PlannedSource(spec, checksum), source, bar))
    return Plan(options, vocabulary.fingerprint, sources, planner.shards, planner.descriptions, planner.description_ids)


class _Planner:
    """Collects shards and descriptions, source by source."""

    def __init__(self, options: TokenizeOptions, ontology: Ontology) -> None:
        self._options, self._ontology = options, ontology
        self.shards: list[PlannedShard] = []
        self.descriptions: list[Description] = []
        self.description_ids: list[dict[Metadata, int]] = []
        self._id_of_text: dict[str, int] = {}

    def add(self, planned: PlannedSource, source: RowSource, bar: tqdm) -> PlannedSource:
        number, read, digest = len(self.description_ids), 0, hashlib.sha256()
        ordinals: dict[Metadata, int] = {}
        self.description_ids.append({})
        cutter = _Cutter(self._options)
        for block in source.metadata_blocks([*METADATA_COLUMNS, PRIMARY_COLUMN], self._options.cells_per_shard):
            rows, kept = (
                block.index.to_numpy(dtype=np.int64),
                is_kept(block, keep_duplicates=self._options.keep_duplicates),
            )
            combinations, which = distinct_metadata(as_texts(block))
            for combination in combinations:
                self._describe(combination, planned.spec.name)
            cutter.add(rows, kept)
            # Cell by cell, so that it does not matter how the source was cut into blocks.
            ordinal = np.array([ordinals.setdefault(each, len(ordinals)) for each in combinations], dtype=np.int64)
            digest.update(np.column_stack([rows, kept, ordinal[which]]).astype("<i8").tobytes())
            read += len(block)
            bar.update(len(block))
        for start, stop, n_rows in cutter.finish():
            self.shards.append(PlannedShard(len(self.shards), number, start, stop, n_rows))
        if isinstance(source, CensusSource):
            digest.update(repr([list(ordinals), source.gene_names]).encode())
            return replace(planned, sha256=digest.hexdigest(), outside_filter=source.n_in_range() - read)
        return planned

    def _describe(self, combination: Metadata, where: str) -> None:
        ids = self.description_ids[-1]
        if combination in ids:
            return
        row = dict(zip(METADATA_COLUMNS, combination, strict=True))
        try:
            text = describe(row, ontology=self._ontology)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if text not in self._id_of_text:
            self._id_of_text[text] = len(self.descriptions)
            columns = ("cell_type_ontology_term_id", "tissue_ontology_term_id")
            cell_type, tissue = (self._current(row[column]) if text else "" for column in columns)
            self.descriptions.append(Description(text, cell_type, tissue, "full" if text else ""))
        ids[combination] = self._id_of_text[text]

    def _current(self, term_id: str) -> str:
        """The id as a description names it: that of the successor of an obsolete term, "" where it is unknown."""
        return self._ontology.current(term_id).id if term_id in self._ontology else ""


class _Cutter:
    """Cuts the rows of a source into ranges with equally many kept cells."""

    def __init__(self, options: TokenizeOptions) -> None:
        self._cells = options.cells_per_shard
        self._ranges: list[tuple[int, int, int]] = []
        self._start: int | None = None
        self._stop = self._read = self._kept = 0

    def add(self, rows: np.ndarray, kept: np.ndarray) -> None:
        """Take the next rows, ascending."""
        begin = 0
        while begin < len(rows):
            room = min(len(rows) - begin, self._cells * _MOST_ROWS_PER_CELL - self._read)
            so_far = self._kept + np.cumsum(kept[begin : begin + room])
            taken = min(room, int(np.searchsorted(so_far, self._cells)) + 1)
            self._start = int(rows[begin]) if self._start is None else self._start
            self._stop, self._read = int(rows[begin + taken - 1]) + 1, self._read + taken
            self._kept = int(so_far[taken - 1])
            begin += taken
            if self._kept == self._cells or self._read == self._cells * _MOST_ROWS_PER_CELL:
                self._close()

    def finish(self) -> list[tuple[int, int, int]]:
        """Start, stop and number of rows of each range."""
        self._close()
        return self._ranges

    def _close(self) -> None:
        if self._start is not None:
            self._ranges.append((self._start, self._stop, self._read))
        self._start, self._read, self._kept = None, 0, 0
