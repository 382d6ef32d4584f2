"""The base of logarithms: what the file says of it, or what the sums of its cells show."""

import math

import numpy as np

from langcell.processing.cells.matrix_rows import MatrixRows
from langcell.processing.cells.raw_counts import LOG_BASES
from langcell.processing.options import XKind

_BASES = {"natural logarithms": math.e, "logarithms to base 2": 2.0, "logarithms to base 10": 10.0}
_ROWS = 32
_FEWEST_CELLS = 3
# Values normalised to a depth have sums that differ by the rounding of single precision; a wrong base gives per cents.
_LARGEST_SPREAD = 1e-3


def find_log_base(rows: MatrixRows, x_is: XKind, *, stated: float | None) -> tuple[float | None, list[str]]:
    """Return the base of the values, None where they are no logarithms, and lines on what was found.

    For log1p it is what uns["log1p"]["base"] says, else the base with which all cells have the same sum (as after
    scanpy's normalize_total), else e.

    Args:
        rows: The values.
        x_is: What they are said to be.
        stated: What the file says.
    """
    if x_is == "counts":
        return None, []
    if x_is == "linear":
        base = _base_with_one_sum(rows)
        words = next((words for words, known in _BASES.items() if known == base), None)
        note = f"The values look like {words} of values normalised to a depth: check --x-is (x_is), which is linear."
        return None, [note] if words else []
    if x_is == "log2p":
        return LOG_BASES[x_is], []
    if stated is not None and stated > 0 and stated != 1:
        other = not math.isclose(stated, math.e)
        return stated if other else math.e, [f'Logarithms to base {stated:g}, as uns["log1p"]["base"] says.'] * other
    base = _base_with_one_sum(rows) or math.e
    return base, [f"Logarithms to base {base:g}: with it all cells have the same sum."] * (base != math.e)


def _base_with_one_sum(rows: MatrixRows) -> float | None:
    """The base with which the first cells have the same sum in linear scale; None where there is none, or no way."""
    matrix = rows.read(0, min(_ROWS, rows.shape[0]))
    values = matrix.astype(np.float64)
    if values.nnz == 0 or not np.isfinite(values.data).all() or values.data.max() > 40 or _have_one_sum(values):
        return None
    for base in _BASES.values():
        linear = values.copy()
        linear.data = np.expm1(values.data * math.log(base))
        if _have_one_sum(linear):
            return base
    return None


def _have_one_sum(matrix) -> bool:
    sums = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    sums = sums[sums > 0]
    return len(sums) >= _FEWEST_CELLS and float(np.ptp(sums)) < _LARGEST_SPREAD * float(sums.mean())
