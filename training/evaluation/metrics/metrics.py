"""Metrics of naming cells: `evaluate.Metric` classes that load without a network, computed by scikit-learn."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from langcell.training.evaluation.metrics.uncertainty import (
    BOOTSTRAP_DRAWS,
    bootstrap_sd,
    bootstrap_sd_per_type,
    draw_confusions,
    mean_and_sd,
)

_OF_A_TYPE = ("precision", "recall", "f1")
# A type that is never given has precision 0, without a warning.
_NOTHING_IS_ZERO: dict[str, Any] = {"zero_division": 0}


class OfflineMetric(evaluate.Metric):
    """A metric that is a class of ours: nothing is downloaded and nothing is written to disk.

    A subclass names its inputs in `columns` and says in `summary` what it measures.
    """

    summary = ""
    inputs = "predictions and references: one integer code a cell; any other code counts as wrong."
    columns: Mapping[str, Any] = {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}

    def __init__(self, **options: Any) -> None:
        # A seed of its own: evaluate would otherwise read the state of numpy's global generator.
        super().__init__(**({"keep_in_memory": True, "seed": 0} | options))

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.summary,
            citation="",
            inputs_description=self.inputs,
            features=datasets.Features(dict(self.columns)),
        )


class Accuracy(OfflineMetric):
    """Share of cells named right.

    >>> Accuracy().compute(predictions=[0, 1, 1, 2], references=[0, 1, 2, 2])
    {'accuracy': 0.75}
    """

    summary = "Share of cells named right."

    def _compute(self, *, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


class OntologyAccuracy(OfflineMetric):
    """Mean credit of the labels given, where a label that is nearly right counts in part (`ontology_scoring`).

    `compute` takes `credit`, shape (labels, labels + 1): row the true type, column the answer, last column no label.

    >>> OntologyAccuracy().compute(predictions=[0, 1], references=[0, 0], credit=[[1, 0.5, 0], [0, 1, 0]])
    {'ontology_accuracy': 0.75}
    """

    summary = "Mean credit of the labels given; a finer label counts 1, a coarser one in part."

    def _compute(
        self, *, predictions: Sequence[int], references: Sequence[int], credit: Sequence[Sequence[float]]
    ) -> dict[str, float]:
        return {"ontology_accuracy": float(np.asarray(credit)[np.asarray(references), np.asarray(predictions)].mean())}


class F1(OfflineMetric):
    """Macro and weighted F1 over the types that have cells.

    A candidate type without a cell has no recall; it is left out of the mean, and cells that are wrongly given to it
    count against their own type.

    >>> F1().compute(predictions=[0, 1, 1, 2], references=[0, 1, 2, 2])["macro_f1"]
    0.7777777777777777
    """

    summary = "Macro and weighted F1 over the types that have cells."

    def _compute(self, *, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        present = np.unique(references)
        return {
            f"{average}_f1": float(
                f1_score(references, predictions, labels=present, average=average, **_NOTHING_IS_ZERO)
            )
            for average in ("macro", "weighted")
        }


class PerType(OfflineMetric):
    """Precision, recall, F1 and number of cells of each type.

    `compute` takes `labels`, the codes in the order wanted; what does not occur has zeros.

    >>> PerType().compute(predictions=[0, 1, 1], references=[0, 1, 0], labels=[0, 1])["recall"]
    [0.5, 1.0]
    """

    summary = "Precision, recall, F1 and number of cells of each type."

    def _compute(
        self, *, predictions: Sequence[int], references: Sequence[int], labels: Sequence[int]
    ) -> dict[str, list[Any]]:
        columns = precision_recall_fscore_support(references, predictions, labels=labels, **_NOTHING_IS_ZERO)
        return {
            name: np.asarray(column).tolist()
            for name, column in zip(("precision", "recall", "f1", "support"), columns, strict=True)
        }


def score_predictions(
    truth: np.ndarray,
    predicted: np.ndarray,
    names: Sequence[str],
    *,
    seed: int,
    draws: int = BOOTSTRAP_DRAWS,
    credit: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return all that is measured of one method's predictions, ready for JSON.

    Args:
        truth: int64, shape (cells,); codes 0 to len(names) - 1.
        predicted: int64, shape (cells,); likewise, or len(names) for a cell that got no label.
        names: the candidate labels, in the order of their codes.
        seed: random seed of the draws of the cells behind the standard deviations.
        draws: number of these draws.
        credit: what each label counts for each type (`ontology_scoring.credit_matrix`); adds ontology_accuracy.

    Returns:
        accuracy, macro_f1, weighted_f1 and, with `credit`, ontology_accuracy, each with its <name>_sd; per_type {name:
        precision, recall and f1 with their <name>_sd, support}; confusion, see `confusion_of`.
    """
    confusion = confusion_of(truth, predicted, len(names))
    drawn = draw_confusions(confusion, draws=draws, seed=seed)
    per_type = per_type_scores(truth, predicted, names)
    return {
        **quick_scores(truth, predicted, credit=credit),
        **bootstrap_sd(drawn, credit=credit),
        "per_type": {name: per_type[name] | sd for name, sd in zip(names, bootstrap_sd_per_type(drawn), strict=True)},
        "confusion": confusion.tolist(),
    }


def confusion_of(truth: np.ndarray, predicted: np.ndarray, n_labels: int) -> np.ndarray:
    """Return cells of each type (rows) that got each label (columns, the last one: no label), shape (labels, labels +
    1)."""
    return confusion_matrix(truth, predicted, labels=range(n_labels + 1))[:-1]


def quick_scores(truth: np.ndarray, predicted: np.ndarray, *, credit: np.ndarray | None = None) -> dict[str, float]:
    """Return accuracy, macro_f1, weighted_f1 and, with `credit`, ontology_accuracy; see `score_predictions`."""
    columns = {"predictions": predicted, "references": truth}
    aware = {} if credit is None else computed(OntologyAccuracy(), **columns, credit=credit)
    return {**computed(Accuracy(), **columns), **computed(F1(), **columns), **aware}


def per_type_scores(truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return precision, recall, f1 and support of each type; arguments as in `score_predictions`."""
    columns = computed(PerType(), predictions=predicted, references=truth, labels=range(len(names)))
    return {name: {key: values[i] for key, values in columns.items()} for i, name in enumerate(names)}


def mean_per_type(runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return each type's precision, recall and f1 over repeats, mean and <name>_sd; support is the cells of all of
    them.

    Args:
        runs: what `per_type_scores` returns for each repeat; a repeat without cells of a type says nothing of it.
    """
    summary = {}
    for name in runs[0]:
        rows = [run[name] for run in runs]
        measured = [{key: row[key] for key in _OF_A_TYPE} for row in rows if row["support"]]
        means = mean_and_sd(measured or [dict.fromkeys(_OF_A_TYPE, 0.0)])
        summary[name] = {**means, "support": sum(row["support"] for row in rows)}
    return summary


def computed(metric: evaluate.Metric, **inputs: Any) -> dict[str, Any]:
    """Return what a metric says of these inputs."""
    result = metric.compute(**inputs)
    assert result is not None  # None only in the other processes of a distributed metric
    return result
