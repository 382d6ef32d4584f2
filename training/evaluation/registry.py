"""The evaluation tasks: what each is called, what it needs of the data, and where its code is.

A task is a module with `run(context, **options) -> TaskResult`. To add one: write the module, name its headline
measures in `report.HEADLINES`, and add it here; the command line makes its command from this table.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from langcell.training.evaluation.options import (
    CELL_DRAWS,
    CalibrationTaskOptions,
    ClassificationOptions,
    DiseaseOptions,
    FewShotOptions,
    IntegrationOptions,
    NovelTypeOptions,
    PathwayOptions,
    RetrievalOptions,
    TaskOptions,
    ZeroShotOptions,
)

if TYPE_CHECKING:
    from langcell.training.evaluation.inputs.context import EvaluationContext
    from langcell.training.evaluation.reports.report import TaskResult

REQUIRED = "required"
"""Default of an option that has to be given."""


class TaskModule(Protocol):
    """What the module of a task has to have."""

    def run(self, context: "EvaluationContext", **options: Any) -> "TaskResult":
        """Measure the model of the context on its data."""
        ...


@dataclass(frozen=True)
class Task:
    """One task of `langcell evaluate`.

    Attributes:
        name: what the command and its files are called.
        summary: one line of help.
        module: last part of its module's name.
        option_group: dataclass of its own options, beyond those of the context.
        needs_labels: whether it needs a label column.
        files: options that are paths of files, which count by their contents.
        reads_texts: whether the texts of the labels count.

    A task of which a repeat is no more than another draw of the cells (`metrics.uncertainty`) has 200 of them; the
    others have few.
    """

    name: str
    summary: str
    module: str
    option_group: type[TaskOptions]
    needs_labels: bool = True
    files: tuple[str, ...] = ()
    reads_texts: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """Its own options and their defaults; REQUIRED where there is none."""
        return {one.name: REQUIRED if one.default is MISSING else one.default for one in fields(self.option_group)}

    @property
    def draws_cells_alone(self) -> bool:
        """Whether a repeat is only another draw of the cells, which costs nothing."""
        return self.options.get("repeats") == CELL_DRAWS

    def run(self, context: "EvaluationContext", **options: Any) -> "TaskResult":
        """Measure the model of the context; options not given have the defaults of the table.

        What every report has is added here: whether the model is better than chance, and what the labels were read as.

        Raises:
            ValueError: an option that the task does not have, or that it needs, or see the module.
        """
        if strange := sorted(options.keys() - self.options.keys()):
            raise ValueError(f"{self.name} has no option {strange[0]!r}; it has {sorted(self.options)}.")
        chosen = dict(self.options) | options
        if lacking := [name for name, value in chosen.items() if value == REQUIRED]:
            raise ValueError(f"{self.name} needs {lacking[0]} (--{lacking[0].replace('_', '-')}).")
        module: Any = import_module(f"langcell.training.evaluation.tasks.{self.module}")
        task: TaskModule = module
        return self._completed(task.run(context, **chosen))

    def _completed(self, result: "TaskResult") -> "TaskResult":
        from langcell.training.evaluation.reports.chance import chance_section, comparisons, facts
        from langcell.training.evaluation.reports.label_reading import label_section

        found = comparisons(result.report)
        first, *others = result.sections
        below = chance_section(self.name, found)
        sections = [
            first,
            *((below,) if below else ()),
            *others,
            label_section(result.report, reads_texts=self.reads_texts),
        ]
        return replace(result, report=result.report | {"chance": facts(found)}, sections=sections)


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task(
                "zero-shot",
                "Name cells by text, each alone and refined over the file, beside the majority and three rivals.",
                "zero_shot",
                ZeroShotOptions,
                files=("profiles",),
            ),
            Task(
                "few-shot",
                "Learn from K cells of each type, with and without training, beside regression and centroids.",
                "few_shot",
                FewShotOptions,
            ),
            Task(
                "novel-types",
                "Name types that were held out of training by their text, beside learning without text.",
                "novel_types",
                NovelTypeOptions,
            ),
            Task(
                "retrieval",
                "Find the text of each cell among all Cell Ontology terms, and the cells of each text.",
                "retrieval",
                RetrievalOptions,
            ),
            Task(
                "classification",
                "Fine-tune the cell encoder with a head on 2/3 of the cells, beside the same from random weights.",
                "classification",
                ClassificationOptions,
                reads_texts=False,
            ),
            Task(
                "disease",
                "Name disease subtypes, or any column with label texts, by text alone.",
                "disease",
                DiseaseOptions,
            ),
            Task(
                "integration",
                "Measure batch mixing and biology of the cell embeddings, beside PCA and Harmony (extra [eval]).",
                "integration",
                IntegrationOptions,
                reads_texts=False,
            ),
            Task(
                "pathways",
                "Read active gene sets from the embedding, beside the same encoder untrained.",
                "pathways",
                PathwayOptions,
                needs_labels=False,
                files=("gene_sets",),
                reads_texts=False,
            ),
            Task(
                "calibration",
                "Measure what a confidence is worth: calibration error, risk and coverage, threshold for --unknown.",
                "calibration",
                CalibrationTaskOptions,
            ),
        )
    }
)
