"""Marker lists of the user: GMT files of gene sets, or CSV files with a label and a gene per line."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from langcell.inference.evidence.groups import term_id_of
from langcell.processing.ontology.terms import Ontology, normalize_name

MarkerLists = Mapping[str, frozenset[str]]

_LABEL_COLUMNS = ("label", "cell_type", "type", "cluster", "set")
_GENE_COLUMNS = ("gene", "symbol", "marker", "gene_symbol")


def read_marker_lists(path: str | Path) -> dict[str, frozenset[str]]:
    """Read the genes of each list, by the name of the list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text, neither GMT nor a CSV with a column of labels and one of genes, or holds no gene.
    """
    path = Path(path)
    lines = _lines_of(path)
    found = _read_gmt(path, lines) if path.suffix.lower() == ".gmt" else _read_csv(path, lines)
    if not found:
        raise ValueError(f"{path}: it holds no marker; give a label and a gene per line, or a GMT file.")
    return {name: frozenset(genes) for name, genes in found.items()}


def lists_of_labels(lists: MarkerLists, labels: Sequence[str], ontology: Ontology) -> dict[str, frozenset[str]]:
    """Return the markers of each label, by its name or by the term that both mean; none for a label without a list."""
    by_name = {normalize_name(name): genes for name, genes in lists.items()}
    by_term = {term_id_of(name, ontology): genes for name, genes in lists.items()}
    found = {}
    for label in labels:
        term = term_id_of(label, ontology)
        genes = by_name.get(normalize_name(label)) or (by_term.get(term) if term else None)
        if genes:
            found[label] = genes
    return found


def _lines_of(path: Path) -> list[str]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a GMT or CSV file of markers.")
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error}); give a GMT or CSV file of markers.") from error


def _read_gmt(path: Path, lines: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        if len(rest) < 2:
            raise ValueError(f"{path}, line {number}: a GMT line is name, description and genes with tabs between.")
        found.setdefault(name.strip(), []).extend(gene.strip() for gene in rest[1:] if gene.strip())
    return found


def _read_csv(path: Path, lines: Sequence[str]) -> dict[str, list[str]]:
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    rows = csv.DictReader(lines, delimiter=delimiter)
    columns = {str(name).strip().casefold(): name for name in rows.fieldnames or ()}
    label = next((columns[name] for name in _LABEL_COLUMNS if name in columns), None)
    gene = next((columns[name] for name in _GENE_COLUMNS if name in columns), None)
    if label is None or gene is None:
        raise ValueError(
            f"{path}: its first line is {', '.join(columns) or 'empty'}; a CSV of markers has the columns label and "
            "gene."
        )
    found: dict[str, list[str]] = {}
    for row in rows:
        if row[label] and row[gene]:
            found.setdefault(str(row[label]).strip(), []).append(str(row[gene]).strip())
    return found
