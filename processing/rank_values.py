"""Rank-value encoding: a cell is its genes in descending order of relative expression, found by sorting packed keys."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .genes import GeneVocabulary

# Half a megabyte of sort keys, and what they are made from, stay in the second-level cache of common processors.
_KEYS_PER_BLOCK = 65_536
# The id is the lowest of the four 16-bit parts of a key.
_ID_PART = 0 if sys.byteorder == "little" else 3


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

    def shortened(self, max_length: int) -> "RankedCells":
        """Return the same cells with lists of at most `max_length` ids."""
        if not len(self) or self.lengths.max() <= max_length:
            return self
        lengths = np.minimum(self.lengths, max_length)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        kept = np.repeat(self.offsets[:-1] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(self, token_ids=self.token_ids[kept], offsets=offsets)


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
    lower id. Value and gene are packed into one 64-bit key (32 bits inverted float32, 16 bits id), a block of cells at
    a time, so that one plain sort of its keys, in place, is all that is done cell by cell.

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
    room, first = plan_ids(vocabulary, max_length=max_length, add_cls=add_cls)
    n_cells = len(counts.indptr) - 1
    columns = GeneColumns.of(gene_index, vocabulary)
    # scipy looks once and remembers the answer. Unsorted columns count too, which costs time but changes nothing.
    merge = columns_repeat_genes(gene_index) or not getattr(counts, "has_canonical_format", True)
    n_known_genes = np.zeros(n_cells, dtype=np.int64)
    n_counts, n_known_counts = np.zeros(n_cells), np.zeros(n_cells)
    blocks = []
    for start, stop in _blocks(counts.indptr):
        block = slice(start, stop)
        entries, n_counts[block] = _known_entries(counts, columns, start, stop)
        entries = _merge_places(entries, vocabulary) if merge else entries
        n_known_genes[block] = entries.lengths
        n_known_counts[block] = _row_sums(entries.values, entries.lengths)
        blocks.append(_sorted_ids(_keys(entries), entries.lengths, room, first))
    offsets = np.zeros(n_cells + 1, dtype=np.int64)
    np.cumsum(np.minimum(n_known_genes, room) + len(first), out=offsets[1:])
    token_ids = np.concatenate(blocks) if blocks else np.empty(0, dtype=np.uint16)
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


def plan_ids(vocabulary: GeneVocabulary, *, max_length: int | None, add_cls: bool) -> tuple[int, list[int]]:
    """Return how many genes of a cell are kept, and the ids that stand before them.

    Raises:
        ValueError: no room for a single id, or a vocabulary too large for 16-bit ids.
    """
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length is {max_length}; give at least 1, or None for all genes.")
    if vocabulary.n_tokens > np.iinfo(np.uint16).max:
        raise ValueError(f"The vocabulary has {len(vocabulary)} genes; at most 65,532 fit the 16-bit token ids.")
    room = sys.maxsize if max_length is None else max_length - int(add_cls)
    return room, [vocabulary.cls_token_id] if add_cls else []


def columns_repeat_genes(gene_index: np.ndarray) -> bool:
    """Return whether two columns are of one gene, so that their entries have to be summed."""
    return bool((np.bincount(gene_index + 1)[1:] > 1).any())


@dataclass(frozen=True)
class GeneColumns:
    """What is looked up for an entry by its column.

    Attributes:
        token_ids: uint16, id of the column's gene; 0 where it is unknown.
        medians: float64, its median; 1 where it is unknown.
    """

    token_ids: np.ndarray
    medians: np.ndarray

    @classmethod
    def of(cls, gene_index: np.ndarray, vocabulary: GeneVocabulary) -> "GeneColumns":
        """Return the columns of a matrix from their genes' places in the vocabulary."""
        token_ids = vocabulary.first_gene_token_id + np.arange(len(vocabulary), dtype=np.uint16)
        # -1, an unknown gene, is the last place.
        return cls(np.append(token_ids, np.uint16(0))[gene_index], np.append(vocabulary.medians, 1.0)[gene_index])


