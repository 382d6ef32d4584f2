"""The plan of a run of tokenizing: which rows of which source make which shard, and which text each cell gets.

It is made before any cell is tokenized, in one pass over the metadata of all sources, and follows from the sources and
the options alone. So each shard is a task of its own, and the shards are the same however many processes make them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.files import Description
from langcell.processing.sources.cell_metadata import (
    METADATA_COLUMNS,
    NAME_COLUMNS,
    PRIMARY_COLUMN,
    Metadata,
    as_texts,
    distinct_metadata,
    is_kept,
    n_unmarked,
    names_of_ids,
)
from langcell.processing.sources.census import CensusSource
from langcell.processing.sources.open_source import (
    RowSource,
    SourceSpec,
    checksum_of,
    open_source,
    refuse_unfit,
    said_of,
)
from langcell.processing.tokenization.metadata_texts import MetadataTexts
from langcell.processing.tokenization.options import TokenizeOptions
from langcell.processing.tokenization.row_ranges import RowCutter


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
    """A source as it is read.

    Attributes:
        spec: The source.
        sha256: Its checksum; of a Census: over its selected cells and its genes.
        outside_filter: Cells outside the filter of a Census.
        unknown_ids: Cells of each id that the ontologies do not have, by column and id.
        unmarked: Cells of which `is_primary_data` says nothing, which are kept.
    """

    spec: SourceSpec
    sha256: str
    outside_filter: int = 0
    unknown_ids: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unmarked: int = 0


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do.

    Attributes:
        options: Options of the run.
        fingerprint: Fingerprint of the gene vocabulary.
        sources: In the order given.
        shards: In order; the shards of a source cover all its rows.
        descriptions: The distinct texts, in order of first appearance.
        description_ids: For each source, the id of the text of each combination of metadata in it.
        skipped: Name of each source that cannot be used, and why.
    """

    options: TokenizeOptions
    fingerprint: str
    sources: list[PlannedSource]
    shards: list[PlannedShard]
    descriptions: list[Description]
    description_ids: list[dict[Metadata, int]]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total_cells(self) -> int:
        """Cells to be read."""
        return sum(shard.read for shard in self.shards)

    def summary(self) -> dict[str, Any]:
        """Return what has to agree for two runs to make the same shards; values that JSON can hold, but no places."""
        texts = json.dumps([asdict(text) for text in self.descriptions]).encode()
        options = asdict(self.options)
        if options["on_unknown_id"] == "error":  # as before there was a choice: those shards can be gone on with
            del options["on_unknown_id"]
        return {
            "options": options,
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
    skip_unfit: bool = False,
    progress: bool = True,
) -> Plan:
    """Read the metadata of all sources once, a block at a time, and plan the shards.

    Args:
        specs: The sources.
        vocabulary: Genes of each source are matched against it, so that one without any is found now.
        options: Options of the run.
        ontology: Where the ids in the metadata are looked up.
        work: Folder for the readable form of text matrices.
        skip_unfit: Leave out sources that cannot be used, as long as one can; otherwise all of them are refused.
        progress: Show a progress bar.

    Raises:
        ValueError: Sources have no raw counts, no known gene, or unknown ontology ids; the message names all of them.
        OSError: The only source that is unfit cannot be read.
    """
    if not specs:
        raise ValueError("No source of cells; name at least one file, folder, glob or Census.")
    planner = _Planner(options, ontology)
    sources: list[PlannedSource] = []
    faults: list[tuple[str, Exception]] = []
    bar = tqdm(desc="reading metadata", unit="cell", unit_scale=True, disable=not progress)
    with bar, logging_redirect_tqdm():
        for spec in specs:
            before = planner.state()
            try:
                checksum = "" if spec.census else checksum_of(spec)
                with open_source(spec, options.read, work=work, checksum=checksum) as source:
                    source.find_genes(vocabulary)
                    sources.append(planner.add(PlannedSource(spec, checksum), source, bar))
            except (OSError, ValueError) as error:
                planner.back_to(before)
                faults.append((spec.name, error))
    if not skip_unfit or not sources:
        refuse_unfit(faults, len(specs))
    skipped = [(name, said_of(name, error)) for name, error in faults]
    return Plan(
        options, vocabulary.fingerprint, sources, planner.shards, planner.descriptions, planner.description_ids, skipped
    )


