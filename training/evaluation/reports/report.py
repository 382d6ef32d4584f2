"""What an evaluation leaves behind: JSON with everything, a Markdown page, plots, and entries for a model card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult

from langcell.hub_cards.cards.measurements import index_entries
from langcell.processing.files.atomic_output import atomic_output
from langcell.training.evaluation.reports.pages import Section, Table, page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Metrics = Mapping[str, tuple[str, str]]

_NAMING: Metrics = {
    "accuracy": ("accuracy", "accuracy"),
    "macro_f1": ("f1", "macro-F1"),
    "weighted_f1": ("f1", "weighted F1"),
    "ontology_accuracy": ("ontology_accuracy", "ontology-aware accuracy"),
}
_RETRIEVAL: Metrics = {
    "recall_at_1": ("recall_at_1", "R@1"),
    "recall_at_5": ("recall_at_5", "R@5"),
    "recall_at_10": ("recall_at_10", "R@10"),
    "mrr": ("mrr", "MRR"),
    "ontology_distance": ("ontology_distance", "ontology distance"),
    "precision_at_20": ("precision", "precision@20"),
}
HEADLINES: Mapping[str, Metrics] = MappingProxyType(
    {
        "zero-shot": {
            **_NAMING,
            "novelty_auroc": ("roc_auc", "novelty AUROC"),
            "macro_accuracy": ("balanced_accuracy", "macro accuracy"),
            "macro_recall_at_5": ("recall_at_5", "macro recall@5"),
            "macro_auroc": ("roc_auc", "macro AUROC"),
        },
        "disease": _NAMING,
        "few-shot": _NAMING,
        "classification": _NAMING,
        "novel-types": {
            "seen": ("accuracy", "seen types"),
            "unseen": ("accuracy", "unseen types"),
            "harmonic_mean": ("harmonic_mean", "harmonic mean"),
            "unknown_auroc": ("roc_auc", "unknown AUROC"),
        },
        "retrieval": _RETRIEVAL,
        "integration": {
            "avg_bio": ("avg_bio", "AvgBio"),
            "avg_batch": ("avg_batch", "AvgBatch"),
            "overall": ("overall", "overall"),
        },
        "pathways": {
            "auroc": ("roc_auc", "AUROC"),
            "auprc": ("average_precision", "AUPRC"),
            "f1": ("f1", "F1"),
        },
        "calibration": {
            "ece": ("expected_calibration_error", "ECE"),
            "aurc": ("aurc", "area under risk-coverage"),
            "accuracy": ("accuracy", "accuracy"),
        },
    }
)
"""The measures in the table and on the card, by task: key, the Hub's name of the metric, how people write it."""
LOWER_IS_BETTER = ("ontology_distance", "ece", "aurc")
"""The measures of which less is better."""
DIRECTIONS = ("cell to text", "text to cell")
"""Of retrieval; its methods are called so first."""
REFINED = ", refined"
"""What the name of a method ends with where the cells of the file named each other."""
_HUB_TASKS = {
    "zero-shot": "zero-shot-classification",
    "disease": "zero-shot-classification",
    "novel-types": "zero-shot-classification",
    "few-shot": "tabular-classification",
    "classification": "tabular-classification",
    "calibration": "tabular-classification",
}


@dataclass(frozen=True)
class TaskResult:
    """What a task returns.

    Attributes:
        report: everything measured, ready for JSON: task, model, data, seed, methods (the model's own first), ...
        sections: the page for people; the first has the name of the task as heading.
        figures: plots by name.
    """

    report: dict[str, Any]
    sections: list[Section]
    figures: dict[str, "Figure"] = field(default_factory=dict)


