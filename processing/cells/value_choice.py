"""Which of the matrices of a data set is read: the one with the counts of the most genes, and why not another."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from langcell.processing.cells.contents import RAW, Contents, layer_name, shown
from langcell.processing.cells.feature_types import ChosenColumns
from langcell.processing.cells.matrix_rows import MatrixRows
from langcell.processing.cells.raw_counts import ValueSummary, refusal, summarise_values
from langcell.processing.options import XKind

# Layers that are called counts. Others with whole numbers (spliced, binned, ranks) are named, never taken.
_COUNTS_NAME = re.compile(r"(^|[^a-z])(raw|counts?|umis?)($|[^a-z])|counts$", re.IGNORECASE)
_NO_COUNTS_NAME = re.compile(r"norm|log|scale|cpm|tpm|bin|rank|splice|ambig", re.IGNORECASE)
_ROWS_FOR_DEPTH = 32
_ROWS_PER_SEARCH = 2000


@dataclass(frozen=True)
class Finding:
    """What a location of values holds.

    Attributes:
        location: "X", "layers/counts", "raw/X".
        fault: Why it will not do, as the end of a sentence; None where it will.
        rows: Opens what it holds, genes alone; None where it cannot be read.
        summary: Summary of these values.
        is_gene: bool, rows of the gene table; which are genes.
        others: In words, what the other rows are; "" where there are none.
        n_genes: Genes that have a name.
    """

    location: str
    fault: str | None
    rows: MatrixRows | None = None
    summary: ValueSummary | None = None
    is_gene: np.ndarray | None = None
    others: str = ""
    n_genes: int = 0

    @property
    def text(self) -> str:
        """In words: `raw.X holds counts of 13,714 genes`."""
        held = self.fault or f"holds counts of {self.n_genes:,} genes"
        return f"{shown(self.location)} {held}{' (0 and 1 alone)' if self.is_binary and not self.fault else ''}"

    @property
    def is_binary(self) -> bool:
        """Whether it only says which genes were detected."""
        return self.summary is not None and self.summary.is_binary


@dataclass(frozen=True)
class Choice:
    """The values to be read, and what people should be told of the choice, a line each."""

    found: Finding
    notes: tuple[str, ...]


def find_values(contents: Contents, *, x_is: XKind, layer: str | None, gene_column: str | None = None) -> Choice:
    """Return the values that are read.

    Counts are looked for in X, in layers that are called counts, and in raw. Of those that hold counts the one with
    the most genes is taken, before all one that has more than 0 and 1; among equals the first. Anything else is read
    from X. Where a layer is named ("raw" and "X" can be named too), nothing else is looked at.

    Args:
        contents: Contents of the data set.
        x_is: What the values have to be.
        layer: Read this one.
        gene_column: Column with the names of the genes: a gene counts where it has a name.

    Raises:
        ValueError: No location will do; the text says what each holds and what to do.
    """
    looked_at = [_examine(contents, location, x_is, gene_column) for location in _locations(contents, x_is, layer)]
    usable = [found for found in looked_at if found.fault is None]
    if not usable:
        raise ValueError(_nothing_found(contents, x_is, layer, looked_at))
    chosen = _best(usable) if len(usable) > 1 else usable[0]
    others = [found for found in looked_at if found is not chosen and found.location in contents.matrices]
    return Choice(chosen, tuple(_notes(contents, x_is, layer, gene_column, chosen, others)))


def _locations(contents: Contents, x_is: XKind, layer: str | None) -> list[str]:
    if layer is None:
        if x_is != "counts":
            return ["X"]
        layers = sorted(location for location in contents.matrices if _is_called_counts(location))
        return list(dict.fromkeys(["X", "layers/counts", *layers, RAW]))
    names = {layer_name(location): location for location in contents.matrices}
    if layer not in names:
        raise ValueError(f"{contents.name}: unknown layer {layer!r}; it has {sorted(names)}")
    return [names[layer]]


def _is_called_counts(location: str) -> bool:
    name = location.removeprefix("layers/")
    return name != location and bool(_COUNTS_NAME.search(name)) and not _NO_COUNTS_NAME.search(name)


def _best(usable: Sequence[Finding]) -> Finding:
    """Of locations with counts that with the most genes; among equals one whose cells differ in depth, as counts do."""
    best = max(usable, key=lambda found: (not found.is_binary, found.n_genes))
    equals = [found for found in usable if (found.is_binary, found.n_genes) == (best.is_binary, best.n_genes)]
    return next((found for found in equals if len(equals) > 1 and not _has_one_depth(found)), best)


def _has_one_depth(found: Finding) -> bool:
    """Return whether all cells have nearly the same sum: then whole numbers are rounded, rather than counted."""
    assert found.rows is not None
    depths = np.asarray(found.rows.read(0, min(_ROWS_FOR_DEPTH, found.rows.shape[0])).sum(axis=1), dtype=np.float64)
    depths = depths[depths > 0]
    return len(depths) > 2 and float(np.ptp(depths)) < 0.02 * float(depths.mean())


def _examine(contents: Contents, location: str, x_is: XKind, gene_column: str | None) -> Finding:
    if location not in contents.matrices:
        return Finding(location, "does not exist")
    try:
        rows = contents.matrices[location]()
    except ValueError as error:
        return Finding(location, f"cannot be read: {error}")
    table = contents.var_of(location)
    n_cells, n_rows = contents.cells.n_cells, len(table)
    if rows.shape != (n_cells, n_rows):
        shape = f"is {rows.shape[0]} x {rows.shape[1]}"
        return Finding(location, f"{shape}, but the tables name {n_cells} cells x {n_rows} genes")
    if rows.dtype.kind not in "biuf":
        return Finding(location, f"holds {rows.dtype}, not numbers")
    is_gene, others = contents.gene_rows_of(location)
    if not is_gene.any():
        return Finding(location, f"holds no genes: {others}")
    rows = rows if is_gene.all() else ChosenColumns(rows, is_gene)
    summary = summarise_values(rows.sample())
    fault = refusal(summary, x_is)
    if fault is None and summary.n_values == 0 and _is_all_zero(rows):
        fault = "holds zeros alone"
    n_genes = _named_genes(table.loc[is_gene], gene_column)
    return Finding(location, fault, rows, summary, is_gene, others, n_genes)


def _is_all_zero(rows: MatrixRows) -> bool:
    """Return whether there is no value but zero; looks at all of them, which nearly nobody's file needs."""
    starts = range(0, rows.shape[0], _ROWS_PER_SEARCH)
    return not any(rows.read(start, min(start + _ROWS_PER_SEARCH, rows.shape[0])).data.any() for start in starts)