class _Planner:
    """Collects shards and descriptions, source by source."""

    def __init__(self, options: TokenizeOptions, ontology: Ontology) -> None:
        self._options, self._ontology = options, ontology
        self.shards: list[PlannedShard] = []
        self.descriptions: list[Description] = []
        self.description_ids: list[dict[Metadata, int]] = []
        self._id_of_text: dict[str, int] = {}

    def state(self) -> tuple[int, int, int]:
        """Return how much there is, to go back to."""
        return len(self.shards), len(self.descriptions), len(self.description_ids)

    def back_to(self, state: tuple[int, int, int]) -> None:
        """Forget what was added since `state`."""
        shards, descriptions, sources = state
        del self.shards[shards:], self.descriptions[descriptions:], self.description_ids[sources:]
        self._id_of_text = {text: number for text, number in self._id_of_text.items() if number < descriptions}

    def add(self, planned: PlannedSource, source: RowSource, bar: tqdm) -> PlannedSource:
        number, read, unmarked, digest = len(self.description_ids), 0, 0, hashlib.sha256()
        texts = MetadataTexts(self._ontology, self._options.on_unknown_id)
        beside = NAME_COLUMNS.values() if self._options.on_unknown_id == "keep-name" else ()
        ordinals: dict[Metadata, int] = {}
        self.description_ids.append({})
        cutter = RowCutter(self._options.cells_per_shard)
        columns = [*METADATA_COLUMNS, PRIMARY_COLUMN, *beside]
        for block in source.metadata_blocks(columns, self._options.cells_per_shard):
            rows, kept = (
                block.index.to_numpy(dtype=np.int64),
                is_kept(block, keep_duplicates=self._options.keep_duplicates),
            )
            combinations, which = distinct_metadata(as_texts(block))
            names = names_of_ids(block) if beside else {}
            for combination, cells in zip(
                combinations, np.bincount(which[kept], minlength=len(combinations)), strict=True
            ):
                if combination not in self.description_ids[-1]:
                    self.description_ids[-1][combination] = self._id_of(texts.text(combination, names), combination)
                texts.count(combination, int(cells))
            unmarked += n_unmarked(block)
            cutter.add(rows, kept)
            # Cell by cell, so that it does not matter how the source was cut into blocks.
            ordinal = np.array([ordinals.setdefault(each, len(ordinals)) for each in combinations], dtype=np.int64)
            digest.update(np.column_stack([rows, kept, ordinal[which]]).astype("<i8").tobytes())
            read += len(block)
            bar.update(len(block))
        texts.check()
        planned = replace(planned, unknown_ids=dict(texts.unknown), unmarked=unmarked)
        for start, stop, n_rows in cutter.finish():
            self.shards.append(PlannedShard(len(self.shards), number, start, stop, n_rows))
        if planned.spec.census is not None:
            census = cast(CensusSource, source)
            digest.update(repr([list(ordinals), census.gene_names]).encode())
            return replace(planned, sha256=digest.hexdigest(), outside_filter=census.n_in_range() - read)
        return planned

    def _id_of(self, text: str, combination: Metadata) -> int:
        """Return the number of a text, a new one where it is new."""
        if text not in self._id_of_text:
            row = dict(zip(METADATA_COLUMNS, combination, strict=True))
            self._id_of_text[text] = len(self.descriptions)
            columns = ("cell_type_ontology_term_id", "tissue_ontology_term_id")
            cell_type, tissue = (self._current(row[column]) if text else "" for column in columns)
            self.descriptions.append(Description(text, cell_type, tissue, "full" if text else ""))
        return self._id_of_text[text]

    def _current(self, term_id: str) -> str:
        """The id as a description names it: that of the successor of an obsolete term, "" where it is unknown."""
        return self._ontology.current(term_id).id if term_id in self._ontology else ""
