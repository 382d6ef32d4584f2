"""Rank-value encoding: a cell is its genes in descending order of relative expression, all cells in one sort."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .genes import GeneVocabulary

# 2 MB of sort keys stay in the second-level cache of common processors; larger blocks sort slower.
_KEYS_PER_BLOCK = 262_144
_ROWS_PER_BLOCK = 65_536  # the row number has 16 bits of the key


@dataclass(frozen=True)
class RankedCells:
    """Cells of different lengths, one after the other.

    Attributes:
        token_ids: uint16, all cells' ids concatenated, each cell starting with `<cls>` (if asked for).
        offsets: int64, shape (cells + 1,); cell i is `token_ids[offsets[i]:offsets[i + 1]]`.
        n_known_genes: int64, shape (cells,); expressed genes in the vocabulary, before truncation.
        n_counts: float64, shape (cells,); sum over ALL genes of the cell.
        n_known_counts: float64, shape (cells,); sum over the genes in the vocabulary.
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    n_known_genes: np.ndarray
    n_counts: np.ndarray
    n_known_counts: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        return self.token_ids[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        """Number of ids of each cell."""
        return np.diff(self.offsets)


def rank_encode(
    counts: Any,
    gene_index: np.ndarray,
    vocabulary: GeneVocabulary,
    *,
    max_length: int | None = 2048,
    add_cls: bool = True,
) -> RankedCells:
    """Rank the genes of every cell by count / n_counts * 10,000 / median (Geneformer, Theodoris et al. 2023).

    n_counts and 10,000 are the same for all genes of a cell, so the order is that of count / median. Ties go to the
    lower id. Row, value and gene are packed into one 64-bit key (16 bits row, 32 bits inverted float32, 16 bits id),
    so that one sort orders a whole block of cells.

    Args:
        counts: csr matrix (cells x genes), non-negative, linear scale; entries of the same place are summed.
        gene_index: int64, shape (genes,); index of each column in the vocabulary or -1. Columns of the same gene are
            summed.
        vocabulary: the genes and their medians.
        max_length: longest list kept, `<cls>` included; None keeps all genes.
        add_cls: put `<cls>` first.

    Returns:
        The ranked cells; a cell without a known gene has only `<cls>`.

    >>> from scipy.sparse import csr_matrix
    >>> vocabulary = GeneVocabulary(["ENSG01", "ENSG02", "ENSG03"], [1.0, 4.0, 1.0], ["A", "B", "C"])
    >>> rank_encode(csr_matrix([[2, 9, 3], [0, 0, 0]]), vocabulary.match(["A", "B", "C"]), vocabulary).token_ids
    array([5, 4, 3, 2, 5], dtype=uint16)
    """
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length is {max_length}; give at least 1, or None for all genes.")
    if vocabulary.n_tokens > np.iinfo(np.uint16).max:
        raise ValueError(f"The vocabulary has {len(vocabulary)} genes; at most 65,532 fit the 16-bit token ids.")
    n_cells = len(counts.indptr) - 1
    kept = np.zeros(n_cells, dtype=np.int64)
    n_known_genes = np.zeros(n_cells, dtype=np.int64)
    n_counts, n_known_counts = np.zeros(n_cells), np.zeros(n_cells)
    room = None if max_length is None else max_length - int(add_cls)
    blocks = []
    for start, stop in _blocks(counts.indptr):
        rows, genes, values = _known_entries(counts, gene_index, start, stop, n_counts)
        n_known_counts[start:stop] = np.bincount(rows, weights=values, minlength=stop - start)
        n_known_genes[start:stop] = np.bincount(rows, minlength=stop - start)
        ranked_genes, kept[start:stop] = _sort_block(rows, genes, values, vocabulary, stop - start, room)
        blocks.append(ranked_genes)
    offsets = np.zeros(n_cells + 1, dtype=np.int64)
    np.cumsum(kept + int(add_cls), out=offsets[1:])
    token_ids = np.empty(offsets[-1], dtype=np.uint16)
    is_gene = np.ones(len(token_ids), dtype=bool)
    if add_cls:
        token_ids[offsets[:-1]] = vocabulary.cls_token_id
        is_gene[offsets[:-1]] = False
    if blocks:
        token_ids[is_gene] = np.concatenate(blocks) + np.uint16(vocabulary.first_gene_token_id)
    return RankedCells(token_ids, offsets, n_known_genes, n_counts, n_known_counts)


def keep_first_of_duplicates(gene_index: np.ndarray) -> np.ndarray:
    """Make all but the first column of each gene unknown (-1), as the released LangCell's data preparation did.

    >>> keep_first_of_duplicates(np.array([4, -1, 2, 4]))
    array([ 4, -1,  2, -1])
    """
    kept = np.full_like(gene_index, -1)
    _, first = np.unique(gene_index, return_index=True)
    kept[first] = gene_index[first]
    return kept


def _blocks(indptr: np.ndarray) -> Iterator[tuple[int, int]]:
    """Row ranges of about `_KEYS_PER_BLOCK` entries, at least one row each."""
    start, n_cells = 0, len(indptr) - 1
    while start < n_cells:
        stop = int(np.searchsorted(indptr, int(indptr[start]) + _KEYS_PER_BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), start + _ROWS_PER_BLOCK, n_cells)
        yield start, stop
        start = stop


def _known_entries(
    counts: Any, gene_index: np.ndarray, start: int, stop: int, n_counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row (from 0), gene and value of each positive entry of a known gene, duplicates summed; fills `n_counts`."""
    begin, end = int(counts.indptr[start]), int(counts.indptr[stop])
    rows = np.repeat(np.arange(stop - start, dtype=np.int64), np.diff(counts.indptr[start : stop + 1]))
    values = counts.data[begin:end].astype(np.float64, copy=False)
    n_counts[start:stop] = np.bincount(rows, weights=values, minlength=stop - start)
    genes = gene_index[counts.indices[begin:end]]
    known = (genes >= 0) & (values > 0)
    rows, genes, values = rows[known], genes[known], values[known]
    cell_gene = rows << 16 | genes
    if not cell_gene.size or not (_has_duplicates(gene_index) or _may_repeat_places(counts)):
        return rows, genes, values
    order = np.argsort(cell_gene, kind="stable")
    cell_gene = cell_gene[order]
    first = np.flatnonzero(np.concatenate([[True], cell_gene[1:] != cell_gene[:-1]]))
    return cell_gene[first] >> 16, cell_gene[first] & 0xFFFF, np.add.reduceat(values[order], first)


def _may_repeat_places(counts: Any) -> bool:
    # scipy looks once and remembers the answer. Unsorted columns count too, which costs time but changes nothing.
    return not getattr(counts, "has_canonical_format", True)


def _has_duplicates(gene_index: np.ndarray) -> bool:
    known = gene_index[gene_index >= 0]
    return bool(known.size) and int(np.bincount(known).max()) > 1


def _sort_block(
    rows: np.ndarray, genes: np.ndarray, values: np.ndarray, vocabulary: GeneVocabulary, n_rows: int, room: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Genes of a block in order, cut to `room` a cell, and how many each cell keeps."""
    relative = (values / vocabulary.medians[genes]).astype(np.float32)
    # Positive float32 sort like their bits; inverted, the largest comes first. Then the lower id.
    descending = np.uint64(0xFFFFFFFF) - relative.view(np.uint32).astype(np.uint64)
    keys = (rows.astype(np.uint64) << np.uint64(48)) | (descending << np.uint64(16)) | genes.astype(np.uint64)
    keys.sort()
    lengths = np.bincount(rows, minlength=n_rows)
    ranked = (keys & np.uint64(0xFFFF)).astype(np.uint16)
    if room is None or lengths.max(initial=0) <= room:
        return ranked, lengths
    position = np.arange(len(ranked)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return ranked[position < room], np.minimum(lengths, room)
