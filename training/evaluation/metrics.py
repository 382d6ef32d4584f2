"""Metrics of naming cells: `evaluate.Metric` classes that load without a network, computed by scikit-learn."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

_BOOTSTRAP_REPEATS = 200
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
    truth: np.ndarray, predicted: np.ndarray, names: Sequence[str], *, seed: int, credit: np.ndarray | None = None
) -> dict[str, Any]:
    """All that is measured of one method's predictions, ready for JSON.

    Args:
        truth: int64, shape (cells,); codes 0 to len(names) - 1.
        predicted: int64, shape (cells,); likewise, or len(names) for a cell that got no label.
        names: the candidate labels, in the order of their codes.
        seed: of the bootstrap over cells behind the standard deviations.
        credit: what each label counts for each type (`ontology_scoring.credit_matrix`); adds ontology_accuracy.

    Returns:
        accuracy, macro_f1, weighted_f1 and, with `credit`, ontology_accuracy, each with its <name>_sd; per_type {name:
        precision, recall, f1, support}; confusion, one row a type and one column a label with a last column for cells
        without a label.
    """
    columns = {"predictions": predicted, "references": truth}
    per_type = computed(PerType(), **columns, labels=range(len(names)))
    confusion = confusion_matrix(truth, predicted, labels=range(len(names) + 1))[:-1]
    return {
        **quick_scores(truth, predicted, credit=credit),
        **bootstrap_sd(confusion, seed=seed, credit=credit),
        "per_type": {name: {key: values[i] for key, values in per_type.items()} for i, name in enumerate(names)},
        "confusion": confusion.tolist(),
    }


def quick_scores(truth: np.ndarray, predicted: np.ndarray, *, credit: np.ndarray | None = None) -> dict[str, float]:
    """accuracy, macro_f1, weighted_f1 and, with `credit`, ontology_accuracy; see `score_predictions`."""
    columns = {"predictions": predicted, "references": truth}
    aware = {} if credit is None else computed(OntologyAccuracy(), **columns, credit=credit)
    return {**computed(Accuracy(), **columns), **computed(F1(), **columns), **aware}


def bootstrap_sd(confusion: np.ndarray, *, seed: int, credit: np.ndarray | None = None) -> dict[str, float]:
    """Standard deviation of the measures when the cells are drawn again with replacement.

    Cells in the same place of the confusion matrix count alike, so drawing cells is drawing places.

    Args:
        confusion: cells, shape (types, labels + 1), as `score_predictions` returns it.
        seed: of the draws.
        credit: shape (types, labels + 1); adds ontology_accuracy_sd.
    """
    n_cells, n_types = confusion.sum(), len(confusion)
    draws = np.random.default_rng(seed).multinomial(n_cells, confusion.ravel() / n_cells, size=_BOOTSTRAP_REPEATS)
    draws = draws.reshape(-1, *confusion.shape)
    right = draws[:, range(n_types), range(n_types)]
    support, named = draws.sum(2), draws.sum(1)[:, :n_types]
    f1 = 2 * right / np.maximum(support + named, 1)
    measures = {
        "accuracy_sd": right.sum(1) / n_cells,
        "macro_f1_sd": (f1 * (support > 0)).sum(1) / (support > 0).sum(1),
        "weighted_f1_sd": (f1 * support).sum(1) / n_cells,
    }
    if credit is not None:
        measures["ontology_accuracy_sd"] = (draws * credit).sum((1, 2)) / n_cells
    return {name: float(values.std()) for name, values in measures.items()}


def mean_and_sd(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Each measure's mean over repeats and, as <name>_sd, its standard deviation over them; "runs" is their number.

    >>> mean_and_sd([{"f1": 0.5}, {"f1": 0.7}])
    {'f1': 0.6, 'f1_sd': 0.1, 'runs': 2}
    """
    summary: dict[str, Any] = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs], dtype=float)
        summary[name] = round(float(values.mean()), 12)
        summary[f"{name}_sd"] = round(float(values.std()), 12)
    return {**summary, "runs": len(runs)}


def computed(metric: evaluate.Metric, **inputs: Any) -> dict[str, Any]:
    """What a metric says of these inputs."""
    result = metric.compute(**inputs)
    assert result is not None  # None only in the other processes of a distributed metric
    return result
