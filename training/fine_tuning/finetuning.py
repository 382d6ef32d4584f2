"""Fine-tuning on labelled cells: `finetune`, from data and a model to a model that has learned the data's types."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from anndata import AnnData

from langcell.inference.running.options import ReadingOptions
from langcell.loading.load import LoadedLangCell, base_facts, load
from langcell.loading.options import PlacedModel
from langcell.modeling_langcell import LangCellForCellClassification
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.files.atomic_output import require_new_folder
from langcell.processing.labels.notes import label_notes
from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.processing.options import READ_FIELDS, from_keywords, takes
from langcell.training.fine_tuning.adapters import Adapter, count_trainable, mark_trainable
from langcell.training.fine_tuning.few_shot_data import RankedRows, choose_rows, hold_out
from langcell.training.fine_tuning.fine_tuned import FineTuned
from langcell.training.fine_tuning.held_out import LEAST_MEASURED, choose_held_out, measure_gain
from langcell.training.fine_tuning.label_learners import ClassLearner, TextLearner
from langcell.training.fine_tuning.label_training import train_on_labels
from langcell.training.fine_tuning.options import Method, Task, TuningOptions
from langcell.training.labelled.label_columns import check_label_column, column_in
from langcell.training.labelled.labelled_cells import LabelledCells, read_labelled_cells
from langcell.training.labelled.options import LabelColumnOptions

__all__ = ["FineTuned", "Method", "Task", "TuningOptions", "finetune"]

logger = logging.getLogger("langcell")


@takes(LabelColumnOptions, PlacedModel, TuningOptions, ReadingOptions)
def finetune(
    adata: AnnData | str | Path,
    *,
    output: str | Path | None = None,
    rows: Sequence[int] | np.ndarray | None = None,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> FineTuned:
    """Teach a model the types of a data set from labelled cells, of which a few are enough.

    Cells without a label (a missing value, "unknown", "unassigned") and cells without a known gene are left out and
    counted in the log. A type of a single cell is learned from that cell, in either task: it is never held out, and a
    warning names it. A `LoadedLangCell` that is given as the model is copied and stays as it was, so that one load
    serves many calls.

    Args:
        adata: AnnData, or path of an h5ad file or zarr folder.
        output: folder for the adapter (method "lora") or the model, written whole; nothing is written when None.
        rows: rows to choose among, such as a training split; all when None.
        accelerator: accelerator of a run on several processes, each of which calls this with the same arguments.
        {options}

    Returns:
        The model, and what it learned from.

    Raises:
        ValueError: unusable data, labels, model or options; nothing is written then.
        TypeError: an option that does not exist, or no label column.
        OSError: `output` cannot be written.
    """
    types, start, tuning, reading = from_keywords(
        options, LabelColumnOptions, PlacedModel, TuningOptions, ReadingOptions, function="finetune"
    )
    _check_output(output)
    source = {name: getattr(reading, name) for name in READ_FIELDS}
    check_label_column(adata, types.label_column, **source)
    base = _loaded(start, accelerator)
    columns = {"label_column": types.label_column, "label_ids_column": types.label_ids_column}
    labelled = _read_labels(adata, tuning.task, types.labels_file, columns | source)
    cells = _read_cells(adata, labelled, base, tuning, rows, source, where=column_in(adata, types.label_column))
    facts = {"data": "AnnData" if isinstance(adata, AnnData) else Path(adata).name, **columns}
    is_cautious = cells.validation is None and _are_cell_types(cells.labels)
    tuning = tuning.completed(len(cells.train), is_cautious=is_cautious)
    # The cells are named by the base as well, whose weights are trained in place.
    is_main = accelerator is None or accelerator.is_main_process
    untouched = _copy_to_compare(base, tuning, cells, labelled) if is_main else None
    tuned = _tune(base, cells, tuning, facts, accelerator)
    if untouched is not None:
        tuned = _measured(tuned, untouched, adata, labelled, cells, tuning, source)
    if output is not None:
        if is_main:
            tuned.save(output)
        if accelerator is not None:
            accelerator.wait_for_everyone()
    return tuned


@dataclass(frozen=True, eq=False)
class _ChosenCells:
    """Labels that have a training cell, and the cells; the codes of both sets are positions in `labels`."""

    labels: list[Label]
    train: RankedRows
    validation: RankedRows | None
    train_rows: np.ndarray
    validation_rows: np.ndarray


def _check_output(output: str | Path | None) -> None:
    """Refuse what could not be written before the work rather than after."""
    if output is None:
        return
    require_new_folder(output, "the adapter or the model")
    if not Path(output).absolute().parent.is_dir():
        raise ValueError(f"The folder of {output} does not exist; create it first.")


def _loaded(start: PlacedModel, accelerator: Accelerator | None) -> LoadedLangCell:
    """Return the model to start from, whose weights may change: loaded, or a copy of one that is loaded."""
    if isinstance(start.model, LoadedLangCell):
        return replace(start.model, model=copy.deepcopy(start.model.model).float())
    return load(start.model, device=start.device if accelerator is None else str(accelerator.device))


def _read_labels(
    adata: AnnData | str | Path, task: Task, labels_file: str | Path | None, options: dict[str, Any]
) -> LabelledCells:
    """Types of all cells, with texts; a classification head needs none, so its types may share one."""
    needs_texts = task == "text" or labels_file is not None or options["label_ids_column"] is not None
    labelled = read_labelled_cells(
        adata, labels_file=labels_file, resolve=resolve_labels if needs_texts else _names_alone, **options
    )
    without = int((~labelled.has_label).sum())
    if without:
        logger.info("%d of %d cells have no label and are left out.", without, len(labelled.truth))
    for note in label_notes(labelled.labels) if task == "text" else ():
        logger.info("%s.", note)
    return labelled


def _names_alone(names: Sequence[str]) -> list[Label]:
    return [Label(name, name) for name in names]


def _read_cells(
    adata: AnnData | str | Path,
    labelled: LabelledCells,
    base: LoadedLangCell,
    tuning: TuningOptions,
    rows: Sequence[int] | np.ndarray | None,
    source_options: dict[str, Any],
    *,
    where: str,
) -> _ChosenCells:
    """Choose cells, leave out those without a known gene, and set some aside for validation."""
    truth, names = labelled.truth, labelled.names
    chosen = choose_rows(truth, shots=tuning.shots, rows=rows, names=names, seed=tuning.seed, where=where)
    with open_cells(adata, **source_options) as source:
        ranked = RankedRows.read(source, chosen, truth[chosen], base.processor.feature_extractor)
    if not ranked.has_known_gene.all():
        logger.warning("%d chosen cells have no known gene and are left out.", int((~ranked.has_known_gene).sum()))
    usable = chosen[ranked.has_known_gene]
    if lost := sorted({names[code] for code in truth[chosen]} - {names[code] for code in truth[usable]}):
        raise ValueError(f"No chosen cell of {', '.join(map(repr, lost))} has a gene that the model knows.")
    train, validation = hold_out(truth, usable, share=tuning.validation_share, seed=tuning.seed)
    kept = np.unique(truth[train])
    code_of = np.full(len(names), -1)
    code_of[kept] = np.arange(len(kept))

    def part(part_rows: np.ndarray) -> RankedRows:
        return ranked.subset(np.searchsorted(chosen, part_rows), code_of[truth[part_rows]])

    return _ChosenCells(
        labels=[labelled.labels[code] for code in kept],
        train=part(train),
        validation=part(validation) if len(validation) else None,
        train_rows=train,
        validation_rows=validation,
    )


def _codes_of_learned(labelled: LabelledCells, cells: _ChosenCells) -> np.ndarray:
    """Return the position of each cell's type among the learned labels, -1 for all other cells, shape (cells,)."""
    place = {label.name: i for i, label in enumerate(cells.labels)}
    codes = np.array([*(place.get(name, -1) for name in labelled.names), -1])
    return codes[labelled.truth]


