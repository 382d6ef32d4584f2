"""All that is wrong with files of cells, found before work begins: `langcell check`.

A run refuses what it meets first. Here each file is looked at from all sides, and what is wrong in one place hides
nothing that is wrong in another.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from tqdm import tqdm

from langcell.processing.cells.anndata_output import not_convertible
from langcell.processing.cells.cell_source import CellSource
from langcell.processing.containers.addresses import local_path
from langcell.processing.genes import GeneVocabulary
from langcell.processing.ontology.descriptions import known_values
from langcell.processing.ontology.terms import Ontology
from langcell.processing.options import ReadOptions
from langcell.processing.sources.cell_metadata import PRIMARY_COLUMN, is_kept, n_unmarked
from langcell.processing.sources.open_source import SourceSpec, find_sources, open_source

Severity = Literal["error", "note"]
_IDS = "_ontology_term_id"
_HUMAN, _MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"
_LABEL_WORDS = ("cell_type", "celltype", "label", "annotation", "cluster", "louvain", "leiden", "cell_ontology_class")
_MOST_TYPES = 2000
_ROWS = 2000
_MOST_NAMED = 5


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a file.

    Attributes:
        what: what is wrong.
        advice: what to do.
        severity: "error" ends a run; a "note" is dealt with, or a matter of taste.
    """

    what: str
    advice: str
    severity: Severity = "error"


