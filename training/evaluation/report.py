"""What an evaluation leaves behind: JSON with everything, a Markdown table, plots, and entries for a model card."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult
from matplotlib.figure import Figure

from langcell.inference.annotation import UNASSIGNED
from langcell.processing.atomic_output import atomic_output

# The name that the Hub knows each metric by, and how people write it.
_METRICS = {
    "accuracy": ("accuracy", "accuracy"),
    "macro_f1": ("f1", "macro-F1"),
    "weighted_f1": ("f1", "weighted F1"),
}


def write_report(report: dict[str, Any], folder: str | Path) -> list[Path]:
    """Write <task>.json, <task>.md, <task>-confusion.png and <task>-per-type.png into `folder`; returns their paths.

    Args:
        report: what an evaluation task returned. The first of its methods is the one that is drawn.
        folder: made where it does not exist; files of the same name are replaced.

    Raises:
        OSError: `folder` cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    task = report["task"]
    figures = {"confusion": draw_confusion(report), "per-type": draw_per_type(report)}
    texts = {
        f"{task}.json": json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        f"{task}.md": markdown(report),
    }
    for name, text in texts.items():
        with atomic_output(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for name, figure in figures.items():
        with atomic_output(folder / f"{task}-{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
    return [folder / name for name in (*texts, *(f"{task}-{name}.png" for name in figures))]


def markdown(report: dict[str, Any]) -> str:
    """The report for people: the methods, every type, and the weight of the similarity."""
    model, data = report["model"], report["data"]
    parts = [
        f"# {report['task']}: {model['id']} on {data['file']}",
        f"{data['labelled_cells']:,} cells of {len(report['labels'])} types in obs[{data['label_column']!r}]; "
        f"{data['left_out_without_label']:,} cells without a label left out. "
        f"{data['without_known_gene']:,} cells have no known gene. Alpha {report['alpha']:g}; "
        f"{report['cells_per_second']:.0f} cells/s on {model['device']}. Model revision {model['revision']}. "
        f"± is the standard deviation over draws of the cells (seed {report['seed']}).",
        methods_table(report),
        "## Types",
        _table(
            ("type", "cells", "precision", "recall", "F1"),
            [
                (name, f"{row['support']:,}", *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")))
                for name, row in _drawn_method(report)["per_type"].items()
            ],
        ),
        "## Weight of the similarity",
        _table(
            ("alpha", "accuracy", "macro-F1"),
            [
                (f"{row['alpha']:.1f}", f"{row['accuracy']:.4f}", f"{row['macro_f1']:.4f}")
                for row in report["alpha_sweep"]
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def methods_table(report: dict[str, Any]) -> str:
    """Accuracy and F1 of the model and the baselines beside it, as a Markdown table."""
    return _table(
        ("method", "accuracy", "macro-F1", "weighted F1"),
        [
            (
                name,
                f"{scores['accuracy']:.4f} ± {scores['accuracy_sd']:.4f}",
                f"{scores['macro_f1']:.4f} ± {scores['macro_f1_sd']:.4f}",
                f"{scores['weighted_f1']:.4f}",
            )
            for name, scores in report["methods"].items()
        ],
    )


def eval_results(report: dict[str, Any], *, dataset_name: str | None = None) -> list[EvalResult]:
    """Entries for a model card's `model-index`: accuracy, macro and weighted F1 of the model.

    Args:
        report: what the task returned, or its JSON read back.
        dataset_name: how people call the data; the file's name without suffix by default.
    """
    data, scores = report["data"], _drawn_method(report)
    return [
        EvalResult(
            task_type="zero-shot-classification",
            task_name=f"{report['task']} annotation of {len(report['labels'])} types",
            dataset_type="h5ad",
            dataset_name=dataset_name or Path(data["file"]).stem,
            dataset_revision=data["sha256"],
            metric_type=metric_type,
            metric_name=metric_name,
            metric_value=round(scores[key], 4),
        )
        for key, (metric_type, metric_name) in _METRICS.items()
    ]


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

    def check(self, report: dict[str, Any]) -> str:
        """The line that says that the measured accuracy fits.

        Raises:
            ValueError: it does not; the message says what was measured.
        """
        measured = _drawn_method(report)["accuracy"]
        line = f"accuracy {measured:.4f}, expected {self.accuracy:.4f} ± {self.tolerance:g}"
        if abs(measured - self.accuracy) > self.tolerance + 1e-9:  # just the tolerance passes, whatever its last bit
            raise ValueError(f"fail: {line}")
        return f"pass: {line}"


def draw_confusion(report: dict[str, Any]) -> Figure:
    """True type (rows, each summing to one) against given label."""
    counts = np.array(_drawn_method(report)["confusion"])
    rows = [label["name"] for label in report["labels"]]
    columns = [*rows, UNASSIGNED]
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], rows
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 0.6 * len(rows))
    figure = Figure(figsize=(size * len(columns) / len(rows), size))
    axis = figure.add_subplot()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set(xlabel=f"named by {report['model']['id']}", ylabel="true type", title=report["data"]["file"])
    axis.set_xticks(range(len(columns)), columns, rotation=90)
    axis.set_yticks(range(len(rows)), rows)
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        axis.text(column, row, f"{share:.2f}", ha="center", va="center", size=8, color="w" if share > 0.5 else "k")
    return figure


def draw_per_type(report: dict[str, Any]) -> Figure:
    """F1 of each type, best first, with its number of cells, beside the nearest profile's where that was measured."""
    ours = _drawn_method(report)["per_type"]
    names = sorted((name for name in ours if ours[name]["support"]), key=lambda name: -ours[name]["f1"])
    bars = {method: report["methods"][method] for method in list(report["methods"])[:1]}
    if "nearest profile" in report["methods"]:
        bars["nearest profile"] = report["methods"]["nearest profile"]
    figure = Figure(figsize=(7, max(2.5, 0.45 * len(names))))
    axis = figure.add_subplot()
    height = 0.8 / len(bars)
    for i, (method, scores) in enumerate(bars.items()):
        values = [scores["per_type"][name]["f1"] for name in names]
        axis.barh(np.arange(len(names)) + i * height, values, height=height, label=method)
    axis.set_yticks(
        np.arange(len(names)) + (len(bars) - 1) * height / 2,
        [f"{name} ({ours[name]['support']:,})" for name in names],
    )
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="F1", title=f"{report['model']['id']} on {report['data']['file']}")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _drawn_method(report: dict[str, Any]) -> dict[str, Any]:
    """What was measured of the model itself, which every task puts first."""
    return next(iter(report["methods"].values()))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *escaped))