def _held_out_rows(labelled: LabelledCells, cells: _ChosenCells, tuning: TuningOptions) -> np.ndarray:
    """Return the rows to compare on: cells that were not chosen, or else those that were set aside for validation."""
    codes = _codes_of_learned(labelled, cells)
    seen = np.union1d(cells.train_rows, cells.validation_rows)
    rows = choose_held_out(codes, seen, most=tuning.held_out, seed=tuning.seed)
    return rows if len(rows) >= LEAST_MEASURED else cells.validation_rows[: tuning.held_out]


def _copy_to_compare(
    base: LoadedLangCell, tuning: TuningOptions, cells: _ChosenCells, labelled: LabelledCells
) -> LoadedLangCell | None:
    """Return the base as it was, to name held-out cells by; None where nothing is compared, which the log says."""
    if tuning.held_out == 0:
        return None
    if (n_cells := len(_held_out_rows(labelled, cells, tuning))) < LEAST_MEASURED:
        logger.info(
            "Whether it helps is not measured: %d labelled cells are left, and %d are needed. Choose fewer (shots), or "
            "hold some out (validation_share).",
            *(n_cells, LEAST_MEASURED),
        )
        return None
    return replace(base, model=copy.deepcopy(base.model))


def _measured(
    tuned: FineTuned,
    untouched: LoadedLangCell,
    adata: AnnData | str | Path,
    labelled: LabelledCells,
    cells: _ChosenCells,
    tuning: TuningOptions,
    source_options: dict[str, Any],
) -> FineTuned:
    """Return the result with what it comes to on held-out cells, which the log says, and the config keeps."""
    rows = _held_out_rows(labelled, cells, tuning)
    truth = np.full(len(labelled.truth), -1)
    truth[rows] = _codes_of_learned(labelled, cells)[rows]
    chose = bool(np.isin(rows, cells.validation_rows).any())
    how = {"base": untouched, "tuned": tuned.named_by, "source_options": source_options, "chose_the_step": chose}
    gain = measure_gain(adata, cells.labels, truth, **how)
    logger.info("%s", gain.sentence())
    tuned.config.fine_tuning["held_out"] = gain.record()
    return replace(tuned, gain=gain)


