"""`langcell evaluate TASK`: a model measured on cells with known types; the tasks are those of `evaluation.tasks`."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from langcell.cli.evaluate_options import CONTEXT, LABELS, REQUIRED, RUNNING, SUBJECT, Command, with_options

_EXPECTATION = {"expect_accuracy": None, "tolerance": 0.005}
_ALL = """Run every task that the columns of the file allow, and write one report (report.md, report.html).

Columns that are not named are looked for under the names that files use (cell_type, batch, disease, ...), but for
ontology ids, which are read from --label-ids-column alone, as in each task. --repeats is for the tasks that train or
draw; zero-shot, disease and retrieval keep their 200 draws of the cells. What is left out, and why, stands in the
report.
"""


def register(app: typer.Typer, one_line_errors: Callable[[Command], Command]) -> None:
    """Add `evaluate` to `app`; `one_line_errors` turns what a user can mend into one line and exit code 2."""
    from langcell.training.evaluation.registry import TASKS

    group = typer.Typer(help="Measure a model on cells with known types.", no_args_is_help=True, rich_markup_mode=None)
    for task in TASKS.values():
        own = {name: _default(value) for name, value in task.options.items()}
        labels = LABELS if task.needs_labels else {}
        expectation = _EXPECTATION if task.name == "zero-shot" else {}
        command = with_options(
            _runner(task.name), {**SUBJECT, **labels, **own, **expectation, **RUNNING}, doc=task.summary
        )
        group.command(task.name)(one_line_errors(command))
    options = {name: None for task in TASKS.values() for name in task.options}
    labels = dict.fromkeys(LABELS)
    more = {"disease_column": None, "disease_labels_file": None}
    everything = with_options(_run_all, {**SUBJECT, **labels, **options, **more, **RUNNING}, doc=_ALL)
    group.command("all")(one_line_errors(everything))
    app.add_typer(group, name="evaluate")


def _default(value: Any) -> Any:
    """A task's default as the command line has it."""
    from langcell.training.evaluation.registry import REQUIRED as NEEDED

    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return REQUIRED if value == NEEDED else value


def _runner(task: str) -> Callable[..., None]:
    def run(**options: Any) -> None:
        _run_task(task, **options)

    return run


def _run_task(task: str, *, data: Path, output: Path, cache: bool, **options: Any) -> None:
    """Run one task, write its files and print its table."""
    from langcell.training.evaluation.inputs.inputs import Subject
    from langcell.training.evaluation.reports.report import Expectation
    from langcell.training.evaluation.runner import check_folder, run_task

    # What can be refused is refused before the cells are read.
    expected, tolerance = options.pop("expect_accuracy", None), options.pop("tolerance", None)
    expectation = None if expected is None else Expectation(expected, float(tolerance or 0))
    check_folder(output)
    subject = Subject(data, **_for_context(options))
    with _each_line_once() as said:
        outcome = run_task(task, subject, output, use_cache=cache, **_for_task(options))
        _print(outcome, output, said)
    if expectation is not None:
        print(expectation.check(outcome.report))


def _run_all(*, data: Path, output: Path, cache: bool, **options: Any) -> None:
    """Run what the file allows; print what came of each task."""
    from langcell.training.evaluation.inputs.context import EvaluationContext
    from langcell.training.evaluation.suite import evaluate_all

    context = EvaluationContext(data, **_for_context(options))
    with _each_line_once() as said:
        suite = evaluate_all(context, output, use_cache=cache, **_for_task(options))
        for outcome in suite.outcomes.values():
            _print(outcome, output, said)
    for task, reason in suite.skipped.items():
        print(f"Not run: {task}: {reason}")
    print(f"Wrote {' and '.join(path.name for path in suite.files)} into {output}/")


def _for_context(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in CONTEXT}


def _for_task(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is left for the task itself; lists are written with commas."""
    own = {name: value for name, value in options.items() if name not in CONTEXT}
    if isinstance(own.get("shots"), str):
        own["shots"] = _numbers(own["shots"])
    return own


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"--shots is {text!r}; give whole numbers with commas, such as 1,2,5.") from error


class _OnlyNew(logging.Filter):
    """Lets each line of the log through once; several models of one evaluation have the same to say of its data."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record's line is new."""
        return self.is_new(record.getMessage())

    def is_new(self, line: str) -> bool:
        """Whether nobody said the line before; now somebody has."""
        line = line.removesuffix(".")
        new = line not in self._said
        self._said.add(line)
        return new


@contextmanager
def _each_line_once() -> Iterator[_OnlyNew]:
    """Within it no line of langcell's log comes twice."""
    said, handlers = _OnlyNew(), list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(said)
    try:
        yield said
    finally:
        for handler in handlers:
            handler.removeFilter(said)


def _print(outcome: Any, output: Path, said: _OnlyNew) -> None:
    """The table of a `runner.Outcome`, what is no better than chance, and the names of its files."""
    from langcell.processing.labels.lookup import Label
    from langcell.processing.labels.notes import label_notes
    from langcell.training.evaluation.registry import TASKS
    from langcell.training.evaluation.reports.chance import HEADING
    from langcell.training.evaluation.reports.report import methods_table

    report = outcome.report
    if TASKS[report["task"]].reads_texts:
        fields = ("name", "text", "ontology_term_id", "match")
        labels = [Label(**{field: label[field] for field in fields}) for label in report["labels"]]
        for note in label_notes(labels, searched=report["data"]["names_searched_in"]):
            if said.is_new(note):
                print(note)
    print(methods_table(report))
    for section in outcome.sections:
        if section.title == HEADING:
            print(f"{HEADING}. {section.text}")
    if outcome.replaced:
        print(f"In place of an earlier {outcome.files[0]} (other options, or another version), kept in {output}/.cache")
    kept = " (the same question was asked before; --no-cache computes anew)" if outcome.was_kept else ""
    print(f"Wrote {', '.join(outcome.files)} into {output}/{kept}")
