"""`langcell evaluate novel-types`: cell types without any labelled cell, named by their text.

Each repeat holds some types out, teaches the model K cells of each of the others, and lets it choose among the texts of
all types. Seen and unseen are the means over types of the share of cells named right (test cells only), so that a large
type does not stand for all; their harmonic mean is high only when both are. Unknown AUROC: with the texts of seen types
alone, how well a low confidence (greatest score) tells the cells of held-out types.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import recall_score

from langcell.inference.annotation import ScoredCells, score_data
from langcell.loading.load import LoadedLangCell
from langcell.processing.labels.splitting import split_labels
from langcell.scoring_langcell import combine_scores
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.metrics.metrics import computed
from langcell.training.evaluation.metrics.ranking_metrics import Auroc
from langcell.training.evaluation.metrics.uncertainty import mean_and_sd, uncertainty_text
from langcell.training.evaluation.reports.pages import Section
from langcell.training.evaluation.reports.plots import draw_bars
from langcell.training.evaluation.reports.report import HEADLINES, TaskResult, summary_table
from langcell.training.evaluation.rivals.baselines import logistic_regression
from langcell.training.evaluation.tasks.fine_tuned_models import (
    FineTuningSettings,
    rows_of,
    score_rows,
    training_reading,
)
from langcell.training.evaluation.tasks.splits import Split, draw_shots, splittable_types, stratified_splits
from langcell.training.labelled.labelled_cells import LabelledCells

logger = logging.getLogger(__name__)

TASK = "novel-types"
HELD_OUT_SHARE = 1 / 3
_WITH_TEXT = "few-shot with text"
_ZERO_SHOT = "zero-shot, no training"
_NO_TEXT = "few-shot without text (LangCell-CE)"
_ON_EMBEDDINGS = "logistic regression on frozen embeddings"
# What a method says of the test cells: scores of all labels, and scores of the seen labels alone.
_Answer = tuple[np.ndarray, np.ndarray]


def run(
    context: EvaluationContext,
    *,
    held_out: str | Sequence[str] | None = None,
    cells_per_type: int = 5,
    repeats: int = 3,
    method: str = "lora",
    steps: int | None = None,
) -> TaskResult:
    """Name types that were held out of training by their text, beside a model that learned without text.

    Args:
        context: data and model; needs a label column.
        held_out: types to hold out in every repeat, a list or names with commas; by default a third of the types,
            drawn again for each repeat.
        cells_per_type: labelled cells of each seen type.
        repeats: draws of held-out types and of cells.
        method: "lora", "full" or "head".
        steps: training steps; `finetune`'s choice when None.

    Raises:
        ValueError: unusable data, labels, model or options, or fewer than two types left to learn from.
    """
    if cells_per_type < 1:
        raise ValueError(f"cells_per_type is {cells_per_type}; give 1 or more cells of each type.")
    tuning = FineTuningSettings(method, steps)  # pyright: ignore[reportArgumentType]  # finetune checks
    labelled = context.labelled
    fixed = None if held_out is None else _codes_of(held_out, labelled)
    runs: dict[str, list[dict[str, float]]] = {}
    chosen_names = []
    splits = stratified_splits(labelled.truth, train_share=0.5, repeats=repeats, seed=context.seed)
    for number, split in enumerate(splits, start=1):
        logger.info("%s: draw %d of %d", TASK, number, repeats)
        unseen = _draw_types(labelled.truth, split.seed) if fixed is None else fixed
        seen = np.setdiff1d(splittable_types(labelled.truth), unseen)
        _check_types(seen, unseen)
        chosen_names.append([labelled.names[code] for code in unseen])
        for name, answer in _answers(context, labelled, split, seen, cells_per_type, tuning).items():
            runs.setdefault(name, []).append(_measure(labelled.truth[split.test], answer, seen, unseen))
    methods = {name: mean_and_sd(found) for name, found in runs.items()}
    report = {
        **context.describe(TASK, context.embeddings.settings, labelled),
        "cells_per_type": cells_per_type,
        "repeats": repeats,
        "held_out": chosen_names,
        "tuning": tuning.facts(),
        "methods": methods,
    }
    written = {key: name for key, (_, name) in HEADLINES[TASK].items()}
    title = f"{report['model']['id']} on {report['data']['file']}"
    return TaskResult(report, _sections(report), {"methods": draw_bars(methods, written, title=title)})


def _answers(
    context: EvaluationContext,
    labelled: LabelledCells,
    split: Split,
    seen: np.ndarray,
    cells_per_type: int,
    tuning: FineTuningSettings,
) -> dict[str, _Answer]:
    """Method -> its scores on the test cells, all having learned from the same cells of the seen types."""
    pool = split.train[np.isin(labelled.truth[split.train], seen)]
    rows = draw_shots(labelled.truth, pool, [cells_per_type], seed=split.seed)[cells_per_type]
    n_labels = len(labelled.labels)
    with_text = tuning.learn(context, rows, task="text", seed=split.seed)
    assert isinstance(with_text.model, LoadedLangCell)
    tuned = score_data(
        rows_of(context, split.test),
        labelled.labels,
        loaded=with_text.model,
        refine=False,
        progress=False,
        **training_reading(context),
    )
    plain = context.scored(labelled.labels)
    alpha = context.loaded.config.alpha
    without = tuning.learn(context, rows, task="classification", seed=split.seed)
    codes = [labelled.names.index(label.name) for label in without.labels]
    spread = np.zeros((len(split.test), n_labels))
    spread[:, codes] = np.nan_to_num(score_rows(context, without, split.test))
    embeddings = context.embeddings.projected
    regression = logistic_regression(embeddings[rows], labelled.truth[rows], embeddings[split.test], n_classes=n_labels)
    return {
        _WITH_TEXT: _by_text(tuned, seen, alpha, np.arange(len(split.test))),
        _ZERO_SHOT: _by_text(plain, seen, alpha, split.test),
        _NO_TEXT: (spread, spread[:, seen]),
        _ON_EMBEDDINGS: (regression, regression[:, seen]),
    }


def _by_text(scored: ScoredCells, seen: np.ndarray, alpha: float, rows: np.ndarray) -> _Answer:
    """Scores among all labels and among the seen ones; a cell without a known gene has none."""
    similarity, match = torch.from_numpy(scored.similarity[rows]), torch.from_numpy(scored.match[rows])
    columns = torch.from_numpy(seen)
    among_all = combine_scores(similarity, match, alpha=alpha).numpy()
    among_seen = combine_scores(similarity[:, columns], match[:, columns], alpha=alpha).numpy()
    known = scored.known[rows][:, None]
    return np.where(known, among_all, 0.0), np.where(known, among_seen, 0.0)


def _measure(truth: np.ndarray, answer: _Answer, seen: np.ndarray, unseen: np.ndarray) -> dict[str, float]:
    among_all, among_seen = answer
    predicted = np.where(among_all.any(axis=1), among_all.argmax(axis=1), -1)
    recall: Any = recall_score(truth, predicted, labels=np.concatenate([seen, unseen]), average=None, zero_division=0.0)  # pyright: ignore[reportArgumentType]  # its stub knows text only
    on_seen, on_unseen = float(np.mean(recall[: len(seen)])), float(np.mean(recall[len(seen) :]))
    total = on_seen + on_unseen
    is_unseen = np.isin(truth, unseen).astype(int)
    unknown = computed(Auroc(), predictions=-among_seen.max(axis=1), references=is_unseen)["auroc"]
    return {
        "seen": on_seen,
        "unseen": on_unseen,
        "harmonic_mean": 2 * on_seen * on_unseen / total if total else 0.0,
        "unknown_auroc": unknown,
    }


def _draw_types(truth: np.ndarray, seed: int) -> np.ndarray:
    types = splittable_types(truth)
    n_held_out = max(1, round(HELD_OUT_SHARE * len(types)))
    return np.sort(np.random.default_rng(seed).choice(types, n_held_out, replace=False))


def _codes_of(held_out: str | Sequence[str], labelled: LabelledCells) -> np.ndarray:
    names = split_labels(held_out) if isinstance(held_out, str) else list(held_out)
    present = set(splittable_types(labelled.truth).tolist())
    if strange := [name for name in names if name not in labelled.names or labelled.names.index(name) not in present]:
        raise ValueError(f"held_out names {strange}; the types with two cells or more are {_named(labelled, present)}.")
    return np.sort([labelled.names.index(name) for name in dict.fromkeys(names)])


def _named(labelled: LabelledCells, codes: set[int]) -> list[str]:
    return [labelled.names[code] for code in sorted(codes)]


def _check_types(seen: np.ndarray, unseen: np.ndarray) -> None:
    if len(seen) < 2 or not len(unseen):
        raise ValueError(
            f"{len(unseen)} types are held out and {len(seen)} are left to learn from; at least one and two are needed."
        )


def _sections(report: dict[str, Any]) -> list[Section]:
    data = report["data"]
    drawn = "; ".join(", ".join(names) for names in report["held_out"])
    text = (
        f"{report['cells_per_type']} labelled cells of each seen type ({report['tuning']['method']}); named among the "
        f"texts of all {len(report['labels'])} types. Seen and unseen: mean over types of the share of test cells "
        "named right. Unknown AUROC: the greatest score among seen types alone, low for cells of a held-out type. A "
        "model without text can never name a type that it has not seen. "
        f"{uncertainty_text(report['repeats'], 'draws of types and cells', report['seed'])} Held out, by draw: {drawn}."
    )
    return [Section(f"{TASK}: {report['model']['id']} on {data['file']}", text, summary_table(TASK, report["methods"]))]
