"""Rank-value encoding as machine code, made by numba: for millions of cells.

`rank_values` has the same in numpy, and needs neither numba nor the seconds that it takes to make machine code, once on
a machine. The ids that come out are the same: a cell is sorted by counting its values into buckets, eleven bits at a
time, instead of by comparing them. Two such passes look at 22 of the 31 bits of a positive float32, which leaves few
neighbours in the wrong order; these are moved one by one.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import (
    GeneColumns,
    RankedCells,
    columns_repeat_genes,
    plan_ids,
    rank_encode,
)

# A float32 is sorted by its bits, eleven at a time, an id eight at a time: the lowest first, each pass stable.
_VALUE_BUCKETS = 2048
_ALL_BITS, _HIGH_BITS = (0, 9, 20), (9, 20)
_ID_BITS, _ID_BUCKETS = 8, 256
# Moves of a neighbour for each value, on average, from which on a third pass is cheaper.
_MOST_MOVES = 8


def rank_encode_compiled(
    counts: Any,
    gene_index: np.ndarray,
    vocabulary: GeneVocabulary,
    *,
    max_length: int | None = 2048,
    add_cls: bool = True,
) -> RankedCells:
    """Return what `rank_encode` gives, four times as fast; arguments and errors are its own.

    Matrices in which genes may repeat, or columns do not ascend, are ranked by `rank_encode`.
    """
    room, first = plan_ids(vocabulary, max_length=max_length, add_cls=add_cls)
    if columns_repeat_genes(gene_index):
        return rank_encode(counts, gene_index, vocabulary, max_length=max_length, add_cls=add_cls)
    columns = GeneColumns.of(gene_index, vocabulary)
    indptr = counts.indptr.astype(np.int64, copy=False)
    n_cells = len(indptr) - 1
    most = np.minimum(np.diff(indptr), room) + len(first)
    token_ids = np.empty(int(most.sum()), dtype=np.uint16)
    n_known_genes = np.zeros(n_cells, dtype=np.int64)
    n_counts, n_known_counts = np.zeros(n_cells), np.zeros(n_cells)
    end = _rank_rows(
        # Of few types, because numba makes code for each combination of them.
        counts.data if counts.data.dtype == np.float32 else counts.data.astype(np.float64),
        counts.indices.astype(np.int32, copy=False),
        indptr,
        columns.token_ids,
        columns.medians,
        room,
        np.array(first, dtype=np.uint16),
        token_ids,
        n_known_genes,
        n_counts,
        n_known_counts,
    )
    if end < 0:
        return rank_encode(counts, gene_index, vocabulary, max_length=max_length, add_cls=add_cls)
    offsets = np.zeros(n_cells + 1, dtype=np.int64)
    np.cumsum(np.minimum(n_known_genes, room) + len(first), out=offsets[1:])
    return RankedCells(token_ids[:end], offsets, n_known_genes, n_counts, n_known_counts)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as machine code, kept on the disk; other threads run beside it."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder that the machine code could be kept in
        return numba.njit(nogil=True)(function)


@_compiled
def _starts(places: np.ndarray) -> None:
    """Counts of buckets to where each begins, in place."""
    total = 0
    for bucket in range(len(places)):
        count = places[bucket]
        places[bucket] = total
        total += count


@_compiled
def _sort_by_id(n: int, bits: np.ndarray, ids: np.ndarray, other_bits: np.ndarray, other_ids: np.ndarray) -> None:
    """Sort the first n pairs by id, in place; the other two arrays are room to work in."""
    places = np.zeros((2, _ID_BUCKETS), np.int64)
    for i in range(n):
        places[0, ids[i] & (_ID_BUCKETS - 1)] += 1
        places[1, ids[i] >> _ID_BITS] += 1
    _starts(places[0])
    _starts(places[1])
    for i in range(n):
        bucket = ids[i] & (_ID_BUCKETS - 1)
        other_bits[places[0, bucket]], other_ids[places[0, bucket]] = bits[i], ids[i]
        places[0, bucket] += 1
    for i in range(n):
        bucket = other_ids[i] >> _ID_BITS
        bits[places[1, bucket]], ids[places[1, bucket]] = other_bits[i], other_ids[i]
        places[1, bucket] += 1


@_compiled
def _pass(
    n: int, shift: int, bits: np.ndarray, ids: np.ndarray, to_bits: np.ndarray, to_ids: np.ndarray, places: np.ndarray
) -> None:
    """The first n pairs in the order of eleven of their bits, stable, into the other two arrays."""
    low, mask = np.uint32(shift), np.uint32(_VALUE_BUCKETS - 1)
    places[:] = 0
    for i in range(n):
        places[(bits[i] >> low) & mask] += 1
    _starts(places)
    for i in range(n):
        bucket = (bits[i] >> low) & mask
        place = places[bucket]
        places[bucket] = place + 1
        to_bits[place], to_ids[place] = bits[i], ids[i]


@_compiled
def _move_neighbours(n: int, bits: np.ndarray, ids: np.ndarray) -> bool:
    """Sort the first n pairs by bits, stable; whether that was done, or given up because they are far from sorted."""
    left = _MOST_MOVES * n
    for i in range(1, n):
        value = bits[i]
        if bits[i - 1] > value:
            place, token_id = i, ids[i]
            while place > 0 and bits[place - 1] > value:
                bits[place], ids[place] = bits[place - 1], ids[place - 1]
                place -= 1
            bits[place], ids[place] = value, token_id
            left -= i - place
            if left < 0:
                return False
    return True


@_compiled
def _sort_by_value(
    n: int, bits: np.ndarray, ids: np.ndarray, other_bits: np.ndarray, other_ids: np.ndarray, places: np.ndarray
) -> None:
    """Sort the first n pairs by bits, in place, stable; the other arrays are room to work in."""
    _pass(n, _HIGH_BITS[0], bits, ids, other_bits, other_ids, places)
    _pass(n, _HIGH_BITS[1], other_bits, other_ids, bits, ids, places)
    if not _move_neighbours(n, bits, ids):  # values that differ in their lowest bits alone
        _pass(n, _ALL_BITS[0], bits, ids, other_bits, other_ids, places)
        _pass(n, _ALL_BITS[1], other_bits, other_ids, bits, ids, places)
        _pass(n, _ALL_BITS[2], bits, ids, other_bits, other_ids, places)
        bits[:n], ids[:n] = other_bits[:n], other_ids[:n]


@_compiled
def _rank_rows(
    values: np.ndarray,
    columns: np.ndarray,
    indptr: np.ndarray,
    token_ids: np.ndarray,
    medians: np.ndarray,
    room: int,
    first: np.ndarray,
    ranked: np.ndarray,
    n_known_genes: np.ndarray,
    n_counts: np.ndarray,
    n_known_counts: np.ndarray,
) -> int:
    """Rank the entries of every row of a csr matrix; the last four arrays are written.

    Args:
        values: entries of the matrix.
        columns: column of each.
        indptr: where rows begin and end.
        token_ids: id of each column's gene, uint16; 0 where it is unknown.
        medians: median of each column's gene, float64.
        room: ids kept of a row at most, without `first`.
        first: ids that every row begins with, uint16.
        ranked: all rows' ids, uint16, with room for the longest that they can be.
        n_known_genes: int64, (rows,).
        n_counts: float64, (rows,).
        n_known_counts: float64, (rows,).

    Returns:
        How much of `ranked` was filled; -1 where the columns of a row do not ascend, so that some may repeat.
    """
    longest = 0
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    # One more than a row has: an entry is written before it is known whether it counts, so there is no branch to guess.
    relative = np.empty(longest + 1, np.float32)
    bits = relative.view(np.uint32)
    other_bits = np.empty(longest, np.uint32)
    ids, other_ids = np.empty(longest + 1, np.uint16), np.empty(longest, np.uint16)
    places = np.empty(_VALUE_BUCKETS, np.int32)
    end = 0
    for row in range(len(indptr) - 1):
        n = 0
        total = 0.0
        known = 0.0
        last_column = -1
        columns_ascend = True
        for entry in range(indptr[row], indptr[row + 1]):
            column = columns[entry]
            columns_ascend &= column > last_column
            last_column = column
            value = np.float64(values[entry])
            total += value
            token_id = token_ids[column]
            relative[n] = np.float32(value / medians[column])
            ids[n] = token_id
            counts = (token_id != 0) & (value > 0)
            known += value if counts else 0.0
            n += counts
        if not columns_ascend:
            return -1
        ascending = True
        for i in range(1, n):
            ascending &= ids[i] > ids[i - 1]
        for i in range(n):  # positive float32 sort like their bits; inverted, the largest comes first
            bits[i] = ~bits[i]
        if not ascending:  # of equal values the lower id comes first
            _sort_by_id(n, bits, ids, other_bits, other_ids)
        _sort_by_value(n, bits, ids, other_bits, other_ids, places)
        for i in range(len(first)):
            ranked[end + i] = first[i]
        end += len(first)
        kept = min(n, room)
        ranked[end : end + kept] = ids[:kept]
        end += kept
        n_known_genes[row], n_counts[row], n_known_counts[row] = n, total, known
    return end
