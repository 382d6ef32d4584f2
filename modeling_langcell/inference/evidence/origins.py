"""Why a cluster is called so, before any gene: what its cells are called, and what naming the cluster went by."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from langcell.inference.evidence.groups import CellGroups

# Names of cells that a sentence lists; the rest is counted.
_MOST_NAMED = 3


def origins_of(clusters: CellGroups, labels: CellGroups | None, settings: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return up to two sentences for each cluster, in the order of `clusters.names`.

    Args:
        clusters: cells by cluster.
        labels: the same cells by label; None where the file has no labels.
        settings: uns["langcell"], which holds the table of clusters where the same clusters were named.
    """
    table = settings.get("clusters") if settings.get("cluster_column") == clusters.column else None
    rows = {str(name): place for place, name in enumerate(table["cluster"])} if table else {}
    found = []
    for place, name in enumerate(clusters.names):
        counted = [] if labels is None else [_counted(clusters.codes == place, labels)]
        named = [_named({key: column[rows[name]] for key, column in table.items()})] if table and name in rows else []
        found.append((*counted, *named))
    return found


def _counted(inside: np.ndarray, labels: CellGroups) -> str:
    """Say what the cells of one cluster are called.

    Args:
        inside: bool, shape (cells,).
        labels: the same cells by label.
    """
    codes = labels.codes[inside]
    counts = np.bincount(codes[codes >= 0], minlength=len(labels.names))
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    parts = [f"{counts[code]:,} {labels.names[code]}" for code in order[:_MOST_NAMED]]
    others = order[_MOST_NAMED:]
    names = "name" if len(others) == 1 else "names"
    parts += [f"{int(counts[others].sum()):,} of {len(others)} other {names}"] if len(others) else []
    without = len(codes) - int(counts.sum())
    parts += [f"{without:,} without a label"] if without else []
    return f"Its {len(codes):,} cells are called: {', '.join(parts)}."


def _named(row: Mapping[str, Any]) -> str:
    """Say what naming the cluster went by.

    Args:
        row: row of the table of clusters, see `langcell.name_clusters`.
    """
    if row["unknown"]:
        return (
            f"More than half of them fit none of the labels (novelty {row['novelty']:.2f}); {row['label']} is the "
            "nearest."
        )
    second = (
        f"; the runner-up is {row['runner_up']} with {row['runner_up_share']:.0%} of the cells"
        if row["runner_up"]
        else ""
    )
    mixed = "; it is mixed" if row["mixed"] else ""
    return f"{row['label']} has the greatest mean probability, {row['probability']:.2f}{second}{mixed}."
