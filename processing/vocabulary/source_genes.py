"""The genes of sources of cells, counted in one streaming pass."""

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from langcell.processing.cells.cell_source import gene_names
from langcell.processing.genes import strip_version
from langcell.processing.options import ReadOptions
from langcell.processing.sources.cell_metadata import PRIMARY_COLUMN, is_kept
from langcell.processing.sources.open_source import (
    RowSource,
    SourceSpec,
    open_source,
    refuse_unfit,
)
from langcell.processing.vocabulary.gene_biotypes import KEPT_BIOTYPES, GeneEntry
from langcell.processing.vocabulary.gene_tally import GeneTally

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}")
_SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "gene_name", "symbol", "name")
_BIOTYPE_COLUMNS = ("feature_type", "gene_type", "gene_biotype", "biotype")
_ROWS = 2_000
_ROWS_OF_METADATA = 200_000


@dataclass(frozen=True)
class SourceGenes:
    """What the columns of a source are: "" where that is not known.

    Attributes:
        gene_ids: Ensembl ids without version.
        symbols: symbols.
        biotypes: biotypes, such as "protein_coding".
    """

    gene_ids: list[str]
    symbols: list[str]
    biotypes: list[str]


def tally_genes(
    sources: Sequence[SourceSpec],
    *,
    options: ReadOptions | None = None,
    table: Mapping[str, GeneEntry] | None = None,
    keep_duplicates: bool = False,
    progress: bool = True,
) -> GeneTally:
    """Count the genes of some sources in one streaming pass.

    Args:
        sources: from `open_source.find_sources`, or of a Census.
        options: how their values are read.
        table: gives the Ensembl ids of sources that have symbols alone.
        keep_duplicates: count cells whose `is_primary_data` is False.
        progress: show a progress bar.

    Raises:
        ValueError, OSError: a source cannot be read, has no raw counts, or no Ensembl ids.
    """
    options = options if options is not None else ReadOptions()
    with tempfile.TemporaryDirectory() as work:
        genes = _genes_of_all(sources, options, Path(work), table or {})
        tally = GeneTally.empty({gene_id for one in genes for gene_id in one.gene_ids if gene_id})
        with tqdm(desc="gene medians", unit="cell", disable=not progress) as bar:
            for spec, one in zip(sources, genes, strict=True):
                bar.set_postfix_str(spec.name)
                with open_source(spec, options, work=Path(work)) as opened:
                    read, dropped = _count(tally, opened, one, keep_duplicates=keep_duplicates, bar=bar)
                tally.n_cells, tally.n_duplicates = tally.n_cells + read, tally.n_duplicates + dropped
    tally.sources = sorted(map(_place, sources))
    return tally


def _genes_of_all(
    sources: Sequence[SourceSpec], options: ReadOptions, work: Path, table: Mapping[str, GeneEntry]
) -> list[SourceGenes]:
    """Return the genes of all sources; what is wrong with any of them is said at once, before the cells are counted."""
    genes: list[SourceGenes] = []
    faults: list[tuple[str, Exception]] = []
    for spec in sources:
        try:
            genes.append(_source_genes(spec, options, work, table))
        except (OSError, ValueError) as error:
            faults.append((spec.name, error))
    refuse_unfit(faults, len(sources))
    return genes


def _count(
    tally: GeneTally, source: RowSource, genes: SourceGenes, *, keep_duplicates: bool, bar: Any
) -> tuple[int, int]:
    """Count one source; cells that were read and duplicates that were not."""
    row_of = {gene_id: row for row, gene_id in enumerate(tally.gene_ids)}
    index = np.array([row_of.get(gene_id, -1) for gene_id in genes.gene_ids], dtype=np.int64)
    read = dropped = 0
    for block in source.metadata_blocks([PRIMARY_COLUMN], _ROWS):
        rows = block.index.to_numpy(dtype=np.int64)
        rows = rows[is_kept(block, keep_duplicates=keep_duplicates)]
        tally.sketch.add(source.counts_of(rows), gene_index=index)
        read, dropped = read + len(rows), dropped + len(block) - len(rows)
        bar.update(len(block))
    for row, symbol, biotype in zip(index.tolist(), genes.symbols, genes.biotypes, strict=True):
        if row >= 0:
            tally.names[row].update({symbol: read} if symbol else {})
            tally.biotypes[row].update({biotype: read} if biotype else {})
    return read, dropped


def _place(spec: SourceSpec) -> str:
    """Return what tells sources apart where they are read on several machines."""
    if spec.census is None:
        return spec.path
    start, stop = spec.census.joinids or ("", "")
    return f"{spec.path} {spec.census.organism} {start}:{stop}"


def _source_genes(spec: SourceSpec, options: ReadOptions, work: Path, table: Mapping[str, GeneEntry]) -> SourceGenes:
    with open_source(spec, options, work=work) as opened:
        found, var, more = list(opened.gene_names), opened.var, list(opened.gene_columns)
        for block in opened.metadata_blocks([PRIMARY_COLUMN], _ROWS_OF_METADATA):
            is_kept(block, keep_duplicates=False)  # refuses marks that cannot be read
    candidates = [found] if options.gene_column else [found, *(gene_names(var, name) for name in more)]
    ids = next((ids for ids in map(_ensembl_ids, candidates) if _mostly(ids)), None)
    symbols = _first_column(var, _SYMBOL_COLUMNS)
    if ids is None:
        symbols = symbols or found
        id_of = {entry.symbol: gene_id for gene_id, entry in table.items() if entry.symbol}
        ids = [id_of.get(symbol, "") for symbol in symbols]
        if not _mostly(ids):
            raise ValueError(
                f"{spec.name}: its genes ({', '.join(found[:3])}, ...) have no Ensembl ids; name the column that holds "
                "them (--gene-column), or give a biotype table that has these symbols (--biotypes)."
            )
    symbols = symbols or ([""] * len(found) if spec.census else gene_names(var))
    # Where names are missing, Ensembl ids stand in for them.
    symbols = ["" if _ENSEMBL.fullmatch(strip_version(symbol)) else symbol for symbol in symbols]
    biotypes = _first_column(var, _BIOTYPE_COLUMNS)
    if biotypes is None or not set(KEPT_BIOTYPES) & set(biotypes):  # 10x calls "Gene Expression" a feature type
        biotypes = [""] * len(found)
    return SourceGenes(ids, symbols, biotypes)


def _first_column(var: pd.DataFrame, names: Iterable[str]) -> list[str] | None:
    """Return the first of some columns that the gene table has with anything in it."""
    columns = (gene_names(var, name) for name in names if name in var.columns)
    return next((values for values in columns if any(values)), None)


def _ensembl_ids(names: Iterable[str]) -> list[str]:
    return [plain if _ENSEMBL.fullmatch(plain := strip_version(name)) else "" for name in names]


def _mostly(values: Sequence[str]) -> bool:
    return 2 * sum(map(bool, values)) > len(values)
