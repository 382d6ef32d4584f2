"""`langcell evaluate all`: every task that a file's columns allow, in one report (Markdown and HTML)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.ontology.unknown_values import says_nothing
from langcell.training.evaluation.inputs.cells_in_memory import source_options
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.registry import TASKS
from langcell.training.evaluation.reports.chance import HEADING
from langcell.training.evaluation.reports.pages import Chapter, Section, Table, html_page, page
from langcell.training.evaluation.reports.report import summary_table, write_text
from langcell.training.evaluation.runner import TaskOutcome, check_folder, check_results, run_task

REPORT = "report"
# Where files keep what the tasks need, the first that a file has; CELLxGENE's names, then what others use.
LABEL_COLUMNS = ("cell_type", "celltype", "CellType", "cell_ontology_class")
BATCH_COLUMNS = ("batch", "donor_id", "sample_id", "sample", "donor")
DISEASE_COLUMNS = ("disease", "disease_subtype")


@dataclass(frozen=True)
class FoundColumns:
    """Which column holds what; None where the file has no such column.

    Attributes:
        label: the types.
        batch: the batches.
        disease: the diseases, or their subtypes.
    """

    label: str | None = None
    batch: str | None = None
    disease: str | None = None


@dataclass(frozen=True)
class Plan:
    """A task that can be run, or why it cannot.

    Attributes:
        task: its name.
        options: the task's own options.
        label_column: the column that it takes labels from.
        why_not: what is missing; "" for a task that can be run.
    """

    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label_column: str | None = None
    why_not: str = ""


@dataclass(frozen=True)
class SuiteOutcome:
    """Results of `evaluate_all`.

    Attributes:
        outcomes: task -> its outcome.
        skipped: task -> why it was not run.
        files: the report's files.
    """

    outcomes: dict[str, TaskOutcome]
    skipped: dict[str, str]
    files: list[Path]


def find_columns(obs: pd.DataFrame, given: FoundColumns) -> FoundColumns:
    """Return the columns that were named, and for the others the first known name whose column has two values or more.

    A column of ontology ids is never looked for; see `label_reading`.

    >>> obs = pd.DataFrame({"cell_type": ["B", "T"], "batch": ["1", "1"]})
    >>> find_columns(obs, FoundColumns())
    FoundColumns(label='cell_type', batch=None, disease=None)
    """
    return FoundColumns(
        label=given.label or _first(obs, LABEL_COLUMNS),
        batch=given.batch or _first(obs, BATCH_COLUMNS),
        disease=given.disease or _first(obs, DISEASE_COLUMNS),
    )


def make_plans(columns: FoundColumns, options: Mapping[str, Any]) -> list[Plan]:
    """Return what can be run with these columns and options, in the order of `tasks.TASKS`.

    Args:
        columns: see `find_columns`.
        options: options of any of the tasks; each task takes those that it has, and `repeats` only where a repeat is
            more than a draw of the cells.
    """
    plans = []
    for task in TASKS.values():
        taken = task.options.keys() - ({"repeats"} if task.draws_cells_alone else set())
        own = {name: value for name, value in options.items() if name in taken and value is not None}
        label = columns.disease if task.name == "disease" else columns.label
        why_not = ""
        if task.needs_labels and label is None:
            wanted = "--disease-column" if task.name == "disease" else "--label-column"
            why_not = f"no column with two {'diseases' if task.name == 'disease' else 'types'} or more ({wanted})"
        elif task.name == "integration":
            own |= {"batch_column": columns.batch}
            why_not = "" if columns.batch else "no column with two batches or more (--batch-column)"
        elif task.name == "pathways" and "gene_sets" not in own:
            why_not = "no file of gene sets (--gene-sets)"
        plans.append(Plan(task.name, own, label if task.needs_labels else None, why_not))
    return plans


def evaluate_all(
    context: EvaluationContext,
    output: str | Path,
    *,
    batch_column: str | None = None,
    disease_column: str | None = None,
    disease_labels_file: str | Path | None = None,
    use_cache: bool = True,
    **options: Any,
) -> SuiteOutcome:
    """Run what the file allows and write one report; a task that cannot be run is named there with the reason.

    Args:
        context: data and model; its label column is looked for under known names where it has none.
        output: folder for the files of all tasks, report.md and report.html.
        batch_column: column of obs with the batches; looked for when None.
        disease_column: column of obs with the diseases; looked for when None.
        disease_labels_file: texts of the diseases.
        use_cache: take kept results.
        options: options of the tasks, by name; None counts as not given. `repeats` is for the tasks in which a repeat
            is more than a draw of the cells; the others keep their number of draws.

    Raises:
        ValueError: unusable data or model, a folder with other results, or no task can be run.
    """
    folder = check_folder(output)
    with open_cells(context.data, **source_options(context.reading)) as source:
        obs = source.obs
    check_results(folder, context)
    columns = find_columns(obs, FoundColumns(context.label_column, batch_column, disease_column))
    context.label_column = columns.label
    outcomes: dict[str, TaskOutcome] = {}
    skipped: dict[str, str] = {}
    for plan in make_plans(columns, options):
        if plan.why_not:
            skipped[plan.task] = plan.why_not
            continue
        chosen = context if plan.task != "disease" else _for_disease(context, plan.label_column, disease_labels_file)
        try:
            outcomes[plan.task] = run_task(plan.task, chosen, folder, use_cache=use_cache, **plan.options)
        except ValueError as error:  # what one task cannot use is no reason to lose the others
            skipped[plan.task] = " ".join(str(error).split())
    if not outcomes:
        raise ValueError("No task can be run: " + "; ".join(f"{task}: {reason}" for task, reason in skipped.items()))
    return SuiteOutcome(outcomes, skipped, _write_suite(context, outcomes, skipped, folder))


def _first(obs: pd.DataFrame, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in obs.columns and _n_values(obs[name]) >= 2), None)


def _n_values(values: Any) -> int:
    return len({str(value).strip().lower() for value in pd.Series(values).unique() if not says_nothing(value)})


def _for_disease(context: EvaluationContext, column: str | None, labels_file: str | Path | None) -> EvaluationContext:
    """Return the same cells and model with the diseases as labels; what is already computed of the cells is shared."""
    return context.with_labels(label_column=column, label_ids_column=None, labels_file=labels_file)


def _write_suite(
    context: EvaluationContext, outcomes: Mapping[str, TaskOutcome], skipped: Mapping[str, str], output: Path
) -> list[Path]:
    model = next(iter(outcomes.values())).report["model"]
    title = f"Evaluation of {model['id']} on {context.data.name}"
    overview = _overview(title, model["revision"], outcomes, skipped)
    pictures = {name: [f for f in outcome.files if f.endswith(".png")] for name, outcome in outcomes.items()}
    parts = [page(overview)]
    parts += [page(outcome.sections, pictures[name], level=2) for name, outcome in outcomes.items()]
    chapters = [
        Chapter(name, outcome.sections, [output / picture for picture in pictures[name]])
        for name, outcome in outcomes.items()
    ]
    files = [output / f"{REPORT}.md", output / f"{REPORT}.html"]
    write_text(files[0], "\n".join(parts))
    write_text(files[1], html_page(title, overview, chapters))
    return files


def _overview(
    title: str, revision: str, outcomes: Mapping[str, TaskOutcome], skipped: Mapping[str, str]
) -> list[Section]:
    """Return every task's methods side by side, what is not better than chance, and what was not run."""
    text = (
        f"Model revision {revision}. Each table has a task's methods, the model's own first, then what stands beside "
        "it; the best is bold. Of ECE, risk-coverage and ontology distance less is better."
    )
    sections = [Section(title, text)]
    for task, outcome in outcomes.items():
        sections.append(Section("", table=summary_table(task, outcome.report["methods"], first=task)))
    below = [
        (task, section.text)
        for task, outcome in outcomes.items()
        for section in outcome.sections
        if section.title == HEADING
    ]
    for heading, rows, head in ((HEADING, below, "what"), ("Not run", list(skipped.items()), "why")):
        if rows:
            sections.append(Section(heading, table=Table(("task", head), rows, left=2)))
    return sections