def _tune(
    base: LoadedLangCell,
    cells: _ChosenCells,
    tuning: TuningOptions,
    facts: dict[str, Any],
    accelerator: Accelerator | None,
) -> FineTuned:
    """Train, and take the result apart into a plain model and an adapter."""
    _record(base, cells, tuning, facts)
    cuda = [base.model.device] if base.model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(tuning.seed)
        model: Any = base.model if tuning.task == "text" else _classifier(base)
        wrapped = mark_trainable(model, tuning, base=base.model_id)
        learner = TextLearner(model, _tokens(base, cells.labels)) if tuning.task == "text" else ClassLearner(model)
        logger.info(
            "Fine-tuning %s on %d cells of %d types (%d for validation): %s of %s weights.",
            *(base.model_id, len(cells.train), len(cells.labels), len(cells.validation_rows)),
            *(f"{count_trainable(model):,}", f"{sum(weight.numel() for weight in model.parameters()):,}"),
        )
        has_reference = base.processor.feature_extractor.reference_cells is not None
        if tuning.task == "text" and has_reference and not base.config.fine_tuning["reference"]:
            logger.info(
                "At most half of the labels are terms of the Cell Ontology: the model will name cells without its "
                "reference cells. If the labels are types, say which (--label-ids-column, --labels-file)."
            )
        history = train_on_labels(learner, cells.train, cells.validation, tuning, accelerator=accelerator)
    adapter = None
    if wrapped is not None:
        adapter, model = Adapter.taken_from(wrapped), wrapped.merge_and_unload()
    model.eval().requires_grad_(True)  # as models are loaded
    return FineTuned(
        model=replace(base, model=model) if tuning.task == "text" else model,
        processor=base.processor,
        labels=cells.labels,
        train_rows=cells.train_rows,
        validation_rows=cells.validation_rows,
        history=history,
        adapter=adapter,
    )


def _classifier(base: LoadedLangCell) -> LangCellForCellClassification:
    """Return the base's cell encoder with a new head, one output for each label of the config."""
    classifier = LangCellForCellClassification(base.config)
    classifier.cell_encoder.load_state_dict(base.model.cell_encoder.state_dict())
    return classifier.to(base.model.device)  # pyright: ignore[reportArgumentType]  # decorated without its types


def _are_cell_types(labels: Sequence[Label]) -> bool:
    """Return whether more than half of the labels are terms of the Cell Ontology."""
    return 2 * sum((label.ontology_term_id or "").startswith("CL:") for label in labels) > len(labels)


def _tokens(base: LoadedLangCell, labels: Sequence[Label]) -> dict[str, torch.Tensor]:
    return dict(base.processor(text=[label.text for label in labels], return_tensors="pt").to(base.model.device))


def _record(base: LoadedLangCell, cells: _ChosenCells, tuning: TuningOptions, facts: dict[str, Any]) -> None:
    """Write labels and facts into the config, which goes where the weights go."""
    base.config.id2label = {i: label.name for i, label in enumerate(cells.labels)}
    base.config.label2id = {label.name: i for i, label in enumerate(cells.labels)}
    counts = np.bincount(cells.train.codes)
    base.config.fine_tuning = {
        "base": base_facts(base),
        "labels": [
            {"name": label.name, "text": label.text, "ontology_term_id": label.ontology_term_id, "cells": int(count)}
            for label, count in zip(cells.labels, counts, strict=True)
        ],
        # States, donors and cell lines are not what reference cells know.
        "reference": tuning.task == "text" and _are_cell_types(cells.labels),
        "cells": len(cells.train_rows),
        "validation_cells": len(cells.validation_rows),
        **facts,
        **{name: value for name, value in asdict(tuning).items() if name not in ("progress", "held_out")},
        "langcell_version": version("langcell"),
    }
