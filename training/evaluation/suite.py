"""`langcell evaluate all`: every task that a file's columns allow, in one report (Markdown and HTML)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from langcell.processing.anndata_io import open_cells
from langcell.training.evaluation.cells_in_memory import source_options
from langcell.training.evaluation.context import EvaluationContext
from langcell.training.evaluation.labelled_cells import UNLABELLED
from langcell.training.evaluation.report import Section, Table, page, write_text
from langcell.training.evaluation.runner import Outcome, check_folder, run_task
from langcell.training.evaluation.tasks import TASKS

REPORT = "report"
# Where files keep what the tasks need, the first that a file has; CELLxGENE's names, then what others use.
LABEL_COLUMNS = ("cell_type", "celltype", "CellType", "cell_ontology_class")
LABEL_IDS_COLUMNS = ("cell_type_ontology_term_id", "cell_ontology_id", "cl_id")
BATCH_COLUMNS = ("batch", "donor_id", "sample_id", "sample", "donor")
DISEASE_COLUMNS = ("disease", "disease_subtype")


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None where the file has no such column.

    Attributes:
        label: the types.
        label_ids: their ontology ids.
        batch: the batches.
        disease: the diseases, or their subtypes.
    """

    label: str | None = None
    label_ids: str | None = None
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
    """What came of `evaluate_all`.

    Attributes:
        outcomes: task -> its outcome.
        skipped: task -> why it was not run.
        files: the report's files.
    """

    outcomes: dict[str, Outcome]
    skipped: dict[str, str]
    files: list[Path]


def find_columns(obs: pd.DataFrame, given: Columns) -> Columns:
    """The columns that were named, and for the others the first known name whose column has two values or more.

    A column of ontology ids that was not named is taken only if it gives each type one id, and each id to one type.

    >>> obs = pd.DataFrame({"cell_type": ["B", "T"], "batch": ["1", "1"]})
    >>> find_columns(obs, Columns())
    Columns(label='cell_type', label_ids=None, batch=None, disease=None)
    """
    label = given.label or _first(obs, LABEL_COLUMNS)
    return Columns(
        label=label,
        label_ids=given.label_ids or _ids_of(obs, label),
        batch=given.batch or _first(obs, BATCH_COLUMNS),
        disease=given.disease or _first(obs, DISEASE_COLUMNS),
    )


def make_plans(columns: Columns, options: Mapping[str, Any]) -> list[Plan]:
    """What can be run with these columns and options, in the order of `tasks.TASKS`.

    Args:
        columns: see `find_columns`.
        options: options of any of the tasks; each task takes those that it has.
    """
    plans = []
    for task in TASKS.values():
        own = {name: value for name, value in options.items() if name in task.options and value is not None}
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
        context: data and model; its label columns are looked for under known names where it has none.
        output: folder for the files of all tasks, report.md and report.html.
        batch_column: column of obs with the batches; looked for when None.
        disease_column: column of obs with the diseases; looked for when None.
        disease_labels_file: texts of the diseases.
        use_cache: take kept results.
        options: options of the tasks, by name; None counts as not given.

    Raises:
        ValueError: unusable data or model, or no task can be run.
    """
    folder = check_folder(output)
    with open_cells(context.data, **source_options(context.reading)) as source:
        obs = source.obs
    given = Columns(context.label_column, context.label_ids_column, batch_column, disease_column)
    columns = find_columns(obs, given)
    context.label_column, context.label_ids_column = columns.label, columns.label_ids
    outcomes: dict[str, Outcome] = {}
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


def _ids_of(obs: pd.DataFrame, label: str | None) -> str | None:
    """The first column of ids that belong to the labels one to one."""
    found = (name for name in LABEL_IDS_COLUMNS if name in obs.columns and _n_values(obs[name]) >= 2)
    for name in found if label in obs.columns else ():
        pairs: Any = obs[[label, name]].dropna().astype(str).drop_duplicates()
        if not (pairs.duplicated([label]).any() or pairs.duplicated([name]).any()):
            return name
    return None


def _n_values(values: Any) -> int:
    texts = {str(value).strip().lower() for value in pd.Series(values).dropna().unique()}
    return len(texts - set(UNLABELLED))


def _for_disease(context: EvaluationContext, column: str | None, labels_file: str | Path | None) -> EvaluationContext:
    """The same cells and model with the diseases as labels; what is already computed of the cells is shared."""
    return context.with_labels(label_column=column, label_ids_column=None, labels_file=labels_file)


def _write_suite(
    context: EvaluationContext, outcomes: Mapping[str, Outcome], skipped: Mapping[str, str], output: Path
) -> list[Path]:
    first = next(iter(outcomes.values())).report
    title = f"Evaluation of {first['model']['id']} on {context.data.name}"
    rows = list(_overview(outcomes))
    overview = [
        Section(title, f"Model revision {first['model']['revision']}.", Table(("task", "measured", "of"), rows))
    ]
    if skipped:
        left = Table(("not run", "why"), [(task, reason) for task, reason in skipped.items()])
        overview.append(Section("Not run", table=left))
    parts = [page(overview)]
    parts += [
        page(outcome.sections, [name for name in outcome.files if name.endswith(".png")], level=2)
        for outcome in outcomes.values()
    ]
    files = [output / f"{REPORT}.md", output / f"{REPORT}.html"]
    write_text(files[0], "\n".join(parts))
    write_text(files[1], _html(title, overview, outcomes))
    return files


def _overview(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, str, str]]:
    """Task, the headline measures of its first method, and the method's name."""
    for task, outcome in outcomes.items():
        table = next(section.table for section in outcome.sections if section.table is not None)
        measures = ", ".join(f"{name} {value}" for name, value in zip(table.head[1:], table.rows[0][1:], strict=True))
        yield task, measures, table.rows[0][0]


def _html(title: str, overview: Sequence[Section], outcomes: Mapping[str, Outcome]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    tasks = [
        {"name": name, "sections": outcome.sections, "pictures": [f for f in outcome.files if f.endswith(".png")]}
        for name, outcome in outcomes.items()
    ]
    return environment.get_template("report.html.jinja").render(title=title, overview=overview, tasks=tasks)
