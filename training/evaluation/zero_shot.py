"""`langcell evaluate zero-shot`: how well a model names cells of a data set by text alone, beside its baselines."""

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from langcell.inference.annotation import Model, ScoredCells, score_data
from langcell.inference.zero_shot import combine_scores
from langcell.loading import DEFAULT_MODEL, LoadedLangCell, load
from langcell.processing.shard_manifest import sha256_of
from langcell.training.evaluation.labelled_cells import LabelledCells, read_labelled_cells
from langcell.training.evaluation.metrics import score_predictions
from langcell.training.evaluation.nearest_profile import name_by_nearest_profile, read_profiles

TASK = "zero-shot"
ALPHAS = tuple(i / 10 for i in range(11))
MODEL_METHOD = "LangCell"
_LIBRARIES = ("langcell", "torch", "transformers", "anndata", "scikit-learn", "evaluate", "numpy")


def evaluate_zero_shot(
    data: str | Path,
    *,
    label_column: str,
    model: Model = DEFAULT_MODEL,
    label_ids_column: str | None = None,
    labels_file: str | Path | None = None,
    profiles: str | Path | None = None,
    alpha: float | None = None,
    seed: int = 0,
    device: str | None = None,
    dtype: str = "float32",
    **reading: Any,
) -> dict[str, Any]:
    """Name the cells of a data set with known types and measure it.

    In the same run: similarity only (alpha 1), match only (alpha 0), every alpha between in steps of 0.1, the majority
    class and, given a file of profiles, the nearest profile. Cells without a label are left out and counted. A cell
    without any known gene is "unassigned", which is wrong.

    Args:
        data: h5ad file or zarr folder.
        label_column: column of obs with the types.
        model: folder, Hub id, "langcell-mini", or what `langcell.load` returned.
        label_ids_column: column of obs with the ontology id of each type, which gives the texts.
        labels_file: labels with texts; has to name every type in the column.
        profiles: h5ad file of mean expression profiles for the nearest-profile baseline.
        alpha: weight of the similarity; the model's own when None.
        seed: of the bootstrap behind the standard deviations.
        device: "cpu", "cuda", ...; the best one here when None.
        dtype: "float32", "bfloat16" or "float16".
        reading: fields of `ReadingOptions`: x_is, gene_column, layer, rows_per_chunk, max_batch_tokens, progress.

    Returns:
        The report, ready for JSON and `report.write_report`: task, model, data, labels, alpha, seed, methods (name to
        what `score_predictions` returns), alpha_sweep, seconds, cells_per_second, versions.

    Raises:
        ValueError: unusable data, labels, profiles, model or options.
    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; legal are 0 (match only) to 1 (similarity only).")
    source_options = {name: reading[name] for name in ("x_is", "gene_column", "layer") if name in reading}
    columns = {"label_column": label_column, "label_ids_column": label_ids_column}
    labelled = read_labelled_cells(data, **columns, labels_file=labels_file, **source_options)
    baseline = None if profiles is None else _nearest_profile(data, profiles, labelled, source_options)
    loaded = model if isinstance(model, LoadedLangCell) else load(model, device=device, dtype=dtype)
    alpha = loaded.config.alpha if alpha is None else alpha
    started = time.perf_counter()
    scored = score_data(data, labelled.labels, loaded=loaded, **reading)
    seconds = time.perf_counter() - started

    def measure(predicted: np.ndarray) -> dict[str, Any]:
        return score_predictions(labelled.truth[labelled.has_label], predicted, labelled.names, seed=seed)

    measured = {value: measure(_predicted(scored, labelled, value)) for value in sorted({*ALPHAS, alpha})}
    methods = {
        MODEL_METHOD: measured[alpha],
        "similarity only": measured[1.0],
        "match only": measured[0.0],
        "majority class": measure(_majority(labelled)),
    }
    if baseline is not None:
        facts, predicted = baseline
        methods["nearest profile"] = measure(predicted) | facts
    return {
        "task": TASK,
        "model": _model_facts(scored, loaded),
        "data": _data_facts(data, labelled, scored) | columns,
        "labels": _label_facts(labelled),
        "alpha": float(alpha),
        "seed": seed,
        "methods": methods,
        "alpha_sweep": [_summary(value, measured[value]) for value in ALPHAS],
        "seconds": seconds,
        "cells_per_second": len(labelled.truth) / seconds,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    }


def _predicted(scored: ScoredCells, labelled: LabelledCells, alpha: float) -> np.ndarray:
    """Label of each labelled cell at `alpha`; len(labels) where the cell has no known gene."""
    score = combine_scores(torch.from_numpy(scored.similarity), torch.from_numpy(scored.match), alpha=alpha)
    best = np.where(scored.known, score.numpy().argmax(1), len(labelled.labels))
    return best[labelled.has_label]


def _majority(labelled: LabelledCells) -> np.ndarray:
    """The most frequent type for every cell; of equals the first in order."""
    truth = labelled.truth[labelled.has_label]
    return np.full_like(truth, np.bincount(truth).argmax())


def _nearest_profile(
    data: str | Path, path: str | Path, labelled: LabelledCells, source_options: dict[str, Any]
) -> tuple[dict[str, Any], np.ndarray]:
    """What the JSON says of the baseline, and its predictions."""
    type_ids = [label.ontology_term_id for label in labelled.labels]
    result = name_by_nearest_profile(data, read_profiles(path), type_ids, cells=labelled.has_label, **source_options)
    facts = {
        "profiles_file": Path(path).name,
        "profiles_sha256": _digest(path),
        "shared_genes": result.n_shared_genes,
        "genes_read": result.n_genes,
        "types_without_profile": result.types_without_profile,
    }
    return facts, result.predicted


def _summary(alpha: float, measured: dict[str, Any]) -> dict[str, float]:
    return {"alpha": alpha, **{name: measured[name] for name in ("accuracy", "macro_f1", "weighted_f1")}}


def _model_facts(scored: ScoredCells, loaded: LoadedLangCell) -> dict[str, Any]:
    names = {"id": "model_id", "revision": "model_revision", "vocabulary_fingerprint": "vocabulary_fingerprint"}
    facts = {name: scored.settings[key] for name, key in names.items()}
    return {**facts, "device": str(loaded.model.device), "dtype": str(loaded.model.dtype).removeprefix("torch.")}


def _data_facts(data: str | Path, labelled: LabelledCells, scored: ScoredCells) -> dict[str, Any]:
    n_labelled = int(labelled.has_label.sum())
    return {
        "file": Path(data).name,
        "sha256": _digest(data),
        "cells": len(labelled.truth),
        "labelled_cells": n_labelled,
        "left_out_without_label": len(labelled.truth) - n_labelled,
        "without_known_gene": scored.coverage.unknown_cells,
        **{key: scored.settings[key] for key in ("x_is", "values_from", "gene_coverage", "count_coverage")},
    }


def _label_facts(labelled: LabelledCells) -> list[dict[str, Any]]:
    support = np.bincount(labelled.truth[labelled.has_label], minlength=len(labelled.labels))
    return [
        {
            "name": label.name,
            "text": label.text,
            "ontology_term_id": label.ontology_term_id,
            "match": label.match,
            "support": int(cells),
        }
        for label, cells in zip(labelled.labels, support, strict=True)
    ]


def _digest(path: str | Path) -> str | None:
    """sha256 of a file; a zarr folder has none."""
    return sha256_of(path) if Path(path).is_file() else None
