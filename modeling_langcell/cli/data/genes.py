"""`langcell genes`: a gene vocabulary from a corpus, in one pass or from the parts of a distributed one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from langcell.cli.command_line import CommandLine
from langcell.cli.options import CellSources
from langcell.processing.options import ReadOptions, option
from langcell.processing.sources.options import CensusOptions


@dataclass(frozen=True)
class GeneChoice:
    """Which of the counted genes the vocabulary has."""

    panel: ClassVar[str] = "Genes to keep"

    biotypes: Path | None = option(
        None, "Ensembl BioMart export (TSV) or GTF file with biotypes, symbols and synonyms.", show_default=False
    )
    keep: str = option("protein_coding,miRNA", "Biotypes to keep, with commas between them.")
    min_cells: int = option(1, "Smallest number of cells per gene; genes found in fewer cells are left out.")

    @property
    def kept(self) -> list[str]:
        """The biotypes to keep."""
        return [name.strip() for name in self.keep.split(",") if name.strip()]


Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        help="File to write. genes.tsv or genes.json: the vocabulary (JSON also has the cells and the biotype of each "
        "gene). part.npz: the counts, for langcell genes merge.",
        show_default=False,
    ),
]


def fit(
    output: Output,
    genes: GeneChoice,
    census: CensusOptions,
    reading: ReadOptions,
    sources: CellSources = None,
    keep_duplicates: Annotated[
        bool,
        typer.Option("--keep-duplicates", help="Count copies of cells, too (cells whose is_primary_data is False)."),
    ] = False,
) -> None:
    """Find the genes of a corpus and their non-zero medians, in one streaming pass."""
    from langcell.processing.sources.open_source import find_sources
    from langcell.processing.vocabulary.gene_biotypes import read_gene_table
    from langcell.processing.vocabulary.source_genes import tally_genes

    _check(output, genes)
    table = None if genes.biotypes is None else read_gene_table(genes.biotypes)
    specs = find_sources(sources or []) + census.sources()
    if not specs:
        raise ValueError("No cells to count: name files or folders, or a Census by --census-uri.")
    tally = tally_genes(specs, options=reading, table=table, keep_duplicates=keep_duplicates)
    _write(tally, output, table=table, genes=genes)


def merge(
    output: Output,
    parts: Annotated[list[Path], typer.Argument(help="Files that langcell genes fit -o part.npz wrote.")],
    genes: GeneChoice,
) -> None:
    """Merge the counts of parts of a corpus; the vocabulary is that of one pass, byte for byte."""
    from tqdm import tqdm

    from langcell.processing.vocabulary.gene_biotypes import read_gene_table
    from langcell.processing.vocabulary.gene_tally import GeneTally

    _check(output, genes)
    table = None if genes.biotypes is None else read_gene_table(genes.biotypes)
    tally = GeneTally.merged(map(GeneTally.load, tqdm(parts, desc="parts", unit="part")))
    _write(tally, output, table=table, genes=genes)


def _check(output: Path, genes: GeneChoice) -> None:
    """Refuse what cannot be written or kept before the cells are read."""
    if output.suffix not in (".tsv", ".json", ".npz"):
        raise ValueError(f"{output} has another ending than .tsv, .json and .npz; give a name with one of these.")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"The folder {output.absolute().parent} does not exist; make it first.")
    if not genes.kept:
        raise ValueError("--keep names no biotype; give for example protein_coding,miRNA.")


def _write(tally: Any, output: Path, *, table: Any, genes: GeneChoice) -> None:
    from langcell.processing.vocabulary.vocabulary_files import write_vocabulary

    left_out = f", {tally.n_duplicates:,} duplicates left out" if tally.n_duplicates else ""
    counted = f"{tally.n_cells:,} cells of {len(tally.sources)} sources{left_out}"
    if output.suffix == ".npz":
        tally.save(output)
        print(f"Wrote {output}: {len(tally.gene_ids):,} genes in {counted}. Merge parts with: langcell genes merge")
        return
    vocabulary, entries = tally.vocabulary(table=table, keep=genes.kept, min_cells=genes.min_cells)
    filtered = any(gene["biotype"] for gene in entries)
    if not filtered:
        print("No biotypes are known, so genes of all kinds were kept; give --biotypes to keep only some.")
    origin = {
        "cells": tally.n_cells,
        "duplicates_left_out": tally.n_duplicates,
        "sources": [Path(source).name for source in tally.sources],
        "biotypes": genes.kept if filtered else None,
        "min_cells": genes.min_cells,
    }
    write_vocabulary(vocabulary, output, genes=entries, origin=origin)
    print(f"Wrote {output}: {len(vocabulary):,} of {len(tally.gene_ids):,} genes in {counted}")
    print(f"Fingerprint {vocabulary.fingerprint}")


def gene_vocabularies() -> CommandLine:
    """Return the group `genes`."""
    group = CommandLine("Make gene vocabularies.")
    for command in (fit, merge):
        group.add(command)
    return group
