"""`langcell.name_clusters`: one name per cluster for cells that are named already."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.naming.calibration import UNKNOWN
from langcell.inference.naming.cluster_names import (
    CLUSTERS_FROM,
    NAMES,
    POSTERIORS,
    PROBABILITIES,
    cluster_columns,
    cluster_facts,
    cluster_texts,
    named_clusters,
)
from langcell.inference.naming.name_cells import UNASSIGNED
from langcell.inference.refinement.batches import fit_moves
from langcell.inference.refinement.components import CellComponents
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.labels.lookup import Label
from langcell.processing.ontology.terms import Ontology

logger = logging.getLogger("langcell")

# Least part of an even share of the probability that the name of a cell has.
_LEAST_SHARE = 0.5
_ROWS_AT_ONCE = 2048


def name_clusters(adata: Any, *, cluster_column: str) -> pd.DataFrame:
    """Name the clusters of cells that `annotate` named before, such as clusters that were made afterwards.

    The posteriors of the cells (obsm `langcell_probabilities`) are read as `annotate(cluster_column=...)` does. A cell
    whose name somebody replaced counts with its new name. Where there are no posteriors, each cell counts once, by the
    name that it has; uns["langcell"]["clusters_from"] says which it was, "posteriors" or "names". Clusters of doublets
    are found by where their cells lie: the components are made of the counts once more, which takes a second for 5,000
    cells. Where the AnnData has its counts no more, the log says that such clusters are not looked for.

    Args:
        adata: an AnnData that `annotate` has named; obs gets `langcell_cluster_label`, uns["langcell"] "clusters".
        cluster_column: column of obs with the clusters.

    Returns:
        One row for each cluster: cluster, cells, label, probability, share, runner_up, runner_up_share, novelty, mixed
        (a quarter of the cells or more have another name, or it lies between two labels), unknown (more than half fit
        no label).

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
    labels = _labels(adata, facts)
    tree = _tree(facts, labels)
    posteriors = _posteriors(adata, facts, labels, tree)
    own = _counts(_codes(adata, labels), len(labels)) if posteriors is None else posteriors
    novelty = adata.obs["langcell_novelty"].to_numpy() if "langcell_novelty" in adata.obs else None
    found = named_clusters(own, _places(adata, facts), clusters, labels, _term_ids(facts, labels), tree, novelty)
    doubted = clusters if "unknown_above_novelty" in facts else None
    for name, column in cluster_columns(found, labels, clusters_to_doubt=doubted).items():
        adata.obs[name] = column
    facts["clusters"], facts["cluster_column"] = cluster_facts(found), cluster_column
    facts[CLUSTERS_FROM] = NAMES if posteriors is None else POSTERIORS
    adata.uns["langcell"] = facts
    return found.table


def _labels(adata: Any, facts: dict[str, Any]) -> list[str]:
    """Return the candidates, and other names that cells got."""
    labels = [str(label) for label in facts["labels"]]
    others = sorted(set(adata.obs["langcell_label"].dropna().astype(str)) - {*labels, UNKNOWN, UNASSIGNED})
    return labels + others


def _tree(facts: dict[str, Any], labels: list[str]) -> LabelTree | None:
    """Return the tree that the cells were named in; None for a flat list."""
    if "hierarchy" not in facts:
        return None
    ids = _term_ids(facts, labels)
    terms = [Label(name, name, term or None) for name, term in zip(labels, ids, strict=True)]
    return LabelTree.of(terms, Ontology.cellxgene())


def _term_ids(facts: dict[str, Any], labels: list[str]) -> list[str]:
    ids = [str(term) for term in facts["label_ontology_term_ids"]]
    return ids + [""] * (len(labels) - len(ids))


def _codes(adata: Any, labels: list[str]) -> np.ndarray:
    """Return the column of each cell's name, int64, shape (cells,); -1 for a cell without one."""
    place = {label: code for code, label in enumerate(labels)}
    return np.array([place.get(name, -1) for name in adata.obs["langcell_label"].astype(str)], dtype=np.int64)


def _counts(codes: np.ndarray, n_labels: int) -> np.ndarray:
    """Return 1 for the name of each cell, float32, shape (cells, labels); zeros for a cell without one."""
    own = np.zeros((len(codes), n_labels), dtype=np.float32)
    own[np.flatnonzero(codes >= 0), codes[codes >= 0]] = 1.0
    return own


def _posteriors(adata: Any, facts: dict[str, Any], labels: list[str], tree: LabelTree | None) -> np.ndarray | None:
    """Return the posteriors, float32, shape (cells, labels); None where there are none.

    A cell whose name was replaced since it was named has 1 for the new name.
    """
    found, n_candidates = adata.obsm.get(PROBABILITIES), len(facts["labels"])
    if found is None or np.shape(found) != (adata.n_obs, n_candidates):
        return None
    own = np.zeros((adata.n_obs, len(labels)), dtype=np.float32)
    own[:, :n_candidates] = found
    own[adata.obs["langcell_label"].isna().to_numpy()] = 0.0
    codes = _codes(adata, labels)
    if tree is None:
        as_named = own.argmax(axis=1) == codes
    else:  # an answer may stand above the most probable label, but never has next to no mass
        as_named = tree.mass(own)[np.arange(len(codes)), codes] >= _LEAST_SHARE / len(labels)
    replaced = (codes >= 0) & ~as_named
    own[replaced] = _counts(codes[replaced], len(labels))
    return own


def _places(adata: Any, facts: dict[str, Any]) -> list[np.ndarray]:
    """Return where the cells lie, as they were refined; nothing where the counts are gone, which the log says."""
    if facts.get("refine_over") in adata.obsm:
        return [np.asarray(adata.obsm[facts["refine_over"]])]
    try:
        with open_cells(adata, x_is=facts.get("x_is", "counts")) as source:
            axes = CellComponents.fit(chunk.counts for chunk in source.chunks(_ROWS_AT_ONCE))
            found = [axes.transform(chunk.counts) for chunk in source.chunks(_ROWS_AT_ONCE)]
    except ValueError as error:
        logger.info("Clusters of doublets are not looked for: %s", error)
        return []
    if facts.get("batch_column") not in adata.obs:
        return found
    places, batches = np.concatenate(found), adata.obs[facts["batch_column"]].astype(str).to_numpy()
    return [fit_moves(facts.get("batch_correction", "mean"), places, batches).moved(places, batches)]
