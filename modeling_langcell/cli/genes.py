"""`langcell genes`: a gene vocabulary from a corpus, in one pass or from the parts of a distributed one."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from langcell.cli.tokenize import CountValues

Command = Callable[..., None]
Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        help="genes.tsv or genes.json: the vocabulary (JSON also has cells and biotype of each gene). "
        "part.npz: what was counted, for langcell genes merge.",
        show_default=False,
    ),
]
Biotypes = Annotated[
    Path | None,
    typer.Option(help="Ensembl BioMart export (TSV) or GTF: biotypes, symbols, synonyms.", show_default=False),
]
Keep = Annotated[str, typer.Option(help="Biotypes to keep, separated by commas.")]
MinCells = Annotated[int, typer.Option(help="Leave out genes found in fewer cells.")]
_KEPT = "protein_coding,miRNA"


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add `genes` to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    genes = typer.Typer(help="Make gene vocabularies.", no_args_is_help=True, rich_markup_mode=None)
    for command in (fit, merge):
        genes.command()(one_line_errors(command))
    app.add_typer(genes, name="genes")


def fit(
    output: Output,
    sources: Annotated[
        list[str] | None, typer.Argument(help="h5ad, zarr, 10x .h5, 10x mtx folders, or quoted globs of them.")
    ] = None,
    biotypes: Biotypes = None,
    keep: Keep = _KEPT,
    min_cells: MinCells = 1,
    census_uri: Annotated[
        str | None, typer.Option(help="CELLxGENE Census: stable, latest, a date, or a URI.", show_default=False)
    ] = None,
    organism: Annotated[str, typer.Option(help="Organism of the Census.")] = "homo_sapiens",
    value_filter: Annotated[
        str | None, typer.Option(help="Condition on obs of the Census.", show_default=False)
    ] = None,
    joinids: Annotated[
        str | None, typer.Option(help="Range of soma_joinids of the Census, start:stop.", show_default=False)
    ] = None,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Count cells whose is_primary_data is False.")
    ] = False,
    x_is: Annotated[CountValues, typer.Option("--x-is", help="What the values are.")] = CountValues.counts,
    gene_column: Annotated[str | None, typer.Option(help="Column of var with the Ensembl ids.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with the values; found when not given.")] = None,
) -> None:
    """Find the genes of a corpus and their non-zero medians, in one streaming pass."""
    from langcell.processing.sources.open_source import ReadOptions, find_sources
    from langcell.processing.vocabulary.gene_biotypes import read_gene_table
    from langcell.processing.vocabulary.source_genes import tally_genes

    _check_output(output, keep)
    table = None if biotypes is None else read_gene_table(biotypes)
    specs = find_sources(sources or [])
    if census_uri is not None:
        from langcell.processing.sources.census import CensusSelection, parse_joinids, resolve_census
        from langcell.processing.sources.open_source import census_source

        chosen = None if joinids is None else parse_joinids(joinids)
        specs.append(census_source(CensusSelection(resolve_census(census_uri), organism, value_filter, chosen)))
    elif value_filter is not None or joinids is not None:
        raise ValueError("--value-filter and --joinids choose cells of a Census; give --census-uri, or leave them out.")
    if not specs:
        raise ValueError("No cells to count: name files or folders, or a Census by --census-uri.")
    options = ReadOptions(x_is=x_is.value, gene_column=gene_column, layer=layer)
    tally = tally_genes(specs, options=options, table=table, keep_duplicates=keep_duplicates)
    _write(tally, output, table=table, keep=keep, min_cells=min_cells)


def merge(
    output: Output,
    parts: Annotated[list[Path], typer.Argument(help="Files that langcell genes fit -o part.npz wrote.")],
    biotypes: Biotypes = None,
    keep: Keep = _KEPT,
    min_cells: MinCells = 1,
) -> None:
    """Merge what parts of a corpus were counted as: the same vocabulary as in one pass, byte for byte."""
    from tqdm import tqdm

    from langcell.processing.vocabulary.gene_biotypes import read_gene_table
    from langcell.processing.vocabulary.gene_tally import GeneTally

    _check_output(output, keep)
    table = None if biotypes is None else read_gene_table(biotypes)
    tally = GeneTally.merged(map(GeneTally.load, tqdm(parts, desc="parts", unit="part")))
    _write(tally, output, table=table, keep=keep, min_cells=min_cells)


def _check_output(output: Path, keep: str) -> None:
    """Refuse before the cells are read what would be refused after it."""
    if output.suffix not in (".tsv", ".json", ".npz"):
        raise ValueError(f"{output} has another ending than .tsv, .json and .npz; give a name with one of these.")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"The folder {output.absolute().parent} does not exist; make it first.")
    if not any(map(str.strip, keep.split(","))):
        raise ValueError("--keep names no biotype; give for example protein_coding,miRNA.")


def _write(tally: Any, output: Path, *, table: Any, keep: str, min_cells: int) -> None:
    from langcell.processing.vocabulary.vocabulary_files import write_vocabulary

    left_out = f", {tally.n_duplicates:,} duplicates left out" if tally.n_duplicates else ""
    counted = f"{tally.n_cells:,} cells of {len(tally.sources)} sources{left_out}"
    if output.suffix == ".npz":
        tally.save(output)
        print(f"Wrote {output}: {len(tally.gene_ids):,} genes in {counted}. Merge parts with: langcell genes merge")
        return
    biotypes = [name.strip() for name in keep.split(",") if name.strip()]
    vocabulary, genes = tally.vocabulary(table=table, keep=biotypes, min_cells=min_cells)
    filtered = any(gene["biotype"] for gene in genes)
    if not filtered:
        print("No biotypes are known, so genes of all kinds were kept; give --biotypes to keep only some.")
    origin = {
        "cells": tally.n_cells,
        "duplicates_left_out": tally.n_duplicates,
        "sources": [Path(source).name for source in tally.sources],
        "biotypes": biotypes if filtered else None,
        "min_cells": min_cells,
    }
    write_vocabulary(vocabulary, output, genes=genes, origin=origin)
    print(f"Wrote {output}: {len(vocabulary):,} of {len(tally.gene_ids):,} genes in {counted}")
    print(f"Fingerprint {vocabulary.fingerprint}")
