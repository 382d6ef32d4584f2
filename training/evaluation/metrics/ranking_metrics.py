"""Metrics of rankings and of scores against yes or no: `evaluate.Metric` classes, computed by scikit-learn."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from langcell.training.evaluation.metrics.metrics import OfflineMetric, computed
from langcell.training.evaluation.metrics.uncertainty import BOOTSTRAP_DRAWS, sd_of

CUTS = (1, 5, 10)


class Retrieval(OfflineMetric):
    """Recall at 1, 5 and 10 and the mean reciprocal rank, from the rank of the first right answer of each query.

    >>> Retrieval().compute(predictions=[1, 3, 20])["mrr"]
    0.4611111111111111
    """

    summary = "Share of queries whose first right answer is among the first k, and the mean of 1 / its rank."
    inputs = "predictions: rank of the first right answer of each query, 1 for the first place."
    columns = {"predictions": datasets.Value("int64")}  # noqa: RUF012  # read only, as in the base class

    def _compute(self, *, predictions: Sequence[int]) -> dict[str, float]:
        ranks = np.asarray(predictions)
        recalls = {f"recall_at_{k}": float((ranks <= k).mean()) for k in CUTS}
        return {**recalls, "mrr": float((1 / ranks).mean())}


class Auroc(OfflineMetric):
    """Area under the ROC curve; None where all references are alike.

    >>> Auroc().compute(predictions=[0.1, 0.4, 0.35, 0.8], references=[0, 0, 1, 1])
    {'auroc': 0.75}
    """

    summary = "Area under the ROC curve of a score against yes (1) or no (0)."
    inputs = "predictions: one score each; references: 0 or 1."
    columns = {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}  # noqa: RUF012

    def _compute(self, *, predictions: Sequence[float], references: Sequence[int]) -> dict[str, float | None]:
        if len(set(references)) < 2:
            return {"auroc": None}
        return {"auroc": float(roc_auc_score(references, predictions))}


class MultiLabel(OfflineMetric):
    """AUROC, area under precision-recall (average precision) and F1 at probability 0.5, each averaged over the labels.

    Every label has to be on in some row and off in some.

    >>> MultiLabel().compute(predictions=[[0.9, 0.2], [0.2, 0.6]], references=[[1, 0], [0, 1]])
    {'auroc': 1.0, 'auprc': 1.0, 'f1': 1.0}
    """

    summary = "AUROC, average precision and F1 of several labels that do not exclude each other, averaged over them."
    inputs = "predictions: a list of probabilities each; references: a list of 0 or 1 each."
    columns = {  # noqa: RUF012
        "predictions": datasets.Sequence(datasets.Value("float64")),
        "references": datasets.Sequence(datasets.Value("int64")),
    }

    def _compute(
        self, *, predictions: Sequence[Sequence[float]], references: Sequence[Sequence[int]]
    ) -> dict[str, float]:
        scores, truth = np.asarray(predictions), np.asarray(references)
        per_label: dict[str, Any] = multi_label_scores(truth, scores)
        return {name: float(np.mean(values)) for name, values in per_label.items()}


def multi_label_scores(truth: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """Return auroc, auprc and f1 of each label; truth 0 or 1 and scores, both of shape (rows, labels)."""
    columns = range(truth.shape[1])
    return {
        "auroc": [float(roc_auc_score(truth[:, i], scores[:, i])) for i in columns],
        "auprc": [float(average_precision_score(truth[:, i], scores[:, i])) for i in columns],
        "f1": [float(f1_score(truth[:, i], scores[:, i] >= 0.5, zero_division=0.0)) for i in columns],  # pyright: ignore[reportArgumentType]  # its stub knows text only
    }


def first_right_ranks(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Rank of the first right answer of each query.

    Ties count against the ranking, so that equal scores for everything find nothing.

    Args:
        scores: shape (queries, answers).
        right: bool, likewise; at least one right answer a query.

    Returns:
        int64, shape (queries,).

    >>> first_right_ranks(np.array([[0.9, 0.5, 0.7]]), np.array([[False, True, True]])).tolist()
    [2]
    """
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    return ((scores >= best) & ~right).sum(axis=1) + 1


def score_types(scores: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Return how well scores of many candidate types rank the true ones, each type counted alike.

    As CellWhisperer (Schaefer et al. 2025, Nature Biotechnology) reports naming among many types.

    Args:
        scores: shape (cells, candidates).
        truth: int64, shape (cells,); codes of the candidates, others are types that are no candidate and are left out.

    Returns:
        macro_accuracy, macro_recall_at_5 (shares of the cells of a type, averaged over types) and macro_auroc (of each
        type's own score, over all cells); None where no true type is a candidate, the last also where it is the only
        type.

    >>> score_types(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1]))
    {'macro_accuracy': 0.75, 'macro_recall_at_5': 1.0, 'macro_auroc': 1.0}
    """
    types = [code for code in np.unique(truth) if 0 <= code < scores.shape[1]]
    if not types:
        return dict.fromkeys(("macro_accuracy", "macro_recall_at_5", "macro_auroc"))
    right = np.arange(scores.shape[1]) == truth[:, None]
    ranks = np.full(len(truth), scores.shape[1] + 1)
    judged = np.isin(truth, types)
    ranks[judged] = first_right_ranks(scores[judged], right[judged])
    recalls = [np.mean([(ranks[truth == code] <= k).mean() for code in types]) for k in (1, 5)]
    areas = [roc_auc_score(truth == code, scores[:, code]) for code in types if (truth == code).sum() < len(truth)]
    return {
        "macro_accuracy": float(recalls[0]),
        "macro_recall_at_5": float(recalls[1]),
        "macro_auroc": float(np.mean(areas)) if areas else None,
    }


def score_ranks(
    ranks: np.ndarray, distances: Sequence[float | None], *, seed: int, draws: int = BOOTSTRAP_DRAWS
) -> dict[str, Any]:
    """Return what `Retrieval` says, with the mean ontology distance, each with its standard deviation over draws of
    queries.

    Args:
        ranks: int64, shape (queries,).
        distances: steps from the answer in the first place to the right one; None where the ontology has no path.
        seed: random seed of the draws.
        draws: how often the queries are drawn again with replacement.
    """
    known = np.array([np.nan if distance is None else distance for distance in distances])
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(ranks), len(ranks)) for _ in range(draws)]
    runs = [_retrieval(ranks[rows]) for rows in drawn]
    scores: dict[str, Any] = {"queries": len(ranks)}
    for name, value in computed(Retrieval(), predictions=ranks).items():
        scores |= {name: value, f"{name}_sd": sd_of([run[name] for run in runs])}
    if not np.isnan(known).all():
        means = [float(np.nanmean(known[rows])) for rows in drawn if not np.isnan(known[rows]).all()]
        scores |= {"ontology_distance": float(np.nanmean(known)), "ontology_distance_sd": sd_of(means)}
    return scores


def _retrieval(ranks: np.ndarray) -> dict[str, float]:
    """Return the measure itself, without the bookkeeping of evaluate."""
    return Retrieval()._compute(predictions=ranks.tolist())
