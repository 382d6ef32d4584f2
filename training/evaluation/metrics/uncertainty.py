"""The standard deviation behind every ±, by one rule for all tasks.

A task that draws cells or types, or that trains, is repeated: its measures are means over the repeats, and the spread
is over them. A task that does neither would measure the same again: its measures are those of all cells, and the spread
is over draws of the cells with replacement (the bootstrap). One repeat, or one draw, has no standard deviation: null in
JSON and no ± in the tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BOOTSTRAP_DRAWS = 200
"""How often the cells are drawn again where nothing else is drawn."""
DRAWS_OF_CELLS = "draws of the cells with replacement"


def uncertainty_text(repeats: int, over: str, seed: int) -> str:
    """Return the sentence of a report that says what ± is.

    Args:
        repeats: number of them.
        over: what they are, in the plural.
        seed: random seed of the draws.

    >>> uncertainty_text(3, "splits of the cells", 0)
    '± is the standard deviation over 3 splits of the cells (seed 0).'
    >>> uncertainty_text(1, "splits of the cells", 0)
    'One repeat (splits of the cells, seed 0) has no standard deviation: --repeats 2 or more gives a ±.'
    """
    if repeats < 2:
        return f"One repeat ({over}, seed {seed}) has no standard deviation: --repeats 2 or more gives a ±."
    return f"± is the standard deviation over {repeats} {over} (seed {seed})."


def sd_of(values: Sequence[float] | np.ndarray) -> float | None:
    """Return the standard deviation; NaN is left out, and of fewer than two values there is none.

    >>> sd_of([1.0, 3.0, float("nan")]), sd_of([1.0])
    (1.0, None)
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return round(float(known.std()), 12) if len(known) > 1 else None


def mean_and_sd(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return each measure's mean over repeats and, as <name>_sd, its standard deviation over them; "runs" is their
    number.

    >>> mean_and_sd([{"f1": 0.5}, {"f1": 0.7}])
    {'f1': 0.6, 'f1_sd': 0.1, 'runs': 2}
    >>> mean_and_sd([{"f1": 0.5}])
    {'f1': 0.5, 'f1_sd': None, 'runs': 1}
    """
    summary: dict[str, Any] = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        summary |= {name: round(float(np.mean(values)), 12), f"{name}_sd": sd_of(values)}
    return {**summary, "runs": len(runs)}


def draw_confusions(confusion: np.ndarray, *, draws: int, seed: int) -> np.ndarray:
    """Return the confusion matrices of the cells drawn again with replacement, shape (draws, types, labels + 1).

    Cells in the same place of the matrix count alike, so drawing cells is drawing places.

    Args:
        confusion: cells, shape (types, labels + 1), as `metrics.score_predictions` returns it.
        draws: how many.
        seed: random seed of the draws.
    """
    n_cells = confusion.sum()
    places = np.random.default_rng(seed).multinomial(n_cells, confusion.ravel() / n_cells, size=draws)
    return places.reshape(-1, *confusion.shape)


def bootstrap_sd(drawn: np.ndarray, *, credit: np.ndarray | None = None) -> dict[str, float | None]:
    """Return the standard deviations of the measures over draws of the cells.

    Args:
        drawn: what `draw_confusions` returns.
        credit: shape (types, labels + 1); adds ontology_accuracy_sd.
    """
    parts = _per_type(drawn)
    n_cells, support, f1 = drawn.sum((1, 2)), parts["support"], np.nan_to_num(parts["f1"])
    measures = {
        "accuracy_sd": parts["right"].sum(1) / n_cells,
        "macro_f1_sd": f1.sum(1) / (support > 0).sum(1),
        "weighted_f1_sd": (f1 * support).sum(1) / n_cells,
    }
    if credit is not None:
        measures["ontology_accuracy_sd"] = (drawn * credit).sum((1, 2)) / n_cells
    return {name: sd_of(values) for name, values in measures.items()}


def bootstrap_sd_per_type(drawn: np.ndarray) -> list[dict[str, float | None]]:
    """Return precision_sd, recall_sd and f1_sd of each type, over the draws in which it has cells.

    Args:
        drawn: what `draw_confusions` returns.
    """
    parts = _per_type(drawn)
    return [
        {f"{name}_sd": sd_of(parts[name][:, code]) for name in ("precision", "recall", "f1")}
        for code in range(drawn.shape[1])
    ]


def _per_type(drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Counts and measures of every draw and type; NaN where the type has no cell in the draw."""
    n_types = drawn.shape[1]
    right = drawn[:, range(n_types), range(n_types)]
    support, named = drawn.sum(2), drawn.sum(1)[:, :n_types]
    present = support > 0
    return {
        "right": right,
        "support": support,
        # A type that is never given has precision 0, as in `metrics.PerType`.
        "precision": np.where(present, right / np.maximum(named, 1), np.nan),
        "recall": np.where(present, right / np.maximum(support, 1), np.nan),
        "f1": np.where(present, 2 * right / np.maximum(support + named, 1), np.nan),
    }
