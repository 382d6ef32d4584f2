"""`langcell check`: what is wrong with files; `langcell tokenize`: raw counts and metadata to tokenized shards."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from langcell.cli.options import CellSources
from langcell.processing.options import ReadOptions, option
from langcell.processing.sources.options import CensusOptions
from langcell.processing.tokenization.options import TokenizeOptions

if TYPE_CHECKING:
    from langcell.processing.sources.check import CheckedFile


@dataclass(frozen=True)
class GeneOptions:
    """The gene vocabulary, and how many of its genes a cell has."""

    panel: ClassVar[str] = "Gene vocabulary"

    model: str | None = option(
        None, "Model whose gene vocabulary is used: folder or Hub id; the bundled one when not given."
    )
    vocabulary: Path | None = option(None, "Gene vocabulary file (.tsv or .json), in place of --model.")
    max_length: int | None = option(
        None, "Largest number of gene ids per cell, <cls> included; the model's own, else 2048, when not given."
    )


@dataclass(frozen=True)
class WorkOptions:
    """Who does the work."""

    panel: ClassVar[str] = "Processes"

    workers: int | None = option(None, "Number of processes; one per core when not given.")
    scheduler: str | None = option(None, "Address of a Dask scheduler, such as tcp://host:8786, in place of --workers.")


def tokenize(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the shards.", show_default=False)],
    genes: GeneOptions,
    census: CensusOptions,
    shards: TokenizeOptions,
    reading: ReadOptions,
    work: WorkOptions,
    sources: CellSources = None,
    skip_unfit: Annotated[
        bool, typer.Option("--skip-unfit", help="Leave out files that cannot be used, and say which and why.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace shards that were made with another plan.")
    ] = False,
) -> None:
    """Turn raw counts and CELLxGENE metadata into tokenized shards; the same command goes on where it was stopped."""
    from langcell.processing.sources.open_source import find_sources, said_of
    from langcell.processing.tokenization.scheduling import default_workers
    from langcell.processing.tokenization.tokenize import tokenize as write_shards

    faults: list[tuple[str, Exception]] | None = [] if skip_unfit else None
    specs = find_sources(sources or [], faults=faults) + census.sources()
    vocabulary, settings = gene_vocabulary(genes.model, genes.vocabulary)
    if genes.max_length is not None:
        settings["max_length"] = genes.max_length
    manifest = write_shards(
        specs,
        output,
        vocabulary,
        options=replace(shards, **settings, read=reading),
        workers=default_workers() if work.workers is None else work.workers,
        scheduler=work.scheduler,
        overwrite=overwrite,
        skip_unfit=skip_unfit,
    )
    skipped = [said_of(name, error) for name, error in faults or []]
    skipped += [reason for _, reason in (manifest.tokenizing or {}).get("skipped_sources", [])]
    _report(manifest.sources, len(manifest.shards), output, skipped)


def gene_vocabulary(model: str | None, vocabulary: Path | None) -> tuple[Any, dict[str, Any]]:
    """Return the gene vocabulary, and its model's settings for the length of cells and duplicate genes."""
    from langcell.loading.load import DEFAULT_MODEL, bundled_model_folder
    from langcell.processing.feature_extraction_langcell import LangCellFeatureExtractor
    from langcell.processing.vocabulary.vocabulary_files import read_vocabulary

    if model is not None and vocabulary is not None:
        raise ValueError("Give the gene vocabulary by --model or by --vocabulary, not by both.")
    if vocabulary is not None:
        return read_vocabulary(vocabulary), {}
    place = bundled_model_folder() if model in (None, DEFAULT_MODEL) else str(model)
    extractor: Any = LangCellFeatureExtractor.from_pretrained(place)
    return extractor.vocabulary, {"max_length": extractor.max_length, "duplicate_genes": extractor.duplicates}


def _report(sources: Sequence[Any], n_shards: int, output: Path, skipped: Sequence[str]) -> None:
    """Say of every source what became of its cells, and which were left out."""
    for source in sources:
        dropped = ", ".join(f"{cells:,} {reason.replace('_', ' ')}" for reason, cells in source["dropped"].items())
        print(
            f"{source['name']}: {source['read']:,} cells read, {source['written']:,} written"
            f"{f', dropped: {dropped}' if dropped else ''}; "
            f"the vocabulary covers {source['known_counts']:.1%} of their counts"
        )
        for column, ids in source.get("unknown_ids", {}).items():
            listed = ", ".join(f"{term_id} ({cells:,} cells)" for term_id, cells in ids.items())
            print(f"{source['name']}: {column}: ids that the ontologies do not have: {listed}")
    for reason in skipped:
        print(f"Left out: {reason}")
    print(f"Wrote {sum(source['written'] for source in sources):,} cells in {n_shards} shards to {output}")


def check(
    reading: ReadOptions,
    files: CellSources = None,
    model: Annotated[
        str | None, typer.Option(help="Model whose gene vocabulary is used; the bundled one when not given.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="Gene vocabulary file (.tsv or .json), in place of --model.", show_default=False)
    ] = None,
    all_values: Annotated[
        bool, typer.Option("--all-values", help="Read every value, not those of 6,000 cells per file.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
) -> None:
    """Find all that is wrong with FILES before annotate, tokenize or genes read them; exit code 2 if anything is.

    For each file: can it be read, which matrix holds what, how many genes are known, which columns hold labels and
    ontology ids, unknown and obsolete ids, marks of copies, and what another format could not hold.
    """
    from langcell.processing.sources.check import check_files

    if not files:
        raise ValueError("No files to check; name at least one.")
    genes, _ = gene_vocabulary(model, vocabulary)
    checked = check_files(files, genes, options=reading, all_values=all_values, progress=not as_json)
    if as_json:
        print(json.dumps([file.as_json() for file in checked], indent=2))
    else:
        _print(checked)
    if not all(file.is_fit for file in checked):
        raise typer.Exit(2)


def _print(checked: "Sequence[CheckedFile]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    for file in checked:
        if file.facts:
            print(f"{file.file}: {_in_words(file)}")
    table = Table("file", "", "problem", "what to do")
    for file in checked:
        for problem in sorted(file.problems, key=lambda each: each.severity):
            table.add_row(*map(Text, (file.file, problem.severity, problem.what, problem.advice)))
    if table.row_count:
        Console().print(table)
    unfit = [file.file for file in checked if not file.is_fit]
    print(
        f"{len(unfit)} of {len(checked)} files cannot be used as they are: {', '.join(unfit)}"
        if unfit
        else f"Nothing is wrong with {len(checked)} {'file' if len(checked) == 1 else 'files'}."
    )


def _in_words(file: "CheckedFile") -> str:
    facts = file.facts
    words = [facts["kind"]]
    if "cells" in facts:
        words.append(f"{facts['cells']:,} cells x {facts['genes']:,} genes, {facts['x_is']} in {facts['values_from']}")
    if "known_counts" in facts:
        words.append(f"{facts['known_genes']:,} genes known, {facts['known_counts']:.1%} of the counts on them")
    for key, what in (("label_columns", "labels"), ("id_columns", "ids")):
        if facts.get(key):
            words.append(f"{what}: {', '.join(facts[key])}")
    return "; ".join(words)
