"""`langcell evaluate integration`: do cells lie by their type rather than by their batch, beside PCA and Harmony."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from langcell.inference.refinement.batches import check_harmony, harmonize
from langcell.processing.ontology.unknown_values import says_nothing
from langcell.reporting.cell_map import umap_places
from langcell.training.evaluation.inputs.context import MODEL_METHOD, EvaluationContext
from langcell.training.evaluation.metrics.integration_metrics import (
    BatchMixing,
    Biology,
    import_scib_metrics,
    overall,
)
from langcell.training.evaluation.metrics.metrics import computed
from langcell.training.evaluation.metrics.uncertainty import mean_and_sd, uncertainty_text
from langcell.training.evaluation.options import check_repeats
from langcell.training.evaluation.reports.embedding_map import drawn_cells
from langcell.training.evaluation.reports.pages import Section, Table
from langcell.training.evaluation.reports.plots import draw_bars, draw_points
from langcell.training.evaluation.reports.report import HEADLINES, TaskResult, summary_table, with_sd
from langcell.training.labelled.labelled_cells import LabelledCells

TASK = "integration"
DRAWN_SHARE = 0.8
_PARTS = {
    "nmi": "NMI",
    "ari": "ARI",
    "silhouette_label": "silhouette of types",
    "silhouette_batch": "silhouette of batches",
    "graph_connectivity": "graph connectivity",
}


def run(context: EvaluationContext, *, batch_column: str, repeats: int = 3) -> TaskResult:
    """Measure batch mixing and biology of the cell embeddings, without any training on these cells.

    Args:
        context: data and model; needs a label column.
        batch_column: column of obs with the batches.
        repeats: draws of 80 % of the cells behind each mean and standard deviation.

    Raises:
        ValueError: unusable data, labels, batches or model, or scib-metrics or harmonypy is not installed.
    """
    check_repeats(repeats)
    import_scib_metrics()  # refused before the cells are embedded
    check_harmony()
    labelled = context.labelled
    batches = read_batches(context, labelled, batch_column)
    cells = np.flatnonzero(labelled.has_label & (batches != ""))
    _check_cells(labelled, batches, cells, batch_column)
    embeddings = {
        MODEL_METHOD: context.embeddings.projected[cells],
        "PCA": context.components[cells],
        "Harmony": harmonize(context.components[cells], batches[cells], seed=context.seed).astype(np.float32),
    }
    methods = {
        name: mean_and_sd(list(_measure(values, labelled.truth[cells], batches[cells], repeats, context.seed)))
        for name, values in embeddings.items()
    }
    report = {
        **context.describe(TASK, context.embeddings.settings, labelled),
        "batch_column": batch_column,
        "batches": {name: int(n) for name, n in zip(*np.unique(batches[cells], return_counts=True), strict=True)},
        "cells": len(cells),
        "repeats": repeats,
        "methods": methods,
    }
    title = f"{report['model']['id']} on {report['data']['file']}"
    written = {key: name for key, (_, name) in HEADLINES[TASK].items()} | _PARTS
    figures = {
        "methods": draw_bars(methods, written, title=title),
        "umap": _draw_maps(embeddings, batches[cells], labelled.names_of(cells), context.seed),
    }
    return TaskResult(report, _sections(report), figures)


def read_batches(context: EvaluationContext, labelled: LabelledCells, batch_column: str) -> np.ndarray:
    """Name of each cell's batch, "" where there is none; text, shape (cells,).

    Raises:
        ValueError: no such column.
    """
    obs = context.cells.obs
    if batch_column not in obs.columns:
        raise ValueError(f"{context.data}: unknown column {batch_column!r}; obs has {list(map(str, obs.columns))}")
    names = obs[batch_column].astype(object).where(obs[batch_column].notna(), "").astype(str)
    return np.array(["" if says_nothing(name) else name for name in names])


def _measure(values: np.ndarray, truth: np.ndarray, batches: np.ndarray, repeats: int, seed: int):
    """Yield the measures of each draw of the cells."""
    types, codes = np.unique(truth, return_inverse=True)[1], np.unique(batches, return_inverse=True)[1]
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        rows = np.sort(rng.choice(len(values), max(2, round(DRAWN_SHARE * len(values))), replace=False))
        columns: dict[str, Any] = {"predictions": values[rows], "references": types[rows], "batches": codes[rows]}
        scores = {**computed(Biology(), **columns), **computed(BatchMixing(), **columns)}
        yield {**scores, "overall": overall(scores["avg_bio"], scores["avg_batch"])}


def _check_cells(labelled: LabelledCells, batches: np.ndarray, cells: np.ndarray, batch_column: str) -> None:
    n_types, n_batches = len(np.unique(labelled.truth[cells])), len(np.unique(batches[cells]))
    if n_types < 2 or n_batches < 2:
        raise ValueError(
            f"{len(cells)} cells with a type and a batch are of {n_types} types and {n_batches} batches "
            f"(obs[{batch_column!r}]); integration needs at least two of each."
        )
    pairs = np.unique(
        np.column_stack([labelled.truth[cells], np.unique(batches[cells], return_inverse=True)[1]]), axis=0
    )
    if len(pairs) == n_types:
        raise ValueError(
            f"Each of the {n_types} types is in one of the {n_batches} batches alone (obs[{batch_column!r}]): types "
            "and batches cannot be told apart, so nothing can be said of integration. Name another batch column, or "
            "give cells with a type that is in two batches."
        )


def _draw_maps(embeddings: dict[str, np.ndarray], batches: np.ndarray, types: list[str], seed: int) -> Figure:
    """Return a UMAP of each embedding, above by batch and below by type."""
    rows = drawn_cells(len(batches), seed=seed)
    figure = Figure(figsize=(4.5 * len(embeddings) + 3, 9))
    axes = figure.subplots(2, len(embeddings))
    for column, (name, values) in enumerate(embeddings.items()):
        places = umap_places(values[rows], seed=seed, metric="cosine" if name == MODEL_METHOD else "euclidean")
        last = column == len(embeddings) - 1
        draw_points(axes[0, column], places, batches[rows].tolist(), title=f"{name}, by batch", legend=last)
        draw_points(axes[1, column], places, [types[i] for i in rows], title=f"{name}, by type", legend=last)
    figure.tight_layout()
    return figure


def _sections(report: dict[str, Any]) -> list[Section]:
    data = report["data"]
    text = (
        f"{report['cells']:,} cells with a type (obs[{data['label_column']!r}]) and one of {len(report['batches'])} "
        f"batches (obs[{report['batch_column']!r}]). AvgBio: mean of NMI and ARI (Leiden, best of ten resolutions) and "
        "the silhouette of types. AvgBatch: mean of the batch silhouette and graph connectivity. Overall: 0.6 AvgBio + "
        f"0.4 AvgBatch. {MODEL_METHOD} embeds each cell by itself; PCA and Harmony are fitted to these cells, and "
        f"Harmony knows their batches. "
        f"{uncertainty_text(report['repeats'], 'draws of 80 % of the cells', report['seed'])}"
    )
    rows = [(name, *(with_sd(scores, key) for key in _PARTS)) for name, scores in report["methods"].items()]
    return [
        Section(f"{TASK}: {report['model']['id']} on {data['file']}", text, summary_table(TASK, report["methods"])),
        Section("ResultParts", table=Table(("method", *_PARTS.values()), rows)),
    ]
