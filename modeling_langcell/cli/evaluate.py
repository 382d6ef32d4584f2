"""`langcell evaluate TASK`: a model measured on cells with known types; the tasks are those of `evaluation.tasks`."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from langcell.cli.command_line import CommandLine
from langcell.cli.options import Command, LabelledCells, all_optional, cli_fields
from langcell.training.evaluation.options import (
    COMMON,
    ExpectationOptions,
    OptionalLabelOptions,
    SuiteOptions,
)
from langcell.training.evaluation.registry import TASKS, Task
from langcell.training.labelled.options import LabelColumnOptions

_ALL = """Run every task that the columns of the file allow, and write one report (report.md, report.html).

Columns that are not named are looked for under the names that files use (cell_type, batch, disease, ...). Ontology ids
are read from --label-ids-column alone, as in each task. --repeats is for the tasks that train or draw; zero-shot,
disease and retrieval keep their 200 draws of the cells. The report says what is left out, and why.
"""
Results = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")]
Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Take a kept result of the same model, data and options.")
]


def evaluation() -> CommandLine:
    """Return the group `evaluate` with a command per task."""
    group = CommandLine("Measure a model on cells with known types.")
    for task in TASKS.values():
        group.add(_command(_task_runner(task), _groups_of(task), task.summary), task.name)
    every = all_optional("TaskOptions", *(task.option_group for task in TASKS.values()))
    group.add(_command(_run_all, (*_COMMON_OF_ALL, every, SuiteOptions), _ALL), "all")
    return group


_COMMON_OF_ALL = (OptionalLabelOptions, *COMMON)


def _groups_of(task: Task) -> tuple[type, ...]:
    labels = (LabelColumnOptions,) if task.needs_labels else ()
    expectation = (ExpectationOptions,) if task.name == "zero-shot" else ()
    return (*labels, task.option_group, *COMMON, *expectation)


def _command(run: Callable[..., None], groups: tuple[type, ...], doc: str) -> Command:
    """Return a command that takes groups of options and calls `run` with all of them as keywords."""

    def command(data: LabelledCells, output: Results = Path("results"), cache: Cache = True, **options: Any) -> None:
        given = {one.name: getattr(group, one.name) for group in options.values() for one in cli_fields(type(group))}
        run(data=data, output=output, cache=cache, **given)

    described: Any = command
    described.__doc__ = doc
    explicit = list(inspect.signature(command).parameters.values())[:-1]
    of_groups = [
        inspect.Parameter(f"group_{i}", inspect.Parameter.KEYWORD_ONLY, annotation=group)
        for i, group in enumerate(groups)
    ]
    described.__signature__ = inspect.Signature([*explicit, *of_groups])
    return command


def _task_runner(task: Task) -> Callable[..., None]:
    def run(**options: Any) -> None:
        _run_task(task.name, **options)

    return run


def _run_task(task: str, *, data: Path, output: Path, cache: bool, **options: Any) -> None:
    """Run one task, write its files and print its table."""
    from langcell.training.evaluation.inputs.inputs import EvaluationInputs
    from langcell.training.evaluation.reports.report import Expectation
    from langcell.training.evaluation.runner import check_folder, run_task

    # What can be refused is refused before the cells are read.
    expected, tolerance = options.pop("expect_accuracy", None), options.pop("tolerance", None)
    expectation = None if expected is None else Expectation(expected, float(tolerance or 0))
    check_folder(output)
    inputs = EvaluationInputs(data, **_for_inputs(options))
    with _each_line_once() as said:
        outcome = run_task(task, inputs, output, use_cache=cache, **_for_task(options))
        _print(outcome, output, said)
    if expectation is not None:
        print(expectation.check(outcome.report))


def _run_all(*, data: Path, output: Path, cache: bool, **options: Any) -> None:
    """Run what the file allows; print the result of each task."""
    from langcell.training.evaluation.inputs.context import EvaluationContext
    from langcell.training.evaluation.suite import evaluate_all

    context = EvaluationContext(data, **_for_inputs(options))
    with _each_line_once() as said:
        suite = evaluate_all(context, output, use_cache=cache, **_for_task(options))
        for outcome in suite.outcomes.values():
            _print(outcome, output, said)
    for task, reason in suite.skipped.items():
        print(f"Not run: {task}: {reason}")
    print(f"Wrote {' and '.join(path.name for path in suite.files)} into {output}/")


_OF_INPUTS = frozenset(one.name for group in _COMMON_OF_ALL for one in fields(group))


def _for_inputs(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in _OF_INPUTS}


def _for_task(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is left for the task itself; lists are written with commas."""
    own = {name: value for name, value in options.items() if name not in _OF_INPUTS}
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
        """Return whether the record's line is new."""
        return self.is_new(record.getMessage())

    def is_new(self, line: str) -> bool:
        """Return whether nobody said the line before; now somebody has."""
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
        fields = ("name", "text", "ontology_term_id", "match", "remark")
        labels = [Label(**{field: label.get(field) for field in fields}) for label in report["labels"]]
        for note in label_notes(labels, searched=report["data"]["names_searched_in"]):
            if said.is_new(note):
                print(note)
    print(methods_table(report))
    for section in outcome.sections:
        if section.title == HEADING:
            print(f"{HEADING}. {section.text}")
    if outcome.replaced:
        print(f"In place of an earlier {outcome.files[0]} (other options, or another version), kept in {output}/.cache")
    kept = " (the same question was asked before; --no-cache computes it again)" if outcome.was_kept else ""
    print(f"Wrote {', '.join(outcome.files)} into {output}/{kept}")