@dataclass(frozen=True)
class _Entries:
    """The positive entries of known genes in a block of cells: value, median and token id, and how many a cell has."""

    values: np.ndarray
    medians: np.ndarray
    token_ids: np.ndarray
    lengths: np.ndarray


def _blocks(indptr: np.ndarray) -> Iterator[tuple[int, int]]:
    """Row ranges of about `_KEYS_PER_BLOCK` entries, at least one row each."""
    start, n_cells = 0, len(indptr) - 1
    while start < n_cells:
        stop = int(np.searchsorted(indptr, int(indptr[start]) + _KEYS_PER_BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), n_cells)
        yield start, stop
        start = stop


def _known_entries(counts: Any, columns: GeneColumns, start: int, stop: int) -> tuple[_Entries, np.ndarray]:
    """Return the entries of known genes in some rows, and the sum over all genes of each row."""
    begin, end = int(counts.indptr[start]), int(counts.indptr[stop])
    values, lengths = counts.data[begin:end], np.diff(counts.indptr[start : stop + 1]).astype(np.int64)
    place = counts.indices[begin:end].astype(np.intp)  # once for both look-ups
    n_counts = _row_sums(values, lengths)
    token_ids, medians = columns.token_ids[place], columns.medians[place]
    known = (token_ids != 0) & (values > 0)
    if not known.all():
        lengths = _row_sums(known, lengths).astype(np.int64)
        values, medians, token_ids = values[known], medians[known], token_ids[known]
    return _Entries(values, medians, token_ids, lengths), n_counts


def _row_sums(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """float64, shape (rows,); sums of `lengths` consecutive values each."""
    sums = np.zeros(len(lengths))
    filled = np.flatnonzero(lengths)
    if filled.size:
        starts = (np.cumsum(lengths) - lengths)[filled]
        sums[filled] = np.add.reduceat(values, starts, dtype=np.float64)
    return sums


def _merge_places(entries: _Entries, vocabulary: GeneVocabulary) -> _Entries:
    """Sum the entries of one gene in one cell."""
    rows = np.repeat(np.arange(len(entries.lengths), dtype=np.int64), entries.lengths)
    places = rows << 16 | entries.token_ids
    order = np.argsort(places, kind="stable")
    places = places[order]
    first = np.flatnonzero(np.concatenate([[True], places[1:] != places[:-1]])) if places.size else order
    token_ids = (places[first] & 0xFFFF).astype(np.uint16)
    values = entries.values[order]
    return _Entries(
        values=np.add.reduceat(values, first, dtype=np.float64) if first.size else values,
        medians=vocabulary.medians[token_ids.astype(np.int64) - vocabulary.first_gene_token_id],
        token_ids=token_ids,
        lengths=np.bincount(places[first] >> 16, minlength=len(entries.lengths)),
    )


def _keys(entries: _Entries) -> np.ndarray:
    """uint64 keys whose ascending order is that of the ranks."""
    relative = np.divide(entries.values, entries.medians, dtype=np.float64).astype(np.float32)
    # Positive float32 sort like their bits; inverted, the largest comes first. Then the lower id.
    keys = np.invert(relative.view(np.uint32)).astype(np.uint64)
    keys <<= np.uint64(16)
    keys |= entries.token_ids
    return keys


def _sorted_ids(keys: np.ndarray, lengths: np.ndarray, room: int, first: list[int]) -> np.ndarray:
    """Token ids of a block: of each cell `first`, then its genes in order, at most `room` of them."""
    kept = np.minimum(lengths, room)
    token_ids = np.empty(int(kept.sum()) + len(lengths) * len(first), dtype=np.uint16)
    id_parts = keys.view(np.uint16)[_ID_PART::4]
    begin = place = 0
    for length, n_kept in zip(lengths.tolist(), kept.tolist(), strict=True):
        keys[begin : begin + length].sort()  # a cell at a time: short arrays sort in the first-level cache
        token_ids[place : place + len(first)] = first
        place += len(first)
        token_ids[place : place + n_kept] = id_parts[begin : begin + n_kept]
        place, begin = place + n_kept, begin + length
    return token_ids
