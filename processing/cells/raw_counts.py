"""What the values of an expression matrix are: raw counts, linear values, logarithms, or none of these."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np
from scipy import sparse

from langcell.processing.options import XKind

X_KINDS: tuple[XKind, ...] = get_args(XKind)
# The base of each kind of logarithm of 1 + x: what scanpy writes, and what Bioconductor calls logcounts.
LOG_BASES: dict[XKind, float] = {"log1p": math.e, "log2p": 2.0}

# ln(1 + 1e10): no expression unit comes near it, so larger "log1p" values are not logarithms at all.
LARGEST_LOG1P = 23.0
# Logarithms of counts per 10k (or per million) stay below this; used for wording only.
LOOKS_LOGGED = 20.0
# Single precision, which chunks are in, ends here. R's writeMM writes a missing value as 1e308.
LARGEST_VALUE = float(np.finfo(np.float32).max)
# With fewer values, all of them may be whole by chance.
_ENOUGH_VALUES = 100


@dataclass(frozen=True)
class ValueSummary:
    """Range and nature of the non-zero values of a matrix, from a sample of it.

    Attributes:
        smallest: Smallest finite non-zero value (0.0 where there is none).
        largest: Largest finite non-zero value (0.0 where there is none).
        finite: No NaN, and nothing that single precision cannot hold, was seen.
        integers: All finite values are whole numbers, whatever their type.
        n_values: How many non-zero values were seen.
    """

    smallest: float
    largest: float
    finite: bool
    integers: bool
    n_values: int = 0

    @property
    def span(self) -> str:
        """The range in words: `values 0.31 to 6.52`."""
        return f"values {self.smallest:.4g} to {self.largest:.4g}"

    @property
    def is_binary(self) -> bool:
        """Whether each value says no more than that a gene was detected."""
        return self.finite and self.smallest == self.largest == 1


def summarise_values(blocks: Iterable[np.ndarray]) -> ValueSummary:
    """Summarise numeric blocks of any shape; zeros do not count.

    >>> summarise_values([np.array([0, 3.0, 1.0])]).span
    'values 1 to 3'
    """
    smallest, largest, finite, integers, n_values = np.inf, -np.inf, True, True, 0
    for block in blocks:
        values = block[block != 0]
        usable = values[_is_finite(values)]
        finite &= len(usable) == len(values)
        n_values += len(values)
        if len(usable):
            smallest, largest = min(smallest, float(usable.min())), max(largest, float(usable.max()))
            integers &= bool(np.all(usable == np.floor(usable)))
    if smallest > largest:
        smallest = largest = 0.0
    return ValueSummary(smallest, largest, finite, integers, n_values)


def _is_finite(values: np.ndarray) -> np.ndarray:
    """False for NaN, infinity, and what becomes infinity in single precision."""
    return np.abs(values) <= LARGEST_VALUE if values.dtype == np.float64 else np.isfinite(values)


def refusal(summary: ValueSummary, x_is: XKind) -> str | None:
    """Return why such values cannot be `x_is`, as the end of a sentence that starts with the place; None where they
    can.

    >>> refusal(ValueSummary(0.31, 6.52, finite=True, integers=False), "counts")
    'holds values 0.31 to 6.52, not integers: log-normalised?'
    """
    if not summary.finite:
        return "holds NaN or infinite values"
    if summary.smallest < 0:
        return f"holds {summary.span}, some negative: scaled?"
    if x_is == "counts" and not summary.integers:
        guess = "log-normalised" if summary.largest < LOOKS_LOGGED else "corrected counts, or normalised to a depth"
        return f"holds {summary.span}, not integers: {guess}?"
    if x_is in LOG_BASES:
        if summary.largest > largest_logarithm(x_is):
            return f"holds {summary.span}, too large for {x_is}: counts or linear?"
        if summary.integers and summary.n_values >= _ENOUGH_VALUES and not summary.is_binary:
            return f"holds {summary.span}, all whole numbers, as no logarithms are: counts?"
    return None


def largest_logarithm(x_is: XKind) -> float:
    """Return what no logarithm of this kind exceeds."""
    return LARGEST_LOG1P / math.log(LOG_BASES[x_is])


def first_fault(values: np.ndarray, x_is: XKind) -> tuple[int, str] | None:
    """Return the position of the first value that cannot be `x_is`, and what is wrong with it; None where all can.

    >>> first_fault(np.array([1.0, 2.5]), "counts")
    (1, 'is 2.5, not a whole number')
    """
    rules = [(~_is_finite(values), "not a finite number"), (values < 0, "negative")]
    if x_is == "counts":
        rules.append((values != np.floor(values), "not a whole number"))
    if x_is in LOG_BASES:
        rules.append((values > largest_logarithm(x_is), f"too large for {x_is}"))
    faults = [(int(np.argmax(wrong)), reason) for wrong, reason in rules if wrong.any()]
    if not faults:
        return None
    position, reason = min(faults, key=lambda fault: fault[0])
    return position, f"is {values[position]:.6g}, {reason}"


def to_linear(matrix: sparse.csr_matrix, x_is: XKind, *, base: float | None = None) -> sparse.csr_matrix:
    """Return the matrix in linear scale and canonical form (sorted, no duplicates, no explicit zeros), changed in
    place.

    Integers keep their type, everything else becomes float32; logarithms of 1 + x go through `expm1`.

    Args:
        matrix: Values of the kind `x_is`.
        x_is: What they are.
        base: Base of logarithms, where it is another than that of their kind.
    """
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if x_is in LOG_BASES:
        base = LOG_BASES[x_is] if base is None else base
        values = matrix.data.astype(np.float64)
        matrix.data = np.expm1(values if base == math.e else values * math.log(base))
    if matrix.dtype.kind == "f":
        matrix.data = matrix.data.astype(np.float32, copy=False)
        matrix.eliminate_zeros()  # the smallest doubles are zero in single precision
    return matrix
