"""`langcell.name_clusters`: one name per cluster for cells that are named already."""

from typing import Any

import numpy as np
import pandas as pd

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.levels import MEDIUM, class_names
from langcell.inference.hierarchy.tree_clusters import name_clusters_in_tree
from langcell.inference.naming.calibration import UNKNOWN
from langcell.inference.naming.cluster_names import cluster_columns, cluster_facts, cluster_texts
from langcell.inference.naming.name_cells import UNASSIGNED
from langcell.inference.refinement.clusters import ClusterNames
from langcell.inference.refinement.clusters import name_clusters as named_by_probability
from langcell.processing.labels.lookup import Label
from langcell.processing.ontology.terms import Ontology


def name_clusters(adata: Any, *, cluster_column: str) -> pd.DataFrame:
    """Name the clusters of cells that `annotate` named before, such as clusters that were made afterwards.

    Each cell counts once, by the name that it has. `annotate(cluster_column=...)` reads the probabilities of the cells
    instead, and so also finds a cluster of doublets whose cells all have the same name.

    Args:
        adata: an AnnData that `annotate` has named; obs gets `langcell_cluster_label`, uns["langcell"] "clusters".
        cluster_column: column of obs with the clusters.

    Returns:
        One row for each cluster: cluster, cells, label, probability, share, runner_up, runner_up_share, novelty, mixed
        (a quarter of the cells or more have another name), unknown (more than half fit no label).

    Raises:
        ValueError: the cells are not named, there is no such column, or it has a cluster per cell.
    """
    facts = adata.uns.get("langcell", {})
    if "labels" not in facts or "langcell_label" not in adata.obs:
        raise ValueError("This AnnData has no names of LangCell; name its cells first: langcell.annotate(adata).")
    if cluster_column not in adata.obs:
        raise ValueError(f"unknown cluster column {cluster_column!r}; obs has {[str(name) for name in adata.obs]}")
    if adata.obs["langcell_label"].isna().all():
        raise ValueError("No cell has a langcell_label; name the cells first: langcell.annotate(adata).")
    clusters = cluster_texts(adata.obs[cluster_column], cluster_column)
    found = _named(adata, facts, clusters)
    labels = _labels(adata, facts)
    doubted = clusters if "unknown_above_novelty" in facts else None
    for name, column in cluster_columns(found, labels, clusters_to_doubt=doubted).items():
        adata.obs[name] = column
    facts["clusters"], facts["cluster_column"] = cluster_facts(found), cluster_column
    adata.uns["langcell"] = facts
    return found.table


def _labels(adata: Any, facts: dict[str, Any]) -> list[str]:
    """Return the candidates, and other names that cells got."""
    labels = [str(label) for label in facts["labels"]]
    others = sorted(set(adata.obs["langcell_label"].dropna().astype(str)) - {*labels, UNKNOWN, UNASSIGNED})
    return labels + others


def _named(adata: Any, facts: dict[str, Any], clusters: np.ndarray) -> ClusterNames:
    labels = _labels(adata, facts)
    place = {label: code for code, label in enumerate(labels)}
    codes = np.array([place.get(name, -1) for name in adata.obs["langcell_label"].astype(str)])
    own = np.zeros((len(codes), len(labels)), dtype=np.float32)
    own[np.flatnonzero(codes >= 0), codes[codes >= 0]] = 1.0
    novelty = adata.obs["langcell_novelty"].to_numpy() if "langcell_novelty" in adata.obs else None
    if "hierarchy" not in facts:
        return named_by_probability(own, clusters, labels, novelty)
    ids = [str(term) for term in facts["label_ontology_term_ids"]] + [""] * (len(labels) - len(facts["labels"]))
    terms = [Label(name, name, term or None) for name, term in zip(labels, ids, strict=True)]
    ontology = Ontology.cellxgene()
    classes = class_names(labels, ids, MEDIUM, ontology)
    return name_clusters_in_tree(own, clusters, labels, LabelTree.of(terms, ontology), classes, novelty)