def write_report(result: TaskResult, folder: str | Path) -> list[Path]:
    """Write <task>.json, <task>.md and <task>-<figure>.png into `folder`; returns their paths in this order.

    Args:
        result: what an evaluation task returned.
        folder: made where it does not exist; files of the same name are replaced.

    Raises:
        OSError: `folder` cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    task = str(result.report["task"])
    pictures = {f"{task}-{name}.png": figure for name, figure in result.figures.items()}
    texts = {
        f"{task}.json": json.dumps(result.report, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        f"{task}.md": page(result.sections, list(pictures)),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    for name, figure in pictures.items():
        with atomic_output(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
    return [folder / name for name in (*texts, *pictures)]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def methods_table(report: Mapping[str, Any]) -> str:
    """Return what the model and the baselines beside it measured, as a Markdown table."""
    return summary_table(report["task"], report["methods"]).markdown()


def summary_table(task: str, methods: Mapping[str, Mapping[str, Any]], *, first: str = "method") -> Table:
    """Return the headline measures of each method: mean ± standard deviation where there is one, the best in bold.

    A measure that no method has is left out; one that a method cannot have is a dash.

    Args:
        task: name of the task.
        methods: what each measured.
        first: head of the column of methods.
    """
    shown = {key: name for key, (_, name) in HEADLINES[task].items() if any(key in row for row in methods.values())}
    rows = [(method, *(with_sd(scores, key) for key in shown)) for method, scores in methods.items()]
    bold = [(row, 1 + i) for i, key in enumerate(shown) for row in best_methods(methods, key)]
    return Table((first, *shown.values()), rows, bold=frozenset(bold))


def best_methods(methods: Mapping[str, Mapping[str, Any]], measure: str) -> list[int]:
    """Return the places of the methods that are best in a measure, as the table writes it; none where all are alike.

    The two directions of retrieval are different tasks: each method is compared with those of its own direction.

    >>> best_methods({"a": {"f1": 0.5}, "b": {"f1": 0.7}, "c": {}}, "f1"), best_methods({"a": {"f1": 0.5}}, "f1")
    ([1], [])
    """
    kinds: dict[str, dict[int, float]] = {}
    for place, (method, scores) in enumerate(methods.items()):
        if (value := scores.get(measure)) is not None:
            kind = next((direction for direction in DIRECTIONS if method.startswith(direction)), "")
            kinds.setdefault(kind, {})[place] = round(-value if measure in LOWER_IS_BETTER else value, 4)
    mixed = (values for values in kinds.values() if len(set(values.values())) > 1)
    return sorted(place for values in mixed for place, value in values.items() if value == max(values.values()))


def with_sd(scores: Mapping[str, Any], key: str, *, digits: int = 4) -> str:
    """Return a measure as text, with its standard deviation where `scores` has one.

    >>> with_sd({"f1": 0.5, "f1_sd": 0.02}, "f1"), with_sd({"f1": 0.5, "f1_sd": None}, "f1"), with_sd({}, "f1")
    ('0.5000 ± 0.0200', '0.5000', '–')
    """
    value = scores.get(key)
    return "–" if value is None else plus_minus(value, scores.get(f"{key}_sd"), digits=digits)


def plus_minus(value: float, sd: float | None, *, digits: int = 4) -> str:
    """Return a number with its standard deviation, which is None where there is none."""
    return f"{value:.{digits}f}" if sd is None else f"{value:.{digits}f} ± {sd:.{digits}f}"


def eval_results(report: Mapping[str, Any], *, dataset_name: str | None = None) -> list[EvalResult]:
    """Return the entries for a model card's `model-index`: the headline measures of the model itself, alone and, where
    it was measured, refined. Each entry has a key of its own.

    Args:
        report: what a task returned, or its JSON read back.
        dataset_name: how people call the data; the file's name without suffix by default.
    """
    what = _task_name(report)
    found = _entries(report, model_scores(report), what, dataset_name)
    found += _entries(report, refined_scores(report), what + REFINED, dataset_name)
    return index_entries(found) or []


def _task_name(report: Mapping[str, Any]) -> str:
    task = report["task"]
    if task not in ("zero-shot", "disease"):
        return f"{task}: {next(iter(report['methods']))}"
    if "candidates" in report:
        return f"{task} annotation among {report['candidates']} types"
    return f"{task} annotation of {len(report['labels'])} types"


def _entries(
    report: Mapping[str, Any], scores: Mapping[str, Any], task_name: str, dataset_name: str | None
) -> list[EvalResult]:
    data, task = report["data"], report["task"]
    return [
        EvalResult(
            task_type=_HUB_TASKS.get(task, "other"),
            task_name=task_name,
            dataset_type="h5ad",
            dataset_name=dataset_name or Path(data["file"]).stem,
            dataset_revision=data["sha256"],
            metric_type=metric_type,
            metric_name=metric_name,
            metric_value=round(scores[key], 4),
        )
        for key, (metric_type, metric_name) in HEADLINES[task].items()
        if scores.get(key) is not None
    ]


def model_scores(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured of the model itself, which every task puts first."""
    return next(iter(report["methods"].values()))


def refined_scores(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured of the model itself once the cells named each other; empty where it was not."""
    return report["methods"].get(next(iter(report["methods"])) + REFINED, {})


@dataclass(frozen=True)
class Expectation:
    """The accuracy that an evaluation should find, such as a published one.

    Attributes:
        accuracy: share of cells, 0 to 1.
        tolerance: how far from it is fine.

    >>> Expectation(0.9098, tolerance=0.005).check({"methods": {"LangCell": {"accuracy": 0.912}}})
    'pass: accuracy 0.9120, expected 0.9098 ± 0.005'
    """

    accuracy: float
    tolerance: float

    def __post_init__(self) -> None:
        if not 0 <= self.accuracy <= 1:
            raise ValueError(f"The expected accuracy is {self.accuracy}; give a share of cells from 0 to 1.")
        if not self.tolerance >= 0:
            raise ValueError(f"The tolerance is {self.tolerance}; give 0 or more, such as 0.005.")

    def check(self, report: Mapping[str, Any]) -> str:
        """Return the line that says that the measured accuracy fits.

        Raises:
            ValueError: it does not; the message says what was measured.
        """
        measured = model_scores(report)["accuracy"]
        line = f"accuracy {measured:.4f}, expected {self.accuracy:.4f} ± {self.tolerance:g}"
        if abs(measured - self.accuracy) > self.tolerance + 1e-9:  # just the tolerance passes, whatever its last bit
            raise ValueError(f"fail: {line}")
        return f"pass: {line}"
