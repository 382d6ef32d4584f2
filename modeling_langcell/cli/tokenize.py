"""`langcell tokenize`: raw counts and metadata to tokenized shards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from langcell.cli.options import CellSources
from langcell.processing.options import ReadOptions, option
from langcell.processing.sources.options import CensusOptions
from langcell.processing.tokenization.options import TokenizeOptions


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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace shards that were made with another plan.")
    ] = False,
) -> None:
    """Turn raw counts and CELLxGENE metadata into tokenized shards; the same command goes on where it was stopped."""
    from langcell.processing.sources.open_source import find_sources
    from langcell.processing.tokenization.scheduling import default_workers
    from langcell.processing.tokenization.tokenize import tokenize as write_shards

    specs = find_sources(sources or []) + census.sources()
    vocabulary, settings = _gene_vocabulary(genes.model, genes.vocabulary)
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
    )
    _report(manifest.sources, len(manifest.shards), output)


def _gene_vocabulary(model: str | None, vocabulary: Path | None) -> tuple[Any, dict[str, Any]]:
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


def _report(sources: Sequence[Any], n_shards: int, output: Path) -> None:
    """Say of every source what became of its cells."""
    for source in sources:
        dropped = ", ".join(f"{cells:,} {reason.replace('_', ' ')}" for reason, cells in source["dropped"].items())
        print(
            f"{source['name']}: {source['read']:,} cells read, {source['written']:,} written"
            f"{f', dropped: {dropped}' if dropped else ''}; "
            f"the vocabulary covers {source['known_counts']:.1%} of their counts"
        )
    print(f"Wrote {sum(source['written'] for source in sources):,} cells in {n_shards} shards to {output}")
