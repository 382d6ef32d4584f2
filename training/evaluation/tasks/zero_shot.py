"""`langcell evaluate zero-shot`: how well a model names cells of a data set by text alone, beside its baselines."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from langcell.inference.running.job import TorchModel
from langcell.loading.load import DEFAULT_MODEL
from langcell.scoring_langcell import check_alpha
from langcell.training.evaluation.inputs.cells_in_memory import source_options
from langcell.training.evaluation.inputs.context import MODEL_METHOD, EvaluationContext
from langcell.training.evaluation.inputs.fingerprints import digest_of_data
from langcell.training.evaluation.metrics.uncertainty import BOOTSTRAP_DRAWS
from langcell.training.evaluation.reports.plots import draw_confusion, draw_per_type
from langcell.training.evaluation.reports.report import TaskResult
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
from langcell.training.evaluation.tasks.nearest_profile import name_by_nearest_profile, read_profiles
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

    In the same run: similarity only (alpha 1), match only (alpha 0), every alpha between in steps of 0.1, the majority
    class and, given a file of profiles, the nearest profile; of a model that relates similarities to reference cells
    also what it is without them ("without reference cells", at the same alpha). Cells without a label are left out and
    counted.
    A cell without any known gene is "unassigned", which is wrong.

    Args:
        context: data and model; needs a label column.
        alpha: weight of the similarity; the model's own when None.
        profiles: h5ad file of mean expression profiles for the nearest-profile baseline.
        repeats: draws of the cells behind each standard deviation.

    Raises:
        ValueError: unusable data, labels, profiles, model or options.
    """
    check_repeats(repeats)
    if alpha is not None:
        check_alpha(alpha)
    labelled = context.labelled
    baseline = {} if profiles is None else {"nearest profile": nearest_profile(context, labelled, profiles)}
    report = name_and_measure(context, labelled, task=TASK, alpha=alpha, baselines=baseline, repeats=repeats)
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
    """The report of `run` without plots, for scripts; `options` are those of `EvaluationContext`.

    Returns:
        task, model, data, labels, alpha, repeats, seed, methods (name to what `score_predictions` returns),
        alpha_sweep, seconds, cells_per_second, versions.
    """
    if alpha is not None:
        check_alpha(alpha)
    context = EvaluationContext(data, model=model, label_column=label_column, **options)
    baseline = {} if profiles is None else {"nearest profile": nearest_profile(context, context.labelled, profiles)}
    return name_and_measure(context, context.labelled, task=TASK, alpha=alpha, baselines=baseline)


def name_and_measure(
    context: EvaluationContext,
    labelled: LabelledCells,
    *,
    task: str,
    alpha: float | None,
    baselines: dict[str, tuple[dict[str, Any], np.ndarray]],
    repeats: int = BOOTSTRAP_DRAWS,
) -> dict[str, Any]:
    """The report of a task that names cells by text.

    Args:
        context: data and model.
        labelled: truth and candidate labels.
        task: name of the task.
        alpha: weight of the similarity; the model's own when None.
        baselines: name -> facts for the report, and the label of each labelled cell.
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
    methods = {
        MODEL_METHOD: measured[alpha],
        **plain,
        "similarity only": measured[1.0],
        "match only": measured[0.0],
        "majority class": measure(majority(labelled)),
        **{name: measure(predicted) | facts for name, (facts, predicted) in baselines.items()},
    }
    report = context.describe(task, scored.settings, labelled)
    report["data"]["without_known_gene"] = int((~scored.known).sum())
    return {
        **report,
        "alpha": alpha,
        "repeats": repeats,
        "methods": methods,
        "alpha_sweep": [sweep_row(value, measured[value]) for value in ALPHAS],
        "seconds": seconds,
        "cells_per_second": len(labelled.truth) / seconds,
    }


def nearest_profile(
    context: EvaluationContext, labelled: LabelledCells, path: str | Path
) -> tuple[dict[str, Any], np.ndarray]:
    """What the JSON says of the nearest-profile baseline, and its predictions."""
    type_ids = [label.ontology_term_id for label in labelled.labels]
    source, reading = context.source
    options = source_options(reading)
    result = name_by_nearest_profile(source, read_profiles(path), type_ids, cells=labelled.has_label, **options)
    lacking = set(result.types_without_profile)
    facts = {
        "profiles_file": Path(path).name,
        "profiles_sha256": digest_of_data(path),
        "shared_genes": result.n_shared_genes,
        "genes_read": result.n_genes,
        "types_without_profile": [
            label.name for label in labelled.labels if (label.ontology_term_id or "no id") in lacking
        ],
    }
    return facts, result.predicted
