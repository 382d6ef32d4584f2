"""Which cells a repeat learns from and which it is measured on; all draws are by type, from one generator a repeat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from langcell.training.evaluation.options import check_repeats


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one repeat, ascending, int64.

    Attributes:
        train: rows to learn from.
        test: rows to be measured on.
        seed: random seed of whatever else this repeat draws.
    """

    train: np.ndarray
    test: np.ndarray
    seed: int


def stratified_splits(truth: np.ndarray, *, train_share: float, repeats: int, seed: int) -> Iterator[Split]:
    """Split each type's cells, so that every type with two cells or more is on both sides.

    Args:
        truth: int64, shape (cells,); code of each cell's type, -1 for a cell that is on neither side.
        train_share: share of each type's cells to learn from; rounded, at least one cell and all but one at most.
        repeats: number of splits.
        seed: random seed of the first split; each repeat has one of its own.

    Raises:
        ValueError: illegal `repeats`, or fewer than two types have two cells.
    """
    check_repeats(repeats)
    usable = splittable_types(truth)
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        train, test = [], []
        for code in usable:
            rows = rng.permutation(np.flatnonzero(truth == code))
            n_train = min(max(1, round(train_share * len(rows))), len(rows) - 1)
            train.append(rows[:n_train])
            test.append(rows[n_train:])
        yield Split(np.sort(np.concatenate(train)), np.sort(np.concatenate(test)), seed=_seed(seed, repeat))


def splittable_types(truth: np.ndarray) -> np.ndarray:
    """Return the codes of the types with at least two cells: one to learn from and one to be measured on.

    Raises:
        ValueError: there are fewer than two such types.
    """
    codes, counts = np.unique(truth[truth >= 0], return_counts=True)
    if (counts >= 2).sum() < 2:
        raise ValueError(
            f"{(counts >= 2).sum()} types have two labelled cells or more; splitting into training and test cells "
            "needs two such types at least."
        )
    return codes[counts >= 2]


def draw_shots(truth: np.ndarray, pool: np.ndarray, shots: Sequence[int], *, seed: int) -> dict[int, np.ndarray]:
    """Return the training rows for several numbers of shots, each the smaller ones and more.

    Args:
        truth: int64, shape (cells,).
        pool: rows to draw from.
        shots: cells of each type; a type with fewer in the pool gives all that it has.
        seed: random seed of the draw.

    Returns:
        Number of shots -> rows, ascending.

    >>> rows = draw_shots(np.array([0, 0, 0, 1]), np.arange(4), [1, 2], seed=0)
    >>> [len(rows[k]) for k in (1, 2)], set(rows[1]) <= set(rows[2])
    ([2, 3], True)
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(pool[truth[pool] == code]) for code in np.unique(truth[pool])]
    return {k: np.sort(np.concatenate([order[:k] for order in orders])) for k in shots}


def _seed(seed: int, repeat: int) -> int:
    """One number for code that takes no sequence."""
    return int(np.random.default_rng([seed, repeat, 1]).integers(2**31))
