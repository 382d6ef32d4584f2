"""One name for each cluster where labels lie above one another.

The name is the deepest label that at least half of the cluster's mass lies on or below. Cells that have a finer or a
broader name agree with it. A cluster is mixed where at least a quarter of its cells have a name of another lineage, the
medium class of `levels`, or lie between two of them, as doublets do.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.refinement.clusters import BETWEEN_BELOW, MIXED_SHARE, ClusterNames, name_clusters

_LEAST_MASS = 0.5


def name_clusters_in_tree(
    own: np.ndarray,
    clusters: np.ndarray,
    labels: Sequence[str],
    tree: LabelTree,
    classes: Sequence[str],
    novelty: np.ndarray | None = None,
) -> ClusterNames:
    """Name clusters; the table is that of `name_clusters`.

    Args:
        own: probabilities that are on each label itself, shape (cells, labels); a row of zeros for a cell without.
        clusters: cluster of each cell, shape (cells,).
        labels: names, in the order of the columns.
        tree: tree of the labels.
        classes: medium class of each label.
        novelty: 0 to 1, shape (cells,).

    Raises:
        ValueError: shapes that do not fit.
    """
    flat = name_clusters(own, clusters, labels, novelty)
    names, codes = np.asarray(clusters).astype(str), np.unique(classes, return_inverse=True)[1]
    column, rows = np.full(len(names), -1, dtype=np.int64), []
    for _, row in flat.table.iterrows():
        inside = np.flatnonzero(names == row["cluster"])
        heard = inside[own[inside].sum(axis=1) > 0]
        facts = row.to_dict()
        if len(heard):
            described, best = _described(own[heard], labels, tree, codes)
            column[inside], facts = best, facts | described
        rows.append(facts)
    return ClusterNames(pd.DataFrame(rows, columns=flat.table.columns), column)


def _described(
    own: np.ndarray, labels: Sequence[str], tree: LabelTree, codes: np.ndarray
) -> tuple[dict[str, object], int]:
    """Name, shares and flag of one cluster, and the column of its label."""
    mass = tree.mass(own)
    mean = mass.mean(axis=0, keepdims=True)
    best = int(tree.deepest(mean, mean >= _LEAST_MASS)[0])
    called = np.bincount(tree.deepest(mass, mass >= _LEAST_MASS), minlength=len(labels)) / len(own)
    agrees = tree.below[best] | tree.below[:, best]
    other = ~agrees & (codes != codes[best])
    lineages = np.array([called[other & (codes == code)].sum() for code in range(codes.max() + 1)])
    share = float(lineages.max(initial=0.0))
    rivals = np.where(agrees, 0.0, called)
    if share > 0:
        rivals = np.where(other & (codes == int(lineages.argmax())), rivals, 0.0)
    second = int(rivals.argmax())
    by_class = np.stack([own[:, codes == code].sum(axis=1) for code in range(codes.max() + 1)], axis=1)
    between = float(np.mean(by_class.max(axis=1) < BETWEEN_BELOW))
    agreeing = float(called[agrees].sum())
    facts = {
        "label": labels[best],
        "probability": float(mean[0, best]),
        "share": agreeing,
        "runner_up": labels[second] if rivals[second] > 0 else None,
        "runner_up_share": share if share > 0 else float(rivals[second]),
        "mixed": bool(share >= MIXED_SHARE or between >= MIXED_SHARE or agreeing < _LEAST_MASS),
    }
    return facts, best
