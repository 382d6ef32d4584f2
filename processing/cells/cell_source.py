"""An opened data set: what its genes are called, and its cells in chunks of rows."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.contents import Contents, shown
from langcell.processing.cells.log_scale import find_log_base
from langcell.processing.cells.raw_counts import first_fault, to_linear
from langcell.processing.cells.value_choice import find_values
from langcell.processing.gene_naming.found_genes import FoundGenes, GeneNaming, find_genes
from langcell.processing.genes import GeneVocabulary
from langcell.processing.options import XKind

logger = logging.getLogger("langcell")

_ROWS_PER_LOOK = 64
# What scanpy calls the column of Ensembl ids that Cell Ranger's files have beside gene symbols. Columns of other names
# are read where --gene-column names them: what they hold is up to whoever made the file.
_ID_COLUMNS = {"gene_ids"}
# What the gene table of Cell Ranger's own files becomes: the ids are the index, and the symbols stand in "name".
_TENX_COLUMNS = {"id", "name", "feature_type"}


@dataclass(frozen=True)
class CellChunk:
    """Consecutive cells of a `CellSource`.

    Attributes:
        start: Row of the first cell in the source.
        counts: Cells x genes, float32 or integers, linear scale, non-negative, sorted, without explicit zeros.
    """

    start: int
    counts: sparse.csr_matrix


class CellSource:
    """Cells of an opened data set, read in chunks; use it as a context manager, or call `close`.

    Attributes:
        n_cells: Number of cells.
        gene_names: One name a gene as found in var_names or the named column; "" where the column has no entry.
        gene_columns: Text columns of the gene table whose entries tell genes apart: other names to try.
        naming: How the genes are named: species and orthologs.
        var: Table of genes; rows that are no genes (antibodies, guides, peaks) are left out everywhere.
        notes: What people should know of how the values are read, a line each.
        obs_columns: Names of the columns of the table of cells.
        location: Where the values are: "X", "layers/<name>" or "raw/X".
        x_kind: What the values are there; chunks are linear whatever they are.
    """

    def __init__(
        self,
        contents: Contents,
        *,
        x_is: XKind,
        gene_column: str | None,
        layer: str | None,
        naming: GeneNaming | None = None,
    ) -> None:
        self._contents = contents
        self._closed = False
        self.x_kind: XKind = x_is
        self.obs_columns = contents.cells.columns
        self.n_cells = contents.cells.n_cells
        if self.n_cells == 0 or len(contents.var) == 0:
            raise ValueError(
                f"{contents.name}: empty: {self.n_cells} cells x {len(contents.var)} genes; nothing to read"
            )
        choice = find_values(contents, x_is=x_is, layer=layer, gene_column=gene_column)
        found = choice.found
        assert found.rows is not None
        assert found.is_gene is not None
        self.location, self._rows, self.naming = found.location, found.rows, naming or GeneNaming()
        self._log_base, log_notes = find_log_base(self._rows, x_is, stated=contents.log_base)
        self.notes: tuple[str, ...] = (*choice.notes, *log_notes)
        self._column_is_given = gene_column is not None
        self._found_genes: dict[str, FoundGenes] = {}
        self._told = False
        self._told_genes: set[str] = set()
        self.var: pd.DataFrame = contents.var_of(self.location).loc[found.is_gene]
        var = self.var
        self.gene_columns = gene_columns(var)
        try:
            self.gene_names = gene_names(var, gene_column)
        except ValueError as error:
            raise ValueError(f"{contents.name}: {error}") from None

    def __enter__(self) -> "CellSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def obs(self) -> pd.DataFrame:
        """The whole table of cells."""
        return self._contents.cells.whole()

    @property
    def obs_names(self) -> pd.Index:
        """Names of the cells; they need not be unique."""
        return self.obs.index

    def find_genes(self, vocabulary: GeneVocabulary, *, tell: bool = True) -> FoundGenes:
        """Return where the genes are in a vocabulary.

        Args:
            vocabulary: Gene vocabulary in which the genes are looked for.
            tell: Say so, and all else that there is to say, in the log the first time.

        Raises:
            ValueError: Next to none is there; see `find_genes`.
        """
        key = vocabulary.fingerprint
        if key not in self._found_genes:
            self._found_genes[key] = self._find_genes(vocabulary)
        found = self._found_genes[key]
        if tell and key not in self._told_genes:
            self._told_genes.add(key)
            self.tell()
            for note in found.notes:
                logger.info("%s", note)
        return found

    def names_read(self, vocabulary: GeneVocabulary) -> list[str]:
        """Return the names by which `find_genes` finds the genes: `gene_names`, or a column of ids; one a gene."""
        column = self.find_genes(vocabulary).column
        return list(self.gene_names) if column is None else gene_names(self.var, column)

    def _find_genes(self, vocabulary: GeneVocabulary) -> FoundGenes:
        """Find the genes by their names or by their ids, where a container has both: by what covers more of the counts.

        Containers have the names in the index and the ids beside them, or the other way round. The same choice from
        both gives the same tokens. Where both cover as much, ids are read: no two genes share one.
        """
        options = {"naming": self.naming, "other_columns": self.gene_columns, "share_of_counts": self.share_of_counts}
        found: dict[str | None, FoundGenes] = {}
        refused: list[ValueError] = []
        for column in (None, *self._beside_the_index):
            names = self.gene_names if column is None else gene_names(self.var, column)
            try:
                found[column] = find_genes(names, vocabulary, **options)
            except ValueError as error:  # next to none is known there
                refused.append(error)
        if not found:
            raise ValueError(f"{self._contents.name}: {refused[0]}") from None
        # Where nothing is to be compared no cell is read.
        shares = {column: self.share_of_counts(each.index >= 0) for column, each in found.items() if len(found) > 1}
        best = max(found, key=lambda column: (shares.get(column, 1.0), column in _ID_COLUMNS, column is None))
        if best is None:
            return found[best]
        why = ": next to none of the names is known"
        if None in shares:
            why = f", which covers {shares[best]:.1%} of the counts ({shares[None]:.1%} by the names in the index)"
        note = f"Genes are read from var[{best!r}]{why}"
        return replace(found[best], notes=(*found[best].notes, note), column=best)

    @property
    def _beside_the_index(self) -> list[str]:
        """Columns of ids beside names, or of names beside ids, where the user named no column."""
        if self._column_is_given:
            return []
        of_tenx = {"name"} if set(self.var.columns) >= _TENX_COLUMNS else set()
        return [name for name in self.gene_columns if name in _ID_COLUMNS | of_tenx]

    def tell(self) -> None:
        """Say the notes in the log, once."""
        for note in () if self._told else self.notes:
            logger.info("%s", note)
        self._told = True

    def share_of_counts(self, genes: np.ndarray) -> float:
        """Return the share of the counts of the first, middle and last cells that are on some genes (bool, one a
        gene)."""
        known = total = 0.0
        for start in sorted({0, self.n_cells // 2, max(0, self.n_cells - _ROWS_PER_LOOK)}):
            counts = self._read(start, min(start + _ROWS_PER_LOOK, self.n_cells))
            per_gene = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
            known, total = known + float(per_gene[genes].sum()), total + float(per_gene.sum())
        return known / total if total else 0.0

    def metadata(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Return some columns of the cells `start` to `stop`, with rows as index; a column that is not there is left
        out.

        Raises:
            ValueError: They cannot be read.
        """
        present = [column for column in columns if column in self.obs_columns]
        try:
            table = self._contents.cells.read(present, start, stop)
        except Exception as error:  # whatever the damage raises, the user needs to know which file and part
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{self._contents.name}: its table 'obs' cannot be read: {reason}") from error
        return table.set_index(pd.RangeIndex(start, stop))

    def metadata_blocks(self, columns: Sequence[str], rows_per_block: int) -> Iterator[pd.DataFrame]:
        """Yield `metadata` of all cells in order, in tables of at most `rows_per_block` rows."""
        for start in range(0, self.n_cells, rows_per_block):
            yield self.metadata(columns, start, min(start + rows_per_block, self.n_cells))

    def close(self) -> None:
        """Release the file; safe to call twice."""
        if not self._closed:
            self._contents.close()
            self._closed = True

    def chunks(self, rows_per_chunk: int = 2000, *, start: int = 0, stop: int | None = None) -> Iterator[CellChunk]:
        """Yield rows `start` to `stop` in order, every value checked to be what `x_kind` says.

        Args:
            rows_per_chunk: Cells a chunk; the last one may have fewer.
            start: First row, to resume from.
            stop: Row to stop before; the end by default.

        Raises:
            ValueError: A value is NaN, infinite, negative or (for counts) no whole number; names cell and gene.
            OSError: The file cannot be read there.
        """
        stop = self.n_cells if stop is None else stop
        if rows_per_chunk < 1 or not 0 <= start <= stop <= self.n_cells:
            raise ValueError(
                f"cannot read rows {start} to {stop} by {rows_per_chunk}: needs 0 <= start <= stop <= {self.n_cells}"
                " and at least one row a chunk"
            )
        for first in range(start, stop, rows_per_chunk):
            yield CellChunk(first, self._read(first, min(first + rows_per_chunk, stop)))

    def counts_of(self, rows: np.ndarray, *, rows_per_read: int = 2000) -> sparse.csr_matrix:
        """Return the counts of some cells, as `chunks` gives them; only what lies within `rows_per_read` rows is read
        at once.

        Args:
            rows: int64, ascending.
            rows_per_read: Most rows that are in memory beside the result.

        Raises:
            ValueError, OSError: As `chunks`.
        """
        parts = []
        while len(rows):
            inside = int(np.searchsorted(rows, rows[0] + rows_per_read))
            first, last = int(rows[0]), int(rows[inside - 1]) + 1
            part = self._read(first, last)
            parts.append(part if inside == last - first else part[rows[:inside] - first])
            rows = rows[inside:]
        if not parts:
            return sparse.csr_matrix((0, len(self.gene_names)), dtype=np.float32)
        return parts[0] if len(parts) == 1 else sparse.csr_matrix(sparse.vstack(parts, format="csr"))

    def _read(self, start: int, stop: int) -> sparse.csr_matrix:
        if self._closed:
            raise ValueError(f"{self._contents.name}: closed; open it again to read cells")
        try:
            matrix = self._rows.read(start, stop)
        except (OSError, ValueError) as error:
            raise type(error)(f"{self._contents.name}: cannot read cells {start} to {stop}: {error}") from error
        fault = first_fault(matrix.data, self.x_kind)
        if fault is not None:
            position, reason = fault
            row = start + int(np.searchsorted(matrix.indptr, position, side="right")) - 1
            (cell,) = self._contents.cells.names(row, row + 1)
            place = f"cell {row} ({cell}), gene {self.gene_names[matrix.indices[position]] or '?'}"
            raise ValueError(
                f"{self._contents.name}: {shown(self.location)} of {place}, {reason}; {self.x_kind} expected: "
                "correct it, or say what the values are (--x-is)"
            )
        return to_linear(matrix, self.x_kind, base=self._log_base)


