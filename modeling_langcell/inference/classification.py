"""Naming cells with a classification head, for models that were fine-tuned with the task "classification"."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor
from transformers import AutoConfig

from langcell.inference.naming.label_counts import LabelCounts, count_labels
from langcell.inference.naming.name_cells import UNASSIGNED
from langcell.inference.running.cell_run import InferenceRun, run_in_memory
from langcell.inference.running.job import InferenceJob, dtype_of, settings
from langcell.inference.running.options import ReadingOptions, WritingOptions
from langcell.loading.adapter_files import find_adapter
from langcell.loading.load import as_dtype, choose_device, placed_copy, read_model, require_weights, with_adapter
from langcell.loading.options import AUTO_DTYPE, ClassifierOptions
from langcell.modeling_langcell import LangCellForCellClassification
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.options import from_keywords, takes
from langcell.processing.processing_langcell import LangCellProcessor


@dataclass(frozen=True)
class LoadedClassifier:
    """A classifier that is ready to name cells; the attributes are those of `LoadedLangCell`."""

    model: LangCellForCellClassification
    processor: LangCellProcessor
    model_id: str
    revision: str

    @property
    def names(self) -> list[str]:
        """Names of the classes, in the order of the scores."""
        id2label = cast(dict[int, str], self.model.config.id2label)
        return [id2label[i] for i in range(len(id2label))]

    def with_options(self, *, dtype: str, device: str | None) -> "LoadedClassifier":
        """Return the classifier as it was asked for, see `LoadedLangCell.with_options`; a copy is cast at once."""
        model = placed_copy(self.model, dtype=dtype, device=device)
        return replace(self, model=model if dtype == AUTO_DTYPE else model.to(dtype=as_dtype(dtype)))

    @property
    def ontology_term_ids(self) -> list[str]:
        """Ontology id of each class, "" where none is known."""
        facts = getattr(self.model.config, "fine_tuning", None) or {}
        known = {label["name"]: label["ontology_term_id"] for label in facts.get("labels", [])}
        return [known.get(name) or "" for name in self.names]


@dataclass(frozen=True)
class ClassifiedCells:
    """What a classifier says of cells.

    Attributes:
        scores: float32, (cells, classes); each row sums to 1, NaN for a cell without a known gene.
        settings: what goes into uns["langcell"] on model and data.
    """

    scores: np.ndarray
    settings: dict[str, Any]


def load_classifier(
    model: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    revision: str | None = None,
    adapter_revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
) -> LoadedClassifier:
    """Load a fine-tuned classifier: a complete folder, or a base model with an adapter.

    Args and errors are those of `langcell.load`, but for the kind of model: here one without a classification head is
    refused, and there is no default without an adapter.
    """
    chosen_device = choose_device(device)
    torch_dtype = as_dtype(dtype, chosen_device)
    if adapter is None:
        if model is None:
            raise ValueError("There is no model; name a classifier (--model), or an adapter (--adapter) of one.")
        of_kind = {"kind": "classification", "revision": revision}
        loaded = read_model(LangCellForCellClassification, model, **of_kind, dtype=torch_dtype)
        require_weights(model, _below_head(loaded.missing))
        if loaded.missing:
            raise ValueError(
                f"{model} has no classification head ({loaded.missing[0]} is missing); make one with "
                "langcell finetune --task classification, or name cells by text with langcell annotate."
            )
    else:
        found = find_adapter(adapter, revision=adapter_revision)
        found.check_task("classification")
        # As many classes as the adapter has, and otherwise the base's own configuration.
        config = AutoConfig.from_pretrained(found.folder)
        of_base = {"kind": None, "revision": revision, "config": config}
        place = found.base if model is None else model
        base = read_model(LangCellForCellClassification, place, **of_base, dtype=torch.float32)
        require_weights(place, _below_head(base.missing))
        loaded = with_adapter(base, found, task="classification")
    if loaded.model.config.problem_type not in (None, "single_label_classification") or loaded.model.num_labels == 1:
        raise ValueError(
            f"{loaded.model_id} gives no class for each cell (problem_type {loaded.model.config.problem_type!r}, "
            f"{loaded.model.num_labels} labels); call it by transformers: its logits are the answer."
        )
    placed = loaded.model.to(device=chosen_device, dtype=torch_dtype)
    return LoadedClassifier(placed, loaded.processor, loaded.model_id, loaded.revision)


def _below_head(missing: Sequence[str]) -> list[str]:
    """Return the missing weights that are none of the head, which an adapter brings along."""
    return [name for name in missing if not name.startswith("classifier.")]


@takes(ClassifierOptions, ReadingOptions, WritingOptions)
def classify(
    adata: AnnData | str | Path, *, output: str | Path | None = None, dtype: str | None = None, **options: Any
) -> AnnData | None:
    """Name each cell by the class that a fine-tuned classification head prefers.

    Args:
        adata: an AnnData (which gets the results) or the path of an h5ad or zarr file (read in chunks, resumable).
        output: h5ad or zarr file to write; required for a path.
        dtype: "float32", "bfloat16", "float16" or "auto"; when None float32, or a loaded classifier's own.
        {options}

    Returns:
        The AnnData with what `annotate` writes, without embeddings: obs `langcell_label`,
        `langcell_ontology_term_id`, `langcell_confidence`, obsm `langcell_scores` (one column a class) and
        uns["langcell"]; None when a path was given.

    Raises:
        ValueError: unusable cells, model or options, or an output that is the input; nothing is written then.
        TypeError: an option that does not exist.
    """
    groups = (ClassifierOptions, ReadingOptions, WritingOptions)
    given = {**options, "dtype": dtype or dtype_of(options.get("model"))}
    model, reading, writing = from_keywords(given, *groups, function="classify")
    how = {"device": model.device, "dtype": model.dtype, "drop_unwritable": writing.drop_unwritable}
    job = InferenceJob(adata, output, options=reading, **how)
    run_classification(job, model.model, model.adapter)
    return adata if isinstance(adata, AnnData) else None


def run_classification(
    job: InferenceJob, model: str | Path | LoadedClassifier | None, adapter: str | Path | None = None
) -> LabelCounts:
    """Do what `classify` describes, and count the cells of each class; the job's own model is not looked at."""
    job.check()
    loaded = (
        model.with_options(dtype=job.dtype, device=job.device)
        if isinstance(model, LoadedClassifier)
        else load_classifier(model, adapter=adapter, device=job.device, dtype=job.dtype)
    )
    with ExitStack() as stack:
        source = stack.enter_context(open_cells(job.data, **job.options.source))
        run = _run(source, loaded, job.options)
        arguments = {"command": "classify", "labels": loaded.names}
        finished = stack.enter_context(job.finished(run, arguments))
        assert finished is not None, "one process has all cells"
        scores = _join(finished.parts)
        uns = {**settings(run, finished.coverage), "labels": loaded.names, "task": "classification"}
        uns["label_ontology_term_ids"] = loaded.ontology_term_ids
        columns = _columns(scores, loaded)
        job.store(source, columns, {"langcell_scores": scores}, uns)
    named = columns["langcell_label"]
    counted = {"names": list(named.categories), "labels": loaded.names}
    return count_labels(named.codes, columns["langcell_confidence"], **counted)


