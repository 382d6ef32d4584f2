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
from langcell.training.evaluation.inputs.branch_candidates import candidates_of_branch, with_candidates
from langcell.training.evaluation.inputs.context import MODEL_METHOD, EvaluationContext
from langcell.training.evaluation.metrics.uncertainty import BOOTSTRAP_DRAWS
from langcell.training.evaluation.options import check_repeats
from langcell.training.evaluation.reports.plots import draw_confusion, draw_per_type
from langcell.training.evaluation.reports.report import REFINED, TaskResult
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
from langcell.training.evaluation.tasks.refining import as_similarities, refine_scores
from langcell.training.evaluation.tasks.tree_naming import refined_rows, rows_of_branch
from langcell.training.labelled.labelled_cells import LabelledCells

TASK = "zero-shot"


def run(
    context: EvaluationContext,
    *,
    alpha: float | None = None,
    ontology_root: str | None = None,
    tissue: str | None = None,
    profiles: str | Path | None = None,
    repeats: int = BOOTSTRAP_DRAWS,
) -> TaskResult:
    """Name the cells of a data set with known types by text alone, and measure it.

    Each cell is named alone and, where there are enough cells, refined over the file as `annotate` does by default.
    Where one label lies above another, answers are those of the tree, with the same labels as equals beside them.
    In the same run: similarity only (alpha 1), match only (alpha 0), every alpha between in steps of 0.1, the majority
    class and, given a file of profiles, the rivals of `profile_rivals`, alone and refined likewise; of a model that
    relates similarities to reference cells also what it is without them ("without reference cells", at the same alpha),
    and how well novelty tells a type that is left out of the candidates.
    Cells without a label are left out of the measures and counted. A cell without any known gene is "unassigned",
    which is wrong.

    Args:
        context: data and model; needs a label column.
        alpha: weight of the similarity; the model's own when None.
        ontology_root: candidates are the model's training types at or below this term.
        tissue: candidates are the model's training types of this tissue.
        profiles: h5ad file of mean expression profiles for the rivals that read them.
        repeats: draws of the cells behind each standard deviation.

    Raises:
        ValueError: unusable data, labels, profiles, model or options.
    """
    check_repeats(repeats)
    if alpha is not None:
        check_alpha(alpha)
    candidates = candidates_of_branch(lambda: context.loaded.config, ontology_root=ontology_root, tissue=tissue)
    if candidates is not None and alpha is not None:
        raise ValueError(f"alpha is {alpha}, but a branch is named by similarity alone; leave alpha out.")
    labelled = context.labelled if candidates is None else with_candidates(context.labelled, candidates)
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
        labelled: truth and candidate labels; with `n_candidates` these are a branch of the ontology.
        task: name of the task.
        alpha: weight of the similarity; the model's own when None.
        rivals: methods beside the model, by name.
        repeats: draws of the cells behind each standard deviation.
    """
    measure = Measure(labelled, seed=context.seed, draws=repeats)
    is_branch = labelled.n_candidates is not None
    started = time.perf_counter()
    scored = context.scored(labelled.candidates, match=not is_branch, hierarchy="branch" if is_branch else "auto")
    seconds = time.perf_counter() - started
    if is_branch:
        methods, more = rows_of_branch(scored, labelled, measure), {"candidates": labelled.n_candidates}
    else:
        alpha = float(context.loaded.config.alpha if alpha is None else alpha)
        methods, more = _rows_of_list(scored, labelled, measure, alpha)
    report = context.describe(task, scored.settings, labelled)
    report["data"]["without_known_gene"] = int((~scored.known).sum())
    tree = "none" if scored.tree is None else "branch" if scored.tree.is_branch else "list"
    return {
        **report,
        "repeats": repeats,
        "refinement": {"refined": scored.refined is not None, "why_alone": scored.why_alone},
        "hierarchy": tree,
        "methods": {
            **methods,
            "majority class": measure(majority(labelled)),
            **_measured_rivals(rivals, measure, labelled, scored),
        },
        **more,
        "seconds": seconds,
        "cells_per_second": len(labelled.truth) / seconds,
    }


def _rows_of_list(
    scored: ScoredCells, labelled: LabelledCells, measure: Measure, alpha: float
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the model's rows where candidates are the types of the file, and what else the report says of them."""
    measured = {value: measure(best_labels(scored, value)[labelled.has_label]) for value in sorted({*ALPHAS, alpha})}
    plain = {}
    if scored.reference_cells:
        plain = {WITHOUT_REFERENCE: measure(best_labels(scored.without_reference(), alpha)[labelled.has_label])}
    left_out = left_out_aurocs(scored, labelled)
    novelty = {NOVELTY: float(np.mean(list(left_out.values())))} if left_out else {}
    methods = {
        MODEL_METHOD: measured[alpha] | novelty,
        **refined_rows(scored, labelled, measure),
        **plain,
        "similarity only": measured[1.0],
        "match only": measured[0.0],
    }
    sweep = [sweep_row(value, measured[value]) for value in ALPHAS]
    return methods, {"alpha": alpha, "left_out": left_out, "alpha_sweep": sweep}


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