@dataclass
class CheckedFile:
    """What was found in a file.

    Attributes:
        file: its name.
        facts: kind, cells, genes, where the values are, how many genes are known, columns with labels and ids, ...
        problems: what is wrong.
    """

    file: str
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_fit(self) -> bool:
        """Whether nothing would end a run."""
        return all(problem.severity == "note" for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """Return the same as values that JSON can hold."""
        return {"file": self.file, "fit": self.is_fit, **asdict(self)}


def check_files(
    patterns: Sequence[str | Path],
    vocabulary: GeneVocabulary,
    *,
    options: ReadOptions | None = None,
    ontology: Ontology | None = None,
    all_values: bool = False,
    progress: bool = True,
) -> list[CheckedFile]:
    """Look at each file from all sides.

    Args:
        patterns: paths, globs, addresses on the Hub.
        vocabulary: which genes are known.
        options: how values are read.
        ontology: where ids are looked up; that of CELLxGENE by default.
        all_values: read every value of the matrices; otherwise those of 2,000 cells at the start, in the middle and at
            the end.
        progress: show a progress bar.

    Raises:
        FileNotFoundError: there is no such file, or a glob matches nothing.
        ValueError: a file is named twice.
    """
    faults: list[tuple[str, Exception]] = []
    specs = find_sources(patterns, faults=faults)
    found = [CheckedFile(name, {}, [_problem(error, name)]) for name, error in faults]
    how = options if options is not None else ReadOptions()
    terms = ontology if ontology is not None else Ontology.cellxgene()
    with tempfile.TemporaryDirectory(prefix="langcell-") as work:
        for spec in tqdm(specs, desc="checking", unit="file", disable=not progress):
            found.append(_check(spec, vocabulary, how, terms, Path(work), all_values=all_values))
    return found


def _check(
    spec: SourceSpec,
    vocabulary: GeneVocabulary,
    options: ReadOptions,
    ontology: Ontology,
    work: Path,
    *,
    all_values: bool,
) -> CheckedFile:
    checked = CheckedFile(spec.name, {"kind": spec.kind})
    try:
        source: Any = open_source(spec, options, work=work)
    except (OSError, ValueError) as error:
        checked.problems.append(_problem(error, spec.path))
        source = _with_any_values(spec, options, work)
    if source is not None:
        with source:
            checked.facts |= _facts(source)
            checked.problems += _genes(source, vocabulary, checked.facts)
            checked.problems += _values(source, vocabulary, checked.facts, all_values=all_values)
            checked.problems += _columns(source, ontology, checked.facts)
    checked.problems += _elements(spec)
    return checked


def _with_any_values(spec: SourceSpec, options: ReadOptions, work: Path) -> Any:
    """The file with other values than were asked for, to look at the rest of it; None where it cannot be opened."""
    try:
        return open_source(spec, replace(options, x_is="linear", gene_column=None, layer=None), work=work)
    except (OSError, ValueError):
        return None


def _facts(source: CellSource) -> dict[str, Any]:
    return {
        "cells": source.n_cells,
        "genes": len(source.gene_names),
        "values_from": source.location,
        "x_is": source.x_kind,
    }


def _genes(source: CellSource, vocabulary: GeneVocabulary, facts: dict[str, Any]) -> Iterator[Problem]:
    facts["known_genes"] = int((vocabulary.match(source.gene_names) >= 0).sum())
    try:
        found = source.find_genes(vocabulary)
        facts["known_genes"], facts["species"] = int((found.index >= 0).sum()), found.species
    except ValueError as error:
        yield _problem(error)


def _known(source: CellSource, vocabulary: GeneVocabulary) -> np.ndarray:
    try:
        return source.find_genes(vocabulary).index >= 0
    except ValueError:  # which is reported as a fault of the genes
        return vocabulary.match(source.gene_names) >= 0


def _values(
    source: CellSource, vocabulary: GeneVocabulary, facts: dict[str, Any], *, all_values: bool
) -> Iterator[Problem]:
    """Faults of values, one for each chunk at most, and cells without any count."""
    known = _known(source, vocabulary)
    last = max(0, source.n_cells - _ROWS)
    starts = range(0, source.n_cells, _ROWS) if all_values else sorted({0, last // 2, last})
    looked_at = silent = 0
    counts = counts_known = 0.0
    for start in starts:
        stop = min(start + _ROWS, source.n_cells)
        try:
            for chunk in source.chunks(_ROWS, start=start, stop=stop):
                per_gene = np.asarray(chunk.counts.sum(axis=0)).ravel().astype(np.float64)
                counts, counts_known = counts + per_gene.sum(), counts_known + per_gene[known].sum()
                silent += int((np.diff(chunk.counts.indptr) == 0).sum())
                looked_at += stop - start
        except (OSError, ValueError) as error:
            yield _problem(error)
    facts["cells_looked_at"] = looked_at
    facts["known_counts"] = counts_known / counts if counts else 0.0
    if silent:
        yield Problem(
            f"{silent:,} of {looked_at:,} cells that were looked at have no counts",
            "leave them out; annotate calls them unassigned, tokenize drops them",
            "note",
        )


def _columns(source: CellSource, ontology: Ontology, facts: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong in the columns of obs: each is read, and those with ids, labels and marks are looked into."""
    labels, ids = [], []
    for name in source.obs_columns:
        try:
            values = source.metadata([name], 0, source.n_cells)
        except (OSError, ValueError) as error:
            yield _problem(error, advice=f"write obs[{name!r}] again, or leave it out")
            continue
        if name == PRIMARY_COLUMN:
            yield from _marks(values)
        elif name.endswith(_IDS):
            ids.append(name)
            yield from _ids(cast(pd.Series, values[name]), ontology)
        elif any(word in name.lower() for word in _LABEL_WORDS) and values[name].nunique() <= _MOST_TYPES:
            labels.append(name)
    facts["label_columns"], facts["id_columns"] = labels, ids


def _marks(table: pd.DataFrame) -> Iterator[Problem]:
    try:
        copies = int((~is_kept(table, keep_duplicates=False)).sum())
    except ValueError as error:
        yield _problem(error)
        return
    if unmarked := n_unmarked(table):
        yield Problem(
            f"obs[{PRIMARY_COLUMN!r}] is missing for {unmarked:,} cells",
            "say True or False; cells without a mark are kept",
            "note",
        )
    if copies:
        yield Problem(
            f"{copies:,} cells are copies of cells in other data sets ({PRIMARY_COLUMN} is False)",
            "nothing: tokenize leaves them out, or keeps them with --keep-duplicates",
            "note",
        )


def _organisms(column: str, found: set[str]) -> Iterator[Problem]:
    """Species beside human: mouse genes are named through orthologs, those of others are not."""
    if others := sorted(found - {_HUMAN, _MOUSE}):
        yield Problem(
            f"obs[{column!r}] has organisms that are neither human nor mouse: {', '.join(others[:_MOST_NAMED])}",
            "map the genes to human orthologs, or leave these cells out",
        )
    elif {_HUMAN, _MOUSE} <= found:
        yield Problem(f"obs[{column!r}] has human and mouse cells in one file", "make a file per species")
    elif _MOUSE in found:
        yield Problem(
            f"obs[{column!r}] says mouse ({_MOUSE})",
            "nothing: mouse genes are named through human orthologs; --orthologs names a table of them",
            "note",
        )


def _ids(column: pd.Series, ontology: Ontology) -> Iterator[Problem]:
    """Unknown and obsolete ids, with the cells that have them."""
    cells_of = column.dropna().astype(str).value_counts()
    unknown: dict[str, int] = {}
    obsolete: dict[str, int] = {}
    for value, cells in cells_of.items():
        for term_id in known_values(str(value)):
            if term_id not in ontology:
                unknown[term_id] = unknown.get(term_id, 0) + int(cells)
            elif ontology.term(term_id).obsolete:
                obsolete[term_id] = obsolete.get(term_id, 0) + int(cells)
    if column.name == f"organism{_IDS}":
        yield from _organisms(str(column.name), {str(value) for value in cells_of.index})
        return
    if unknown:
        yield Problem(
            f"obs[{column.name!r}]: ids that the ontologies do not have: {_listed(unknown)}",
            "correct them, or tokenize --on-unknown-id drop or keep-name",
        )
    if obsolete:
        yield Problem(
            f"obs[{column.name!r}]: obsolete ids: {_listed({_followed(i, ontology): n for i, n in obsolete.items()})}",
            "nothing where a successor is named, which is taken; otherwise give a current id",
            "note",
        )


def _followed(term_id: str, ontology: Ontology) -> str:
    current = ontology.current(term_id)
    return term_id if current.obsolete else f"{term_id} (now {current.id})"


def _listed(cells_of: Mapping[str, int]) -> str:
    shown = [f"{name} ({cells:,} {'cell' if cells == 1 else 'cells'})" for name, cells in cells_of.items()]
    more = len(shown) - _MOST_NAMED
    return ", ".join(shown[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _elements(spec: SourceSpec) -> Iterator[Problem]:
    """Elements that cannot be read, or cannot be written into another format."""
    if spec.kind not in ("anndata", "h5mu"):
        return
    try:
        found = not_convertible(local_path(spec.path))
    except (OSError, ValueError):
        return  # it cannot be opened, which is said already
    for entry in found:
        yield Problem(
            f"{entry}", "leave it out, or write it again; --drop-unwritable leaves it out of another format", "note"
        )


def _problem(error: Exception, name: str = "", *, advice: str = "") -> Problem:
    """Return what an error says, in two parts: what is wrong, and what to do."""
    text = " ".join(str(error).split()) or type(error).__name__
    if name and f"{name}: " in text:
        text = text.partition(f"{name}: ")[2]
    place = next((i for i in range(len(text)) if text[i : i + 2] in ("; ", ". ") and not _open_brackets(text, i)), -1)
    what, rest = (text, "") if place < 0 else (text[:place], text[place + 2 :])
    return Problem(what.rstrip("."), advice or rest.rstrip(".") or "write the file again")


def _open_brackets(text: str, stop: int) -> int:
    return text.count("(", 0, stop) - text.count(")", 0, stop)
