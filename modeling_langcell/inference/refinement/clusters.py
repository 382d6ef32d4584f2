"""One name for each cluster, from the probabilities of its cells; a cluster of two types or of doublets says so.

The name is the label with the greatest mean probability. Means alone would call a cluster of two types by the larger
and say nothing. So a cluster is flagged as mixed where a second label is the most probable one of at least a quarter of
the cells, where at least a quarter of the cells have no label with 0.6, or where the cluster lies between two labels,
as doublets do (`between`). It is unknown where more than half of its cells are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from langcell.inference.refinement.novelty import UNKNOWN_ABOVE

MIXED_SHARE = 0.25
BETWEEN_BELOW = 0.6
_COLUMNS = ("cluster", "cells", "label", "probability", "share", "runner_up", "runner_up_share", "novelty")


@dataclass(frozen=True, eq=False)
class ClusterNames:
    """What each cluster is called.

    Attributes:
        table: one row for each cluster, in the order of their names as text: cluster, cells (those with
            probabilities), label (None where there are none), probability (mean of the label), share (of the cells that
            have the label as the most probable), runner_up and runner_up_share, novelty (mean), mixed, unknown.
        column: int64, shape (cells,); column of the label of each cell's cluster, -1 without.
    """

    table: pd.DataFrame
    column: np.ndarray


def name_clusters(
    posterior: np.ndarray,
    clusters: Sequence[str] | np.ndarray,
    labels: Sequence[str],
    novelty: np.ndarray | None = None,
) -> ClusterNames:
    """Name clusters.

    Args:
        posterior: probabilities of the labels, shape (cells, labels); a row of zeros for a cell without.
        clusters: cluster of each cell, shape (cells,), of any type.
        labels: names, in the order of the columns.
        novelty: 0 to 1, shape (cells,); how little any label fits.

    Raises:
        ValueError: shapes that do not fit.

    >>> posterior = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    >>> named = name_clusters(posterior, ["a", "a", "b", "b"], ["B cell", "T cell"])
    >>> named.table[["cluster", "label", "share", "mixed"]].values.tolist()
    [['a', 'B cell', 1.0, False], ['b', 'T cell', 1.0, False]]
    """
    names = np.asarray(clusters).astype(str)
    if posterior.ndim != 2 or len(names) != len(posterior) or len(labels) != posterior.shape[1]:
        raise ValueError(
            f"posterior {posterior.shape}, {len(names)} clusters and {len(labels)} labels do not fit; give a row for "
            "every cell and a column for every label."
        )
    if novelty is not None and len(novelty) != len(posterior):
        raise ValueError(f"novelty has {len(novelty)} values for {len(posterior)} cells; give one for each.")
    rows, column = [], np.full(len(names), -1, dtype=np.int64)
    for cluster in np.unique(names):
        inside = np.flatnonzero(names == cluster)
        named = inside[posterior[inside].sum(axis=1) > 0]
        new = np.nan if novelty is None or not len(named) else float(np.mean(novelty[named]))
        unknown = novelty is not None and len(named) > 0 and float(np.mean(novelty[named] > UNKNOWN_ABOVE)) > 0.5
        facts, best = _described(posterior[named], labels)
        column[inside] = best
        rows.append({"cluster": str(cluster), "cells": len(named), "novelty": new, "unknown": unknown, **facts})
    return ClusterNames(pd.DataFrame(rows, columns=pd.Index([*_COLUMNS, "mixed", "unknown"])), column)


def with_doublets(named: ClusterNames, between: Mapping[str, tuple[int, int]], labels: Sequence[str]) -> ClusterNames:
    """Return the names with clusters flagged as mixed that lie between two labels; the other one is the runner-up.

    Args:
        named: the clusters.
        between: the two labels of each such cluster, by its name.
        labels: names, in the order of the columns.
    """
    table = named.table.copy()
    for row, (cluster, label) in enumerate(zip(table["cluster"], table["label"], strict=True)):
        if cluster in between and not table["mixed"].iloc[row]:
            names = [labels[code] for code in between[cluster]]
            table.loc[table.index[row], "runner_up"] = next(name for name in names if name != label)
            table.loc[table.index[row], "mixed"] = True
    return ClusterNames(table, named.column)


def _described(posterior: np.ndarray, labels: Sequence[str]) -> tuple[dict[str, object], int]:
    """Name, shares and flag of one cluster, and the column of its label."""
    if not len(posterior):
        nothing = {"label": None, "probability": 0.0, "share": 0.0}
        return {**nothing, "runner_up": None, "runner_up_share": 0.0, "mixed": False}, -1
    mean = posterior.mean(axis=0)
    best = int(mean.argmax())
    shares = np.bincount(posterior.argmax(axis=1), minlength=len(labels)) / len(posterior)
    others = np.where(np.arange(len(labels)) == best, -1.0, shares + 1e-6 * mean)
    second = int(others.argmax()) if len(labels) > 1 else best
    between = float(np.mean(posterior.max(axis=1) < BETWEEN_BELOW))
    runner_up_share = float(shares[second]) if second != best else 0.0
    mixed = runner_up_share >= MIXED_SHARE or between >= MIXED_SHARE or shares[best] < 0.5
    facts = {"label": labels[best], "probability": float(mean[best]), "share": float(shares[best])}
    return {**facts, "runner_up": labels[second], "runner_up_share": runner_up_share, "mixed": bool(mixed)}, best
