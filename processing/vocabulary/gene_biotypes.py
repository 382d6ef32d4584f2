"""Biotype, symbol and synonyms of genes, from a table of Ensembl BioMart or an annotation in GTF."""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from langcell.processing.genes import strip_version

KEPT_BIOTYPES = ("protein_coding", "miRNA")
# Names of the columns of a BioMart export, as the web page, its API and common hand-made tables have them.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "gene_id": ("gene stable id", "ensembl_gene_id", "gene_id", "ensembl_id", "feature_id"),
    "biotype": ("gene type", "gene_biotype", "gene_type", "biotype", "feature_type"),
    "symbol": ("gene name", "external_gene_name", "gene_name", "symbol", "hgnc symbol", "hgnc_symbol", "feature_name"),
    "synonym": ("gene synonym", "external_synonym", "synonyms", "synonym", "alias"),
}
_GTF_ATTRIBUTE = re.compile(r'(gene_id|gene_type|gene_biotype|gene_name) "([^"]*)"')


@dataclass(frozen=True)
class GeneEntry:
    """What a table says of a gene; "" and no synonyms where it says nothing."""

    biotype: str
    symbol: str = ""
    synonyms: tuple[str, ...] = ()


def read_gene_table(path: str | Path) -> dict[str, GeneEntry]:
    """Read a BioMart export (tab- or comma-separated, with a header) or a GTF file, also gzipped.

    Args:
        path: the file; a GTF is known by `.gtf` or `.gtf.gz`.

    Returns:
        Entries by Ensembl gene id without version. Where a gene has several rows (one a synonym), they are one entry.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no column of gene ids or of biotypes, or no gene.
    """
    path = Path(path)
    with _open_text(path) as lines:
        rows = _gtf_rows(lines) if ".gtf" in path.suffixes else _table_rows(lines, path)
        table = _collect(rows)
    if not table:
        raise ValueError(f"{path} has no genes; give an export of Ensembl BioMart (TSV) or a GTF file.")
    return table


def _open_text(path: Path) -> IO[str]:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; give an export of Ensembl BioMart (TSV) or a GTF file")
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")


def _gtf_rows(lines: IO[str]) -> Iterator[dict[str, str]]:
    for line in lines:
        fields = line.rstrip("\n").split("\t")
        if len(fields) == 9 and fields[2] == "gene":
            found = dict(_GTF_ATTRIBUTE.findall(fields[8]))
            biotype = found.get("gene_biotype") or found.get("gene_type", "")
            yield {"gene_id": found.get("gene_id", ""), "biotype": biotype, "symbol": found.get("gene_name", "")}


def _table_rows(lines: IO[str], path: Path) -> Iterator[dict[str, str]]:
    header = lines.readline().rstrip("\n")
    separator = "\t" if "\t" in header else ","
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator))]
    places = {kind: next((names.index(n) for n in known if n in names), None) for kind, known in _COLUMNS.items()}
    for kind, known in (("gene_id", "Gene stable ID"), ("biotype", "Gene type")):
        if places[kind] is None:
            raise ValueError(f"{path} has no column {known!r} (or {', '.join(_COLUMNS[kind][1:])}); it has {names}.")
    for row in csv.reader(lines, delimiter=separator):
        yield {kind: row[i].strip() for kind, i in places.items() if i is not None and i < len(row)}


def _collect(rows: Iterator[dict[str, str]]) -> dict[str, GeneEntry]:
    table: dict[str, GeneEntry] = {}
    for row in rows:
        gene_id = strip_version(row.get("gene_id", ""))
        if gene_id:
            old = table.get(gene_id, GeneEntry(""))
            more = [name for name in re.split(r"[|;]", row.get("synonym", "")) if name]
            table[gene_id] = GeneEntry(
                biotype=old.biotype or row.get("biotype", ""),
                symbol=old.symbol or row.get("symbol", ""),
                synonyms=tuple(dict.fromkeys([*old.synonyms, *more])),
            )
    return table
