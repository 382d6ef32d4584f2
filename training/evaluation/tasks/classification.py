"""`langcell evaluate classification`: annotation by a fine-tuned cell encoder with a new head (LangCell-CE).

Two thirds of each type's cells are for training, one third for testing, as in the paper.
"""

import logging
from typing import Any

import numpy as np

from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.metrics.metrics import confusion_of, mean_per_type, per_type_scores, quick_scores
from langcell.training.evaluation.metrics.ontology_scoring import RULE
from langcell.training.evaluation.metrics.uncertainty import mean_and_sd, uncertainty_text
from langcell.training.evaluation.reports.pages import Section
from langcell.training.evaluation.reports.plots import draw_bars, draw_confusion
from langcell.training.evaluation.reports.report import HEADLINES, TaskResult, model_scores, summary_table
from langcell.training.evaluation.rivals.baselines import logistic_regression
from langcell.training.evaluation.tasks.fine_tuned_models import (
    FineTuningSettings,
    named_codes,
    random_weights,
    score_rows,
)
from langcell.training.evaluation.tasks.naming import credit_of, per_type_table
from langcell.training.evaluation.tasks.splits import Split, stratified_splits
from langcell.training.labelled.labelled_cells import LabelledCells

logger = logging.getLogger(__name__)

TASK = "classification"
TRAIN_SHARE = 2 / 3
_MODEL = "LangCell-CE"
_RANDOM = "the same encoder from random weights"
_ON_EMBEDDINGS = "logistic regression on frozen embeddings"
_ON_COMPONENTS = "logistic regression on PCA"


def run(context: EvaluationContext, *, repeats: int = 3, method: str = "full", steps: int | None = None) -> TaskResult:
    """Fine-tune the cell encoder on two thirds of the cells and name the rest, beside baselines.

    Args:
        context: data and model; needs a label column.
        repeats: splits behind each mean and standard deviation.
        method: "lora", "full" or "head"; random weights are trained in full, whatever the model itself is.
        steps: training steps; `finetune`'s choice when None.

    Raises:
        ValueError: unusable data, labels, model or options.
    """
    tuning = FineTuningSettings(method, steps)  # pyright: ignore[reportArgumentType]  # finetune checks
    labelled = context.labelled
    credit, names = credit_of(labelled.labels), labelled.names
    runs: dict[str, list[dict[str, float]]] = {}
    per_type: list[dict[str, dict[str, Any]]] = []
    confusion = np.zeros((len(names), len(names) + 1), dtype=np.int64)
    splits = stratified_splits(labelled.truth, train_share=TRAIN_SHARE, repeats=repeats, seed=context.seed)
    for number, split in enumerate(splits, start=1):
        logger.info("%s: split %d of %d", TASK, number, repeats)
        truth = labelled.truth[split.test]
        for name, predicted in _name_test_cells(context, labelled, split, tuning).items():
            runs.setdefault(name, []).append(quick_scores(truth, predicted, credit=credit))
            if name == _MODEL:
                per_type.append(per_type_scores(truth, predicted, names))
                confusion += confusion_of(truth, predicted, len(names))
    methods: dict[str, Any] = {name: mean_and_sd(found) for name, found in runs.items()}
    # Cells of the confusion, and those in the table of types, are of all splits together.
    methods[_MODEL] |= {"per_type": mean_per_type(per_type), "confusion": confusion.tolist()}
    report = {
        **context.describe(TASK, context.embeddings.settings, labelled),
        "train_share": TRAIN_SHARE,
        "repeats": repeats,
        "tuning": tuning.facts(),
        "methods": methods,
    }
    written = {key: name for key, (_, name) in HEADLINES[TASK].items() if key in methods[_MODEL]}
    title = f"{report['model']['id']} on {report['data']['file']}"
    figures = {"methods": draw_bars(methods, written, title=title), "confusion": draw_confusion(report)}
    return TaskResult(report, _sections(report), figures)


def _name_test_cells(
    context: EvaluationContext, labelled: LabelledCells, split: Split, tuning: FineTuningSettings
) -> dict[str, np.ndarray]:
    """Method -> label of each test cell; the model itself first."""
    named = {}
    untrained = random_weights(context.loaded, seed=split.seed)
    for name, how, model in ((_MODEL, tuning, None), (_RANDOM, FineTuningSettings("full", tuning.steps), untrained)):
        tuned = how.learn(context, split.train, task="classification", seed=split.seed, model=model)
        named[name] = named_codes(score_rows(context, tuned, split.test), tuned, labelled.names)
    classes = labelled.truth[split.train]
    for name, features in ((_ON_EMBEDDINGS, context.embeddings.projected), (_ON_COMPONENTS, context.components)):
        scores = logistic_regression(
            features[split.train], classes, features[split.test], n_classes=len(labelled.labels)
        )
        named[name] = scores.argmax(axis=1)
    return named


def _sections(report: dict[str, Any]) -> list[Section]:
    data, tuning = report["data"], report["tuning"]
    text = (
        f"{data['labelled_cells']:,} cells of {len(report['labels'])} types, two thirds of each type for training. "
        f"{uncertainty_text(report['repeats'], 'splits of the cells', report['seed'])} {_MODEL} is the cell "
        f"encoder with a new head, fine-tuned ({tuning['method']}); random weights are trained in full, for as many "
        "steps. Components are of log-normalized counts."
    )
    if "ontology_accuracy" in model_scores(report):
        text += f" {RULE}"
    return [
        Section(f"{TASK}: {report['model']['id']} on {data['file']}", text, summary_table(TASK, report["methods"])),
        Section("Types, over all splits", table=per_type_table(model_scores(report)["per_type"])),
    ]
