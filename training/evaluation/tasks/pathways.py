"""`langcell evaluate pathways`: which gene sets are active in a cell, read from its embedding.

The truth comes from the data itself: each set's score (scanpy's `score_genes` on log-normalized counts), active in the
share of cells where it is highest. Three tenths of the cells are for training, seven for testing, as in the paper.
"""

from pathlib import Path
from typing import Any

import numpy as np

from langcell.training.evaluation.inputs.context import MODEL_METHOD, EvaluationContext
from langcell.training.evaluation.inputs.fingerprints import digest_of_data
from langcell.training.evaluation.metrics.metrics import computed
from langcell.training.evaluation.metrics.ranking_metrics import MultiLabel, multi_label_scores
from langcell.training.evaluation.metrics.uncertainty import mean_and_sd, sd_of, uncertainty_text
from langcell.training.evaluation.options import check_repeats
from langcell.training.evaluation.reports.pages import Section, Table
from langcell.training.evaluation.reports.plots import draw_bars
from langcell.training.evaluation.reports.report import HEADLINES, TaskResult, plus_minus, summary_table
from langcell.training.evaluation.rivals.baselines import multi_label_regression
from langcell.training.evaluation.tasks.fine_tuned_models import random_weights
from langcell.training.evaluation.tasks.gene_sets import call_active, place_genes, read_gmt, score_gene_sets

TASK = "pathways"
TRAIN_SHARE = 0.3
MIN_GENES = 3
_UNTRAINED = "the same encoder untrained"
_COMPONENTS = "PCA"
_MOST_DRAWS = 100


def run(
    context: EvaluationContext, *, gene_sets: str | Path, active_share: float = 0.25, repeats: int = 3
) -> TaskResult:
    """Predict active gene sets by logistic regression on the encoder's states, beside the same encoder untrained.

    Args:
        context: data and model; needs no labels.
        gene_sets: GMT file.
        active_share: share of the cells in which a set is called active.
        repeats: splits behind each mean and standard deviation.

    Raises:
        ValueError: unusable data, gene sets, model or options.
    """
    check_repeats(repeats)
    if not 0 < active_share < 1:
        raise ValueError(f"active_share is {active_share}; give a share of the cells between 0 and 1, such as 0.25.")
    sets = read_gmt(gene_sets)
    placed = place_genes(
        sets, context.cells.var["gene"].tolist(), context.loaded.processor.feature_extractor.vocabulary
    )
    kept = {name: columns for name, columns in placed.items() if len(columns) >= MIN_GENES}
    if not kept:
        raise ValueError(f"{gene_sets}: no set has {MIN_GENES} genes or more in the data; give sets of human genes.")
    scores = score_gene_sets(context.log_counts, kept, seed=context.seed)
    active, names = _usable(call_active(scores, share=active_share), list(kept))
    features = {
        MODEL_METHOD: context.embeddings.hidden,
        _UNTRAINED: context.embed_with(random_weights(context.loaded, seed=context.seed)).hidden,
        _COMPONENTS: context.components,
    }
    methods = _measure_all(features, active, names, repeats=repeats, seed=context.seed)
    report = {
        **context.describe(TASK, context.embeddings.settings),
        "gene_sets": {
            "file": Path(gene_sets).name,
            "sha256": digest_of_data(gene_sets),
            "sets": {name: {"genes": len(sets[name]), "in_data": len(kept[name])} for name in names},
            "left_out": [name for name in sets if name not in names],
        },
        "cells": len(active),
        "active_share": active_share,
        "train_share": TRAIN_SHARE,
        "repeats": repeats,
        "methods": methods,
    }
    written = {key: name for key, (_, name) in HEADLINES[TASK].items()}
    title = f"{report['model']['id']} on {report['data']['file']}"
    return TaskResult(report, _sections(report), {"methods": draw_bars(methods, written, title=title)})


def _usable(active: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the sets that are on in some cells and off in others: without both there is nothing to tell apart."""
    mixed = np.flatnonzero((active.sum(axis=0) >= 2) & ((1 - active).sum(axis=0) >= 2))
    if not len(mixed):
        raise ValueError("No gene set is active in some cells and not in others; give other sets, or more cells.")
    return active[:, mixed], [names[i] for i in mixed]


def _measure_all(
    features: dict[str, np.ndarray], active: np.ndarray, names: list[str], *, repeats: int, seed: int
) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in features}
    per_set: dict[str, list[dict[str, float]]] = {name: [] for name in features}
    for repeat in range(repeats):
        train, test = _split(active, np.random.default_rng([seed, repeat]))
        for method, values in features.items():
            predicted = multi_label_regression(values[train], active[train], values[test])
            runs[method].append(computed(MultiLabel(), predictions=predicted, references=active[test]))
            of_sets = multi_label_scores(active[test], predicted)["auroc"]
            per_set[method].append(dict(zip(names, of_sets, strict=True)))
    return {method: {**mean_and_sd(found), **_by_set(per_set[method])} for method, found in runs.items()}


def _by_set(runs: list[dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return the AUROC of each gene set over repeats, mean and standard deviation."""
    return {
        "auroc_by_set": {name: float(np.mean([run[name] for run in runs])) for name in runs[0]},
        "auroc_by_set_sd": {name: sd_of([run[name] for run in runs]) for name in runs[0]},
    }


def _split(active: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and testing with every set on and off on both sides.

    Raises:
        ValueError: no such split was found; the sets are active in too few cells.
    """
    n_train = round(TRAIN_SHARE * len(active))
    for _ in range(_MOST_DRAWS):
        order = rng.permutation(len(active))
        train, test = np.sort(order[:n_train]), np.sort(order[n_train:])
        if all(active[rows].sum(axis=0).min() > 0 and active[rows].min(axis=0).max() == 0 for rows in (train, test)):
            return train, test
    raise ValueError(
        f"{len(active)} cells are too few to have each of {active.shape[1]} gene sets active and inactive among both "
        "training and test cells; give more cells, or a greater --active-share."
    )


def _sections(report: dict[str, Any]) -> list[Section]:
    data, sets = report["data"], report["gene_sets"]
    text = (
        f"{report['cells']:,} cells, {len(sets['sets'])} gene sets of {sets['file']} with {MIN_GENES} genes or more in "
        f"the data; {len(sets['left_out'])} left out. A set is active in the {report['active_share']:.0%} of the cells "
        "with its highest scores (scanpy's score_genes). Logistic regression on the cell encoder's states, trained on "
        f"30 % of the cells; every measure is the mean over sets. "
        f"{uncertainty_text(report['repeats'], 'splits of the cells', report['seed'])}"
    )
    methods = report["methods"]
    rows = []
    for name, facts in sets["sets"].items():
        found = ((row["auroc_by_set"][name], row["auroc_by_set_sd"][name]) for row in methods.values())
        rows.append((name, f"{facts['in_data']}", *(plus_minus(value, sd, digits=3) for value, sd in found)))
    return [
        Section(f"{TASK}: {report['model']['id']} on {data['file']}", text, summary_table(TASK, methods)),
        Section("AUROC by gene set", table=Table(("set", "genes", *methods), rows)),
    ]
