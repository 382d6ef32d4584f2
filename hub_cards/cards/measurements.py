"""What was measured of a model, as a card shows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from huggingface_hub import EvalResult


@dataclass(frozen=True)
class Measurement:
    """One evaluation.

    Attributes:
        title: what was measured on what.
        results: the headline measures, for the card's model-index.
        methods: the model beside its baselines, a Markdown table.
        per_type: precision, recall and F1 of every cell type, a Markdown table; None where the task has none.
    """

    title: str
    results: Sequence[EvalResult]
    methods: str
    per_type: str | None = None


def all_results(measurements: Sequence[Measurement]) -> list[EvalResult]:
    """Join the entries of all evaluations."""
    return [result for one in measurements for result in one.results]


def index_entries(results: Iterable[EvalResult]) -> list[EvalResult] | None:
    """Make results fit for a card's model-index: what is read back from the card is what was given.

    The Hub client groups results by task type and by the data set's type, configuration, split and revision, and takes
    the names of task and data set from the first of a group. So each measurement gets a configuration of its own. A
    number of numpy would be written as a dump of the object, which no card reader takes.

    Args:
        results: as measured. Several metrics of one task on one data set are one measurement.

    Returns:
        Copies, or None where there is none, as card metadata have it.

    Raises:
        ValueError: results of different names share a configuration that was given.

    >>> few = EvalResult("other", "h5ad", "PBMC 3k", "accuracy", np.float32(0.5), task_name="few-shot")
    >>> [(entry.dataset_config, entry.metric_value) for entry in index_entries([few])]
    [('PBMC 3k, few-shot', 0.5)]
    """
    entries = [
        replace(
            result,
            dataset_config=result.dataset_config or f"{result.dataset_name}, {result.task_name or result.task_type}",
            metric_value=result.metric_value.item()
            if isinstance(result.metric_value, np.generic)
            else result.metric_value,
        )
        for result in results
    ]
    names: dict[tuple, set[tuple]] = {}
    for entry in entries:
        names.setdefault(entry.unique_identifier, set()).add((entry.dataset_name, entry.task_name, entry.source_url))
    if merged := [sorted(map(str, group)) for group in names.values() if len(group) > 1]:
        raise ValueError(
            f"A card would show these results under one name: {merged[0]}; give each a dataset_config of its own."
        )
    return entries or None


def measurement_table(results: Sequence[EvalResult]) -> str:
    """Return measurements as a Markdown table; the same objects make the card's model-index.

    >>> print(measurement_table([EvalResult("other", "h5ad", "PBMC 3k", "accuracy", 0.7, task_name="zero-shot")]))
    | data | task | metric | value |
    |---|---|---|---:|
    | PBMC 3k | zero-shot | accuracy | 0.7 |
    """
    rows = (
        f"| {r.dataset_name} | {r.task_name or r.task_type} | {r.metric_name or r.metric_type} | {r.metric_value} |"
        for r in results
    )
    return "\n".join(["| data | task | metric | value |", "|---|---|---|---:|", *rows])
