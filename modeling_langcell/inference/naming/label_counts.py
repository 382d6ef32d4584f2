"""How many cells got which label, for the table that a command prints."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

# Lost names are listed from this number of cells on, and only the first of them.
_FEWEST_LOST, _MOST_LOST = 5, 3


@dataclass(frozen=True)
class LabelCounts:
    """Cells by name.

    Attributes:
        cells_of: number of cells by name, the most frequent first; names without a cell are left out.
        confidence_of: mean confidence by name.
        without_cells: labels that no cell got, in their order.
    """

    cells_of: dict[str, int]
    confidence_of: dict[str, float]
    without_cells: list[str]


def count_labels(
    codes: np.ndarray, confidence: np.ndarray, *, names: Sequence[str], labels: Sequence[str]
) -> LabelCounts:
    """Count the cells of each name.

    Args:
        codes: int, (cells,); index into names.
        confidence: (cells,).
        names: what cells can be called.
        labels: those of the names that were candidates; the others are of interest only where a cell got them.

    >>> counts = count_labels(np.array([1, 1, 2]), np.array([0.5, 0.7, 0.0]), names=["B", "T", "unknown"], labels="BT")
    >>> counts.cells_of, counts.without_cells
    ({'T': 2, 'unknown': 1}, ['B'])
    """
    candidates = set(labels)
    n_cells = np.bincount(codes, minlength=len(names))
    total = np.bincount(codes, weights=confidence, minlength=len(names))
    frequent_first = [int(code) for code in np.argsort(-n_cells, kind="stable") if n_cells[code]]
    return LabelCounts(
        cells_of={names[code]: int(n_cells[code]) for code in frequent_first},
        confidence_of={names[code]: float(total[code] / n_cells[code]) for code in frequent_first},
        without_cells=[name for name, n in zip(names, n_cells, strict=True) if not n and name in candidates],
    )


def note_on_lost_names(alone: pd.Categorical | None, without_evidence: Collection[str]) -> str:
    """Say which names cells have by themselves and lost, since nothing in the whole file spoke for them; "" for none.

    A type of few cells can be lost so. Whoever named it should look.

    Args:
        alone: name of each cell by itself; None where the cells did not name each other.
        without_evidence: labels that the refinement left out.

    >>> note_on_lost_names(pd.Categorical(["platelet"] * 11 + ["B cell"]), ["platelet"])
    'platelet: 11 cells are called so by themselves (langcell_label_alone), and the whole file has no evidence for it'
    """
    if alone is None:
        return ""
    counts = {str(name): int(n) for name, n in pd.Series(alone).value_counts().items()}
    lost = {name: counts[name] for name in without_evidence if counts.get(name, 0) >= _FEWEST_LOST}
    if not lost:
        return ""
    names = sorted(lost, key=lambda name: (-lost[name], name))[:_MOST_LOST]
    counted = ", ".join(f"{name}: {lost[name]:,}" for name in names)
    it = "it" if len(names) == 1 else "them"
    so = "cells are called so by themselves (langcell_label_alone)"
    return f"{counted} {so}, and the whole file has no evidence for {it}"
