"""What was measured of a model, as a card shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

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


def all_results(measurements: Sequence[Measurement]) -> list[EvalResult] | None:
    """The entries of all evaluations; None where there is none, as card metadata have it."""
    return [result for one in measurements for result in one.results] or None


def measurement_table(results: Sequence[EvalResult]) -> str:
    """Measurements as a Markdown table; the same objects make the card's model-index.

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