def gene_names(var: pd.DataFrame, column: str | None = None) -> list[str]:
    """Return names of the genes: the index of the gene table, or one of its columns ("" where that has no entry).

    "index" stands for the index, where there is no such column.

    Raises:
        ValueError: There is no such column.

    >>> gene_names(pd.DataFrame({"symbol": ["CD3D", None]}, index=["ENSG1", "ENSG2"]), "symbol")
    ['CD3D', '']
    """
    if column is None or (column not in var.columns and column in ("index", var.index.name)):
        values = var.index.to_series()
    elif column in var.columns:
        values = var[column]
    else:
        raise ValueError(f"unknown gene column {column!r}; the gene table has {[str(name) for name in var.columns]}")
    missing = values.isna().to_numpy()
    return ["" if gone else str(value) for value, gone in zip(values, missing, strict=True)]


def gene_columns(var: pd.DataFrame) -> list[str]:
    """Return the text columns whose entries are mostly distinct, as identifiers and symbols are.

    >>> gene_columns(pd.DataFrame({"gene_ids": ["ENSG1", "ENSG2"], "genome": ["GRCh38", "GRCh38"]}))
    ['gene_ids']
    """
    names = []
    for name in var.columns:
        column = var[name]
        entries = [entry for entry in column[column.notna()] if entry != ""]
        if entries and all(isinstance(entry, str) for entry in entries) and 2 * len(set(entries)) > len(entries):
            names.append(str(name))
    return names
