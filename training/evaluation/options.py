"""Options of `langcell evaluate`: those that all tasks share, and a group per task; imports no library."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from langcell.inference.running.options import ReadingOptions
from langcell.inference.scoring.legal_values import check_alpha, check_between
from langcell.loading.options import AdaptedModelOptions
from langcell.processing.options import option
from langcell.training.labelled.options import LabelColumnOptions

CELL_DRAWS = 200
"""Repeats of a task in which a repeat is no more than another draw of the cells (`metrics.uncertainty`)."""

_ALPHA = "Weight of the similarity in the score, 0 to 1; the model's own when not given."
_REPEATS = "Number of draws behind each standard deviation; one draw has none."


def check_repeats(repeats: int) -> int:
    """Return `repeats`, if it is legal.

    Raises:
        ValueError: it is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; give at least 1, and 2 or more for a standard deviation.")
    return repeats


@dataclass(frozen=True)
class EvaluatedModelOptions(AdaptedModelOptions):
    """The model that is measured; in float32, so that the numbers are the same on every device."""

    dtype: str = option("float32", "Number format: float32, bfloat16, float16, or auto.")


@dataclass(frozen=True)
class OptionalLabelOptions(LabelColumnOptions):
    """The column with the known types, for tasks that need none and for callers that look for it."""

    label_column: str | None = option(None, "Column of obs with the known types; looked for when not given.")


@dataclass(frozen=True)
class DrawOptions:
    """Which cells are measured."""

    panel: ClassVar[str] = "Draws"

    max_cells: int | None = option(None, "Largest number of cells to evaluate on, drawn at random; all when not given.")
    seed: int = option(0, "Random seed of all draws.")

    def __post_init__(self) -> None:
        if self.max_cells is not None and self.max_cells < 2:
            raise ValueError(f"max_cells is {self.max_cells}; give at least 2, or leave it out for all cells.")


COMMON: tuple[type, ...] = (EvaluatedModelOptions, DrawOptions, ReadingOptions)
"""Groups that every task takes."""


@dataclass(frozen=True)
class TaskOptions:
    """Options of a task; the base of the groups below."""

    panel: ClassVar[str] = "Task"

    def __post_init__(self) -> None:
        check_alpha(getattr(self, "alpha", None))
        check_repeats(getattr(self, "repeats", 1))
        for name in ("active_share", "target_risk"):
            check_between(name, getattr(self, name, None))


@dataclass(frozen=True)
class ZeroShotOptions(TaskOptions):
    """Options of zero-shot."""

    alpha: float | None = option(None, _ALPHA)
    ontology_root: str | None = option(
        None,
        "Cell Ontology id or name; candidates are the model's training types at or below this term, not the types of "
        "the file.",
    )
    tissue: str | None = option(
        None, "Tissue that the cells are from, such as pancreas; candidates are the model's training types of it."
    )
    profiles: str | Path | None = option(
        None,
        "h5ad file of mean expression profiles; it adds the nearest profile, marker genes, and logistic regression on "
        "cells simulated from the profiles.",
        cli_type=Path,
        show_default=False,
    )
    repeats: int = option(CELL_DRAWS, _REPEATS)


@dataclass(frozen=True)
class _TuningTaskOptions(TaskOptions):
    """Options of tasks that fine-tune."""

    repeats: int = option(3, _REPEATS)
    method: Literal["lora", "full", "head"] = option("lora", "Which weights fine-tuning trains.")
    steps: int | None = option(None, "Largest number of optimizer steps; as langcell finetune when not given.")


@dataclass(frozen=True)
class FewShotOptions(_TuningTaskOptions):
    """Options of few-shot."""

    shots: Sequence[int] = option(
        (1, 2, 5, 10, 20),
        "Numbers of labelled cells per type, with commas between them.",
        metavar="K,K,...",
        cli_type=str,
    )
    method: Literal["lora", "full", "head", "none"] = option(
        "lora", "Which weights fine-tuning trains; none leaves the fine-tuned model out."
    )


@dataclass(frozen=True)
class NovelTypeOptions(_TuningTaskOptions):
    """Options of novel-types."""

    held_out: str | Sequence[str] | None = option(
        None,
        'Types to hold out, "B cell,..."; a third of the types, drawn for each repeat, when not given.',
        cli_type=str,
    )
    cells_per_type: int = option(5, "Number of labelled cells per type that is not held out.")


@dataclass(frozen=True)
class RetrievalOptions(TaskOptions):
    """Options of retrieval."""

    candidates: Literal["ontology", "training"] = option(
        "ontology", "Texts to search in: those of all Cell Ontology terms, or of the model's training types."
    )
    repeats: int = option(CELL_DRAWS, _REPEATS)


@dataclass(frozen=True)
class ClassificationOptions(_TuningTaskOptions):
    """Options of classification."""

    method: Literal["lora", "full", "head"] = option("full", "Which weights fine-tuning trains.")


@dataclass(frozen=True)
class DiseaseOptions(TaskOptions):
    """Options of disease."""

    alpha: float | None = option(None, _ALPHA)
    repeats: int = option(CELL_DRAWS, _REPEATS)


@dataclass(frozen=True)
class IntegrationOptions(TaskOptions):
    """Options of integration."""

    batch_column: str = option(help="Column of obs with the batches.", show_default=False)
    repeats: int = option(3, _REPEATS)


@dataclass(frozen=True)
class PathwayOptions(TaskOptions):
    """Options of pathways."""

    gene_sets: str | Path = option(help="GMT file of gene sets.", cli_type=Path, show_default=False)
    active_share: float = option(0.25, "Share of the cells, 0 to 1, in which a gene set is called active.")
    repeats: int = option(3, _REPEATS)


@dataclass(frozen=True)
class CalibrationTaskOptions(TaskOptions):
    """Options of calibration."""

    alpha: float | None = option(None, _ALPHA)
    target_risk: float = option(0.1, "Largest share of wrong labels among the named cells, 0 to 1.")
    repeats: int = option(5, _REPEATS)


@dataclass(frozen=True)
class SuiteOptions:
    """Options of all tasks in one run, beside those of each task."""

    panel: ClassVar[str] = "Diseases"

    disease_column: str | None = option(None, "Column of obs with the diseases; looked for when not given.")
    disease_labels_file: str | Path | None = option(
        None, "File with the texts of the diseases: label<TAB>text.", cli_type=Path, show_default=False
    )


@dataclass(frozen=True)
class ExpectationOptions:
    """A number that the result is compared with."""

    panel: ClassVar[str] = "Expected result"

    expect_accuracy: float | None = option(None, "Expected accuracy; another one ends the command with exit code 2.")
    tolerance: float = option(0.005, "Largest difference from --expect-accuracy.")
