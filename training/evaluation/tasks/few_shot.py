"""`langcell evaluate few-shot`: how fast a model learns from 1, 2, 5, ... labelled cells of each type.

Each repeat halves the cells of every type: the test cells are the same for every K and every method, and the training
cells of a smaller K are among those of a larger one. A type that has fewer training cells than K gives all of them.

The fine-tuned model and the regression on genes know of the file the labelled cells alone; components know all of its
cells. What these are worth to the fine-tuned model shows where its scores are smoothed over neighbours in components,
as `langcell annotate --smooth 3 --smooth-over X_pca` does; the regression on the components is smoothed likewise.

The way without training is `langcell annotate --known-column`: the labelled cells are known cells of the file, and the
others learn from them and from the text. The fine-tuned model is refined with the same known cells.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from langcell.inference.naming.smoothing import smooth_scores
from langcell.training.evaluation.inputs.context import MODEL_METHOD, EvaluationContext
from langcell.training.evaluation.metrics.metrics import quick_scores
from langcell.training.evaluation.metrics.ontology_scoring import RULE
from langcell.training.evaluation.metrics.uncertainty import mean_and_sd, uncertainty_text
from langcell.training.evaluation.reports.pages import Section, Table
from langcell.training.evaluation.reports.plots import draw_curves
from langcell.training.evaluation.reports.report import REFINED, TaskResult, summary_table, with_sd
from langcell.training.evaluation.rivals.baselines import (
    logistic_regression,
    logistic_regression_on_genes,
    nearest_centroid,
)
from langcell.training.evaluation.tasks.fine_tuned_models import (
    FineTuningSettings,
    best_codes,
    by_name,
    joined_scores,
    score_parts,
    similarity_of,
)
from langcell.training.evaluation.tasks.naming import credit_of
from langcell.training.evaluation.tasks.refining import refine_scores
from langcell.training.evaluation.tasks.splits import Split, draw_shots, stratified_splits
from langcell.training.labelled.labelled_cells import LabelledCells

logger = logging.getLogger(__name__)

TASK = "few-shot"
SHOTS = (1, 2, 5, 10, 20)
_HEADLINE_SHOTS = 5
_STRENGTH = 3.0
_SMOOTHED = ", smoothed over PCA"
_KNOWN_CELLS = f"{MODEL_METHOD}, known cells in the file, no training"
_ON_EMBEDDINGS = "logistic regression on frozen embeddings"
_ON_GENES = "logistic regression on genes"
_ON_COMPONENTS = "logistic regression on PCA"
_CENTROID = "nearest centroid of embeddings"


def run(
    context: EvaluationContext,
    *,
    shots: Sequence[int] = SHOTS,
    repeats: int = 3,
    method: str = "lora",
    steps: int | None = None,
) -> TaskResult:
    """Fine-tune with text on K cells of each type, beside baselines on the same cells.

    Args:
        context: data and model; needs a label column.
        shots: the Ks.
        repeats: draws of training and test cells behind each mean and standard deviation.
        method: "lora", "full", "head", or "none" to leave the fine-tuned model out.
        steps: training steps; `finetune`'s choice when None.

    Raises:
        ValueError: unusable data, labels, model or options.
    """
    shots = check_shots(shots)
    tuning = None if method == "none" else FineTuningSettings(method, steps)  # pyright: ignore[reportArgumentType]  # finetune checks
    labelled = context.labelled
    credit = credit_of(labelled.labels)
    runs: dict[str, dict[int, list[dict[str, float]]]] = {}
    splits = stratified_splits(labelled.truth, train_share=0.5, repeats=repeats, seed=context.seed)
    for number, split in enumerate(splits, start=1):
        for k, rows in draw_shots(labelled.truth, split.train, shots, seed=split.seed).items():
            logger.info("%s: draw %d of %d, K = %d", TASK, number, repeats, k)
            for name, predicted in _name_test_cells(context, labelled, rows, split, tuning).items():
                scores = quick_scores(labelled.truth[split.test], predicted, credit=credit)
                runs.setdefault(name, {}).setdefault(k, []).append(scores)
    report = _report(context, labelled, runs, shots, tuning)
    title = f"{report['model']['id']} on {report['data']['file']}"
    curves = {name: row["curve"] for name, row in report["methods"].items()}
    figures = {
        "curve": draw_curves(curves, "macro_f1", xlabel="labelled cells of each type", ylabel="macro-F1", title=title),
        "accuracy": draw_curves(
            curves, "accuracy", xlabel="labelled cells of each type", ylabel="accuracy", title=title
        ),
    }
    return TaskResult(report, _sections(report), figures)


def check_shots(shots: Sequence[int]) -> tuple[int, ...]:
    """Return the Ks in rising order, each once.

    Raises:
        ValueError: none, or one below 1.
    """
    if not shots or min(shots) < 1:
        raise ValueError(f"shots are {list(shots)}; give numbers of cells of 1 or more, such as 1,2,5,10,20.")
    return tuple(sorted(set(shots)))


def _name_test_cells(
    context: EvaluationContext,
    labelled: LabelledCells,
    rows: np.ndarray,
    split: Split,
    tuning: FineTuningSettings | None,
) -> dict[str, np.ndarray]:
    """Method -> label of each test cell, all having learned from `rows`."""
    classes, n_classes = labelled.truth[rows], len(labelled.labels)
    embeddings, components = context.embeddings.projected, context.components
    scores = _by_text(context, labelled, rows, split, tuning)
    genes = context.log_counts
    scores[_ON_GENES] = logistic_regression_on_genes(genes[rows], classes, genes, n_classes=n_classes)
    for name, features in ((_ON_EMBEDDINGS, embeddings), (_ON_COMPONENTS, components)):
        scores[name] = logistic_regression(features[rows], classes, features, n_classes=n_classes)
    for name in (MODEL_METHOD, _ON_COMPONENTS):
        if name in scores:
            scores[name + _SMOOTHED] = _smoothed(scores[name], components)
    named = {name: best_codes(found[split.test]) for name, found in scores.items()}
    named[_CENTROID] = nearest_centroid(embeddings[rows], classes, embeddings[split.test])
    return named


def _by_text(
    context: EvaluationContext,
    labelled: LabelledCells,
    rows: np.ndarray,
    split: Split,
    tuning: FineTuningSettings | None,
) -> dict[str, np.ndarray]:
    """Method -> scores of all cells by the methods that read texts; those that refine are left out of small files."""
    scored = context.scored(labelled.labels, match=False)
    known = np.full(len(labelled.truth), -1)
    known[rows] = labelled.truth[rows]
    scores: dict[str, np.ndarray | None] = {}
    if tuning is not None:
        tuned = tuning.learn(context, rows, task="text", seed=split.seed)
        parts = score_parts(context, tuned)
        scores[MODEL_METHOD] = by_name(joined_scores(parts, tuned), tuned, labelled.names)
        similarity = by_name(similarity_of(parts), tuned, labelled.names, missing=np.nan)
        scores[MODEL_METHOD + REFINED] = refine_scores(similarity, scored.places, known=known, seed=split.seed)
    scores[_KNOWN_CELLS] = refine_scores(similarity_of(scored), scored.places, known=known, seed=split.seed)
    return {name: found for name, found in scores.items() if found is not None}


def _smoothed(scores: np.ndarray, components: np.ndarray) -> np.ndarray:
    """The scores drawn towards those of neighbours; cells without scores stay without, and are no one's neighbours."""
    scored = ~np.isnan(scores).any(axis=1)
    smoothed = np.full_like(scores, np.nan)
    smoothed[scored] = smooth_scores(scores[scored], components[scored], strength=_STRENGTH)
    return smoothed


