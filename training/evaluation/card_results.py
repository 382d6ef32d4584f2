"""Evaluation reports as a model card shows them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langcell.hub_cards.cards.measurements import Measurement
from langcell.training.evaluation.reports.report import eval_results, methods_table, model_scores
from langcell.training.evaluation.tasks.naming import types_table

_NEEDED = ("task", "model", "data", "methods")


def measurement(report: Mapping[str, Any], *, dataset_name: str | None = None) -> Measurement:
    """Return what a card says of an evaluation: model-index entries, the methods side by side, and every cell type.

    Args:
        report: what a task returned, or its JSON read back.
        dataset_name: how people call the data; the file's name without suffix by default.
    """
    data, per_type = report["data"], model_scores(report).get("per_type")
    alpha = f", alpha {report['alpha']:g}" if report.get("alpha") is not None else ""
    cells = data.get("labelled_cells", data.get("cells"))
    return Measurement(
        title=f"{report['task']} on {dataset_name or data['file']}{f', {cells:,} cells' if cells else ''}{alpha}",
        results=eval_results(report, dataset_name=dataset_name),
        methods=methods_table(report),
        per_type=types_table(report).markdown() if per_type else None,
    )


def read_measurement(path: str | Path, *, weights: str | None = None) -> Measurement:
    """Read the JSON of an evaluation.

    Args:
        path: <task>.json of `langcell evaluate`.
        weights: start of the sha256 of the weights that the card is for; a report on others is refused.

    Raises:
        ValueError: it is no report of `langcell evaluate`, or one on other weights.
        FileNotFoundError: there is no such file.
    """
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        found = report["model"]["revision"]
        made = measurement(report)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(
            f"{path} is no report of `langcell evaluate` ({type(error).__name__}: {error}); give its <task>.json, "
            f"which has {', '.join(_NEEDED)}."
        ) from error
    # A folder's revision is the start of its weights' checksum (of an adapter the last part), a Hub commit longer.
    measured = str(found).rpartition("+")[2]
    if weights is not None and len(measured) == len(weights) and measured != weights:
        raise ValueError(
            f"{path} measured the weights {measured}, but the folder has {weights}: evaluate this folder, or leave the "
            "report out."
        )
    return made
