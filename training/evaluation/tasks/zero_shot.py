"""`langcell evaluate zero-shot`: how well a model names cells of a data set by text alone, beside its baselines."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from langcell.inference.annotation import ScoredCells
from langcell.inference.running.job import TorchModel
from langcell.loading.load import DEFAULT_MODEL
from langcell.scoring_langcell import check_alpha
from langcell.training.evaluation.inputs.context import MODEL_METHOD, EvaluationContext
from langcell.training.evaluation.metrics.uncertainty import BOOTSTRAP_DRAWS
from langcell.training.evaluation.reports.plots import draw_confusion, draw_per_type
from langcell.training.evaluation.reports.report import TaskResult
from langcell.training.evaluation.rivals.profile_genes import best_codes
from langcell.training.evaluation.rivals.profile_rivals import Rival, profile_rivals
from langcell.training.evaluation.tasks.left_out_types import NOVELTY, left_out_aurocs
from langcell.training.evaluation.tasks.naming import (
    ALPHAS,
    WITHOUT_REFERENCE,
    Measure,
    best_labels,
    draw_cells_and_texts,
    majority,
    naming_sections,
    sweep_row,
)
from langcell.training.evaluation.tasks.refining import REFINED, as_similarities, refine_scores
from langcell.training.evaluation.tasks.splits import check_repeats
from langcell.training.labelled.labelled_cells import LabelledCells

TASK = "zero-shot"


def run(
    context: EvaluationContext,
    *,
    alpha: float | None = None,
    profiles: str | Path | None = None,
    repeats: int = BOOTSTRAP_DRAWS,
) -> TaskResult:
    """Name the cells of a data set with known types by text alone, and measure it.

    Each cell is named alone and, where there are enough cells, refined over the file as `annotate` does by default.
    In the same run: similarity only (alpha 1), match only (alpha 0), every alpha between in steps of 0.1, the majority
    class and, given a file of profiles, the rivals of `profile_rivals`, alone and refined likewise; of a model that
    relates similarities to reference cells also what it is without them ("without reference cells", at the same alpha),
    and how well novelty tells a type that is left out of the candidates.
    Cells without a label are left out of the measures and counted. A cell without any known gene is "unassigned",
    which is wrong.

    Args:
        context: data and model; needs a label column.
        alpha: weight of the similarity; the model's own when None.
        profiles: h5ad file of mean expression profiles for the rivals that read them.
        repeats: draws of the cells behind each standard deviation.

    Raises:
        ValueError: unusable data, labels, profiles, model or options.
    """
    check_repeats(repeats)
    if alpha is not None:
        check_alpha(alpha)
    labelled = context.labelled
    rivals = {} if profiles is None else profile_rivals(context, labelled, profiles)
    report = name_and_measure(context, labelled, task=TASK, alpha=alpha, rivals=rivals, repeats=repeats)
    figures = {
        "confusion": draw_confusion(report),
        "per-type": draw_per_type(report),
        "embeddings": draw_cells_and_texts(context, labelled),
    }
    return TaskResult(report, naming_sections(report), figures)


def evaluate_zero_shot(
    data: str | Path,
    *,
    label_column: str,
    model: TorchModel = DEFAULT_MODEL,
    alpha: float | None = None,
    profiles: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the report of `run` without plots, for scripts; `options` are those of `EvaluationContext`.

    Returns:
        task, model, data, labels, alpha, repeats, seed, methods (name to what `score_predictions` returns),
        alpha_sweep, seconds, cells_per_second, versions.
    """
    if alpha is not None:
        check_alpha(alpha)
    context = EvaluationContext(data, model=model, label_column=label_column, **options)
    rivals = {} if profiles is None else profile_rivals(context, context.labelled, profiles)
    return name_and_measure(context, context.labelled, task=TASK, alpha=alpha, rivals=rivals)


def name_and_measure(
    context: EvaluationContext,
    labelled: LabelledCells,
    *,
    task: str,
    alpha: float | None,
    rivals: Mapping[str, Rival],
    repeats: int = BOOTSTRAP_DRAWS,
) -> dict[str, Any]:
    """Return the report of a task that names cells by text.

    Args:
        context: data and model.
        labelled: truth and candidate labels.
        task: name of the task.
        alpha: weight of the similarity; the model's own when None.
        rivals: methods beside the model, by name.
        repeats: draws of the cells behind each standard deviation.
    """
    loaded = context.loaded
    alpha = float(loaded.config.alpha if alpha is None else alpha)
    started = time.perf_counter()
    scored = context.scored(labelled.labels)
    seconds = time.perf_counter() - started
    measure = Measure(labelled, seed=context.seed, draws=repeats)
    measured = {value: measure(best_labels(scored, value)[labelled.has_label]) for value in sorted({*ALPHAS, alpha})}
    plain = {}
    if scored.reference_cells:
        plain = {WITHOUT_REFERENCE: measure(best_labels(scored.without_reference(), alpha)[labelled.has_label])}
    refined = (
        {} if scored.refined is None else {MODEL_METHOD + REFINED: measure(_refined_labels(scored)[labelled.has_label])}
    )
    left_out = left_out_aurocs(scored, labelled)
    novelty = {NOVELTY: float(np.mean(list(left_out.values())))} if left_out else {}
    methods = {
        MODEL_METHOD: measured[alpha] | novelty,
        **refined,
        **plain,
        "similarity only": measured[1.0],
        "match only": measured[0.0],
        "majority class": measure(majority(labelled)),
        **_measured_rivals(rivals, measure, labelled, scored),
    }
    report = context.describe(task, scored.settings, labelled)
    report["data"]["without_known_gene"] = int((~scored.known).sum())
    return {
        **report,
        "alpha": alpha,
        "repeats": repeats,
        "refinement": {"refined": scored.refined is not None, "why_alone": scored.why_alone},
        "methods": methods,
        "left_out": left_out,
        "alpha_sweep": [sweep_row(value, measured[value]) for value in ALPHAS],
        "seconds": seconds,
        "cells_per_second": len(labelled.truth) / seconds,
    }


def _refined_labels(scored: ScoredCells) -> np.ndarray:
    """Label of each cell once the file was heard, int64; the number of labels for a cell without a known gene."""
    assert scored.refined is not None
    return np.where(scored.known, scored.refined.argmax(axis=1), scored.refined.shape[1])


def _measured_rivals(
    rivals: Mapping[str, Rival], measure: Measure, labelled: LabelledCells, scored: ScoredCells
) -> dict[str, dict[str, Any]]:
    """Return each rival alone and, where the model was refined, in the same components."""
    found = {}
    for name, rival in rivals.items():
        found[name] = measure(best_codes(rival.scores)) | rival.facts
        places = None if scored.places is None else scored.places[labelled.has_label]
        posterior = refine_scores(as_similarities(rival.scores), places)
        if posterior is not None:
            found[name + REFINED] = measure(best_codes(posterior)) | rival.facts
    return found