def _named_genes(var: pd.DataFrame, gene_column: str | None) -> int:
    """How many genes have a name of their own that is no number, as the index of a table is that lost its names."""
    if gene_column is None or (gene_column not in var.columns and gene_column in ("index", var.index.name)):
        names = var.index
    elif gene_column in var.columns:
        names = pd.Index(var[gene_column])
    else:
        return 0
    return sum(isinstance(name, str) and bool(name) and not name.isdigit() for name in names.unique())


def _notes(
    contents: Contents,
    x_is: XKind,
    layer: str | None,
    gene_column: str | None,
    chosen: Finding,
    others: Sequence[Finding],
) -> list[str]:
    notes, place = [], shown(chosen.location)
    if others:
        notes.append(
            f"Counts are read from {place} ({chosen.n_genes:,} genes); {'; '.join(other.text for other in others)}"
        )
    elif x_is != "counts" and layer is None and RAW in contents.matrices:
        raw = _examine(contents, RAW, x_is, gene_column)
        is_alike = raw.fault is None and raw.summary is not None and not raw.summary.integers
        if is_alike and raw.n_genes > chosen.n_genes:
            notes.append(
                f"Values are read from {place} ({chosen.n_genes:,} genes); raw.X has {raw.n_genes:,}: if it holds the "
                'same kind of values, read it (--layer raw, layer="raw").'
            )
    if chosen.others:
        notes.append(f"Left out, as they are no genes: {chosen.others}.")
    if chosen.is_binary and x_is == "counts":
        notes.append(
            f"{place} holds 0 and 1 alone: genes are ranked by how common they are, not by how much a cell expresses "
            "them; give counts if there are any."
        )
    return notes


def _nothing_found(contents: Contents, x_is: XKind, layer: str | None, looked_at: Sequence[Finding]) -> str:
    wanted = "raw counts" if x_is == "counts" else f"{x_is} values"
    listed = "; ".join(found.text for found in looked_at if found.location in contents.matrices or layer is None)
    advice = _advice(contents, x_is, layer, looked_at)
    return f"{contents.name}: no {wanted} found ({listed}). {advice}"


def _advice(contents: Contents, x_is: XKind, layer: str | None, looked_at: Sequence[Finding]) -> str:
    if x_is != "counts":
        others = sorted(layer_name(location) for location in contents.matrices)
        return (
            f"Say what the values are (--x-is counts, linear, log1p or log2p), or name another layer, one of {others}"
        )
    if whole := _layers_of_whole_numbers(contents, looked_at):
        listed = ", ".join(map(shown, whole))
        return f"Whole numbers are in {listed}: if they are the counts, say --layer {layer_name(whole[0])}"
    advice = 'Store raw counts in X, layers["counts"] or raw'
    readable = [found for found in looked_at if found.summary is not None and _can_be_linear(found)]
    if not readable:
        return advice
    first = readable[0]
    assert first.summary is not None
    words = "--x-is linear (TPM, CP10k, corrected counts)"
    if refusal(first.summary, "log1p") is None:
        words = f"--x-is log1p (log2p to base 2) or {words}"
    if first.location == "X" or layer is not None:
        return f"{advice}, or say what the values are: {words}"
    return f'{advice}, or read {shown(first.location)} as layer "{layer_name(first.location)}" with {words}'


def _can_be_linear(found: Finding) -> bool:
    assert found.summary is not None
    return found.summary.n_values > 0 and refusal(found.summary, "linear") is None


def _layers_of_whole_numbers(contents: Contents, looked_at: Sequence[Finding]) -> list[str]:
    """Locations that nobody has looked at yet and that hold whole numbers."""
    seen = {found.location for found in looked_at}
    found = [_examine(contents, location, "counts", None) for location in contents.matrices if location not in seen]
    return [one.location for one in found if one.fault is None]
