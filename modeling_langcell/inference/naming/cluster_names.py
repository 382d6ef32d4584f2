"""One name per cluster in the results of `annotate`: columns of obs, a table in uns, and a CSV file."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.levels import MEDIUM, class_names
from langcell.inference.hierarchy.tree_clusters import name_clusters_in_tree
from langcell.inference.naming.calibration import UNKNOWN
from langcell.inference.naming.leiden_clusters import CLUSTER, check_leiden, leiden_clusters
from langcell.inference.naming.name_cells import FileVoices, NamedCells
from langcell.inference.naming.options import NamingOptions
from langcell.inference.refinement.between import ClusterPlaces
from langcell.inference.refinement.clusters import ClusterNames, name_clusters, with_doublets
from langcell.inference.refinement.placing import read_column
from langcell.inference.scoring.legal_values import AUTO_UNKNOWN
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.ontology.terms import Ontology

logger = logging.getLogger("langcell")
PROBABILITIES = "langcell_probabilities"
"""Matrix of obsm with the posteriors of the labels."""
CLUSTERS_FROM = "clusters_from"
"""Key of uns["langcell"] that says what the names of clusters are made of, one of the three below."""
POSTERIORS, SIMILARITIES, NAMES = "posteriors", "similarities", "names"


def with_clusters_of(naming: NamingOptions, source: CellSource) -> NamingOptions:
    """Return the options for a file: clusters of the usual name are made where it has none, which the log says.

    Raises:
        ValueError: what makes clusters is not installed.
    """
    found = naming.with_clusters_in(source.obs_columns)
    if found is not naming:
        check_leiden()
        logger.info("obs has no column %r: clusters are made, in %r.", naming.cluster_column, CLUSTER)
    return found


def read_clusters(source: CellSource, column: str) -> np.ndarray:
    """Return the cluster of each cell as text, shape (cells,); a missing value is the cluster "none".

    Raises:
        ValueError: no such column, or one with a cluster per cell.
    """
    return cluster_texts(read_column(source, column, "cluster column"), column)


def cluster_texts(values: pd.Series, column: str) -> np.ndarray:
    """Return the cluster of each cell as text; arguments and errors as of `read_clusters`."""
    names = np.array(["none" if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)])
    if (n_names := len(np.unique(names))) > max(len(names) // 2, 1):
        raise ValueError(f"obs[{column!r}] has {n_names} values for {len(names)} cells; name a column of clusters.")
    return names


def probability_blocks(voices: FileVoices) -> Iterator[np.ndarray]:
    """Yield probabilities that are on each label itself, float32, (cells, labels); zeros for a cell without any.

    They are the posteriors of the refinement or, where each cell is named alone, what its similarities say.
    """
    for block in voices.file.blocks():
        if voices.refinement is not None:
            yield voices.refinement.posterior(block).astype(np.float32)
        elif voices.tree is not None:
            yield voices.tree.text.own(block.similarity).astype(np.float32)
        else:
            heard = np.isfinite(block.similarity).all(axis=1, keepdims=True)
            yield np.where(heard, softmax(np.nan_to_num(block.similarity), axis=1), 0.0).astype(np.float32)


def clusters_of(named: NamedCells, voices: FileVoices, clusters: np.ndarray, labels: Sequence[str]) -> ClusterNames:
    """Name each cluster by the probabilities of its cells: their posteriors, or what the similarities alone say.

    Args:
        named: the cells.
        voices: voices of their file.
        clusters: cluster of each cell, shape (cells,).
        labels: names in the order of the columns.
    """
    own = np.concatenate([*probability_blocks(voices)])
    places = (block.places for block in voices.file.blocks())
    tree = None if voices.tree is None else voices.tree.text.tree
    return named_clusters(own, places, clusters, labels, named.term_ids[: len(labels)], tree, named.novelty)


def named_clusters(
    own: np.ndarray,
    places: Iterable[np.ndarray | None],
    clusters: np.ndarray,
    labels: Sequence[str],
    term_ids: Sequence[str],
    tree: LabelTree | None = None,
    novelty: np.ndarray | None = None,
) -> ClusterNames:
    """Name each cluster, and flag those that lie between two labels.

    Args:
        own: probabilities that are on each label itself, shape (cells, labels).
        places: blocks of where the cells lie; None where nothing says.
        clusters: cluster of each cell as text, shape (cells,).
        labels: names in the order of the columns.
        term_ids: ontology id of each label, "" without.
        tree: which label lies above which, where they do not compete as equals.
        novelty: how little any label fits each cell, shape (cells,).
    """
    codes = np.where(own.any(axis=1), own.argmax(axis=1), -1)
    if tree is None:
        found, may_differ = name_clusters(own, clusters, labels, novelty), _always
    else:
        classes = class_names(labels, term_ids, MEDIUM, Ontology.cellxgene())
        found = name_clusters_in_tree(own, clusters, labels, tree, classes, novelty)
        may_differ = partial(_of_two_classes, tree, classes)
    summed = ClusterPlaces.of(_with_codes(places, codes), clusters, len(labels))
    return found if summed is None else with_doublets(found, summed.between(may_differ=may_differ), labels)


def _with_codes(places: Iterable[np.ndarray | None], codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    start = 0
    for block in places:
        if block is not None:
            yield block, codes[start : start + len(block)]
            start += len(block)


def _always(first: int, second: int) -> bool:
    return True


def _of_two_classes(tree: LabelTree, classes: Sequence[str], first: int, second: int) -> bool:
    """Return whether two labels are of different medium classes, and neither lies above the other."""
    related = tree.below[first, second] or tree.below[second, first]
    return classes[first] != classes[second] and not related


def cluster_results(
    named: NamedCells, voices: FileVoices, naming: NamingOptions, clusters: np.ndarray | None, labels: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what obs and uns["langcell"] say of clusters; both empty where there are none.

    Args:
        named: the cells.
        voices: voices of their file.
        naming: whether clusters are made here.
        clusters: clusters of the file, shape (cells,); None where it has none.
        labels: names in the order of the columns.
    """
    obs, uns = {}, {}
    if naming.cluster:
        clusters = leiden_clusters(voices.file)
        obs, uns = {CLUSTER: pd.Categorical(clusters)}, {"cluster_column": CLUSTER}
    if clusters is None:
        return {}, {}
    groups = clusters_of(named, voices, clusters, labels)
    novel = clusters if naming.unknown == AUTO_UNKNOWN else None
    uns |= {"clusters": cluster_facts(groups), CLUSTERS_FROM: SIMILARITIES if voices.refinement is None else POSTERIORS}
    return obs | cluster_columns(groups, labels, clusters_to_doubt=novel), uns


def cluster_columns(
    found: ClusterNames, labels: Sequence[str], *, clusters_to_doubt: np.ndarray | None = None
) -> dict[str, Any]:
    """Return obs `langcell_cluster_label`: the name of each cell's cluster, missing where it has none.

    Args:
        found: what the clusters are called.
        labels: names in the order of the columns.
        clusters_to_doubt: cluster of each cell, shape (cells,), where clusters that fit no label are called "unknown",
            as their cells are; None where each keeps the nearest label.
    """
    codes, names = found.column, list(labels)
    fit_none = found.table.loc[found.table["unknown"].astype(bool), "cluster"].tolist()
    if clusters_to_doubt is not None and fit_none:
        codes = np.where(np.isin(clusters_to_doubt.astype(str), fit_none), len(names), codes)
        names = [*names, UNKNOWN]
    return {"langcell_cluster_label": pd.Categorical.from_codes(codes, names)}


def cluster_facts(found: ClusterNames) -> dict[str, Any]:
    """Return the table as uns["langcell"]["clusters"] holds it: column -> one value per cluster."""
    table = found.table.fillna({"label": "", "runner_up": ""})
    return {name: table[name].to_numpy(dtype=object if table[name].dtype == object else None) for name in table}