def classify_cells(adata: AnnData | str | Path, *, loaded: LoadedClassifier, **reading: Any) -> ClassifiedCells:
    """Return the scores of all cells; writes nothing. Args and errors are those of `classify`."""
    options = ReadingOptions(**reading)
    with open_cells(adata, **options.source) as source:
        run = _run(source, loaded, options)
        finished = run_in_memory(run)
        return ClassifiedCells(_join(finished.parts), settings(run, finished.coverage))


def _run(source: Any, loaded: LoadedClassifier, options: ReadingOptions) -> InferenceRun:
    return InferenceRun(source, loaded, options, partial(_probabilities, loaded.model), ("scores",), "classifying")


@torch.inference_mode()
def _probabilities(
    model: LangCellForCellClassification, cell_input_ids: Tensor, cell_attention_mask: Tensor
) -> tuple[Tensor, ...]:
    return (model(cell_input_ids, cell_attention_mask, return_dict=True).logits.float().softmax(-1),)


def _join(parts: Any) -> np.ndarray:
    """Return the scores of all cells, NaN where no gene is known."""
    blocks = [np.where(known[:, None], scores, np.float32(np.nan)) for scores, known in parts.read("scores", "known")]
    return np.concatenate(blocks)


def _columns(scores: np.ndarray, loaded: LoadedClassifier) -> dict[str, Any]:
    """Columns of obs; cells without a known gene are unassigned."""
    known, names = ~np.isnan(scores[:, 0]), loaded.names
    best = np.where(known, np.nan_to_num(scores).argmax(axis=1), len(names))
    term_ids = np.array([*loaded.ontology_term_ids, ""], dtype=object)
    return {
        "langcell_label": pd.Categorical.from_codes(best, [*names, UNASSIGNED]),
        "langcell_ontology_term_id": pd.Categorical(term_ids[best]),
        "langcell_confidence": np.where(known, np.nan_to_num(scores).max(axis=1), 0.0).astype(np.float32),
    }
