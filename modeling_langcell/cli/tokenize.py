"""`langcell tokenize`: raw counts and metadata to tokenized shards."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

Command = Callable[..., None]


class CountValues(StrEnum):
    """What the matrices hold."""

    counts = "counts"
    linear = "linear"
    log1p = "log1p"


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add the command to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    app.command()(one_line_errors(tokenize))


def tokenize(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the shards.", show_default=False)],
    sources: Annotated[
        list[str] | None, typer.Argument(help="h5ad, zarr, 10x .h5, 10x mtx folders, or quoted globs of them.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or Hub id whose gene vocabulary to use; the bundled one.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="Gene vocabulary file (.tsv or .json), in place of --model.")
    ] = None,
    census_uri: Annotated[
        str | None,
        typer.Option(help="CELLxGENE Census: stable, latest, a date, or the URI of one or a SOMA experiment."),
    ] = None,
    organism: Annotated[str, typer.Option(help="Organism of the Census.")] = "homo_sapiens",
    value_filter: Annotated[
        str | None, typer.Option(help="Condition on obs of the Census, such as \"tissue_general == 'blood'\".")
    ] = None,
    joinids: Annotated[str | None, typer.Option(help="Range of soma_joinids of the Census, start:stop.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Ids a cell at most; the model's own, else 2048.")] = None,
    min_genes: Annotated[int, typer.Option(help="Drop cells with fewer expressed genes.")] = 0,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep cells whose is_primary_data is False.")
    ] = False,
    cells_per_shard: Annotated[int, typer.Option(help="Cells a shard is planned for.")] = 20_000,
    x_is: Annotated[CountValues, typer.Option("--x-is", help="What the values are.")] = CountValues.counts,
    gene_column: Annotated[str | None, typer.Option(help="Column of var with Ensembl ids or symbols.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores when not given.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler, such as tcp://host:8786, in place of --workers.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace shards of another plan.")] = False,
) -> None:
    """Turn raw counts and CELLxGENE metadata into tokenized shards; the same command goes on where it was stopped."""
    from langcell.processing.sources.open_source import ReadOptions, find_sources
    from langcell.processing.tokenization.plan import TokenizeOptions
    from langcell.processing.tokenization.scheduling import default_workers
    from langcell.processing.tokenization.tokenize import tokenize as write_shards

    specs = find_sources(sources or [])
    if census_uri is not None:
        specs.append(_census(census_uri, organism, value_filter, joinids))
    elif value_filter is not None or joinids is not None:
        raise ValueError("--value-filter and --joinids choose cells of a Census; give --census-uri, or leave them out.")
    genes, settings = _gene_vocabulary(model, vocabulary)
    if max_length is not None:
        settings["max_length"] = max_length
    options = TokenizeOptions(
        **settings,
        cells_per_shard=cells_per_shard,
        min_genes=min_genes,
        keep_duplicates=keep_duplicates,
        read=ReadOptions(x_is=x_is.value, gene_column=gene_column, layer=layer),
    )
    manifest = write_shards(
        specs,
        output,
        genes,
        options=options,
        workers=default_workers() if workers is None else workers,
        scheduler=scheduler,
        overwrite=overwrite,
    )
    _report(manifest.sources, len(manifest.shards), output)


def _census(uri: str, organism: str, value_filter: str | None, joinids: str | None) -> Any:
    from langcell.processing.sources.census import CensusSelection, parse_joinids, resolve_census
    from langcell.processing.sources.open_source import census_source

    chosen = None if joinids is None else parse_joinids(joinids)
    return census_source(CensusSelection(resolve_census(uri), organism, value_filter, chosen))


def _gene_vocabulary(model: str | None, vocabulary: Path | None) -> tuple[Any, dict[str, Any]]:
    """The gene vocabulary, and what its model says of the length of cells and of genes with several columns."""
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