def _report(
    context: EvaluationContext,
    labelled: LabelledCells,
    runs: dict[str, dict[int, list[dict[str, float]]]],
    shots: tuple[int, ...],
    tuning: FineTuningSettings | None,
) -> dict[str, Any]:
    headline = _HEADLINE_SHOTS if _HEADLINE_SHOTS in shots else shots[-1]
    scored = context.scored(labelled.labels, match=False)
    curves = {name: {str(k): mean_and_sd(points) for k, points in by_k.items()} for name, by_k in runs.items()}
    return {
        **context.describe(TASK, context.embeddings.settings, labelled),
        "shots": list(shots),
        "headline_shots": headline,
        "repeats": len(next(iter(next(iter(runs.values())).values()))),
        "tuning": None if tuning is None else tuning.facts(),
        "refinement": {"refined": scored.refined is not None, "why_alone": scored.why_alone},
        "types_with_fewer_cells": {
            name: int(cells // 2)
            for name, cells in zip(labelled.names, labelled.support, strict=True)
            if 2 <= cells < 2 * shots[-1]
        },
        "types_left_out": [name for name, cells in zip(labelled.names, labelled.support, strict=True) if cells < 2],
        "methods": {name: {**curve[str(headline)], "curve": curve} for name, curve in curves.items()},
    }


def _sections(report: dict[str, Any]) -> list[Section]:
    data = report["data"]
    text = (
        f"{data['labelled_cells']:,} cells of {len(report['labels'])} types; the table is at "
        f"{report['headline_shots']} cells of each type. Half of each type's cells are test cells, the same for every "
        f"K and method. {uncertainty_text(report['repeats'], 'draws of training and test cells', report['seed'])} "
        f"{_tuning_text(report['tuning'])} Components are of log-normalized counts."
        f" Smoothed: with strength {_STRENGTH:g} over the 15 nearest neighbours in them. {_known_cells_text(report)}"
    )
    if fewer := report["types_with_fewer_cells"]:
        text += " Types with fewer training cells than the largest K, which give all of theirs: "
        text += ", ".join(f"{name} ({cells})" for name, cells in fewer.items()) + "."
    if report["types_left_out"]:
        text += f" Types of one cell, left out: {', '.join(report['types_left_out'])}."
    if "ontology_accuracy" in next(iter(report["methods"].values())):
        text += f" {RULE}"
    title = f"{TASK}: {report['model']['id']} on {data['file']}"
    return [
        Section(title, text, summary_table(TASK, report["methods"])),
        *(
            Section(f"{written} by number of cells", table=_curve_table(report, measure))
            for measure, written in (("macro_f1", "Macro-F1"), ("accuracy", "Accuracy"))
        ),
    ]


def _known_cells_text(report: dict[str, Any]) -> str:
    if _KNOWN_CELLS not in report["methods"]:
        return f"No method refines: {report['refinement']['why_alone']}."
    return (
        "Known cells, no training: the labelled cells name the others of the file together with the text, as "
        "langcell annotate --known-column does. Refined: the fine-tuned model with the same known cells."
    )


def _tuning_text(tuning: dict[str, Any] | None) -> str:
    if tuning is None:
        return "No model was fine-tuned."
    return f"{MODEL_METHOD} is fine-tuned with text ({tuning['method']}), similarity and match."


def _curve_table(report: dict[str, Any], measure: str) -> Table:
    rows = [
        (name, *(with_sd(row["curve"][str(k)], measure) for k in report["shots"]))
        for name, row in report["methods"].items()
    ]
    return Table(("method", *(f"K = {k}" for k in report["shots"])), rows)
