"""Running a task: its files written, and kept by content so that the same question is answered at once the next time.

A kept result is found by a key over the data's sha256, the model's and the adapter's files, the files named by options,
all options, and langcell's own code: whatever could change a number changes the key. Results are kept in `.cache/` of
the output folder, a folder for each, and can be deleted at any time.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langcell.processing.files.atomic_output import atomic_output
from langcell.training.evaluation.inputs.fingerprints import digest_of_code, digest_of_data, result_key
from langcell.training.evaluation.inputs.inputs import EvaluationInputs
from langcell.training.evaluation.registry import TASKS, Task
from langcell.training.evaluation.reports.pages import Section
from langcell.training.evaluation.reports.report import write_report

if TYPE_CHECKING:
    from langcell.training.evaluation.inputs.context import EvaluationContext

CACHE = ".cache"
_PAGE = "page.json"
# What changes only how fast the same numbers come, or how much is printed.
_NO_DIFFERENCE = ("progress", "max_batch_tokens", "rows_per_chunk")


@dataclass(frozen=True)
class TaskOutcome:
    """A task that was run, or found.

    Attributes:
        report: what the task measured; its JSON.
        sections: its page.
        files: names of its files in the output folder, JSON first, then Markdown, then pictures.
        was_kept: found in the cache.
        replaced: in place of the same task's files with other options, which are still in the cache.
    """

    report: dict[str, Any]
    sections: list[Section]
    files: list[str]
    was_kept: bool
    replaced: bool


def run_task(
    name: str, inputs: EvaluationInputs, output: str | Path, *, use_cache: bool = True, **options: Any
) -> TaskOutcome:
    """Run a task, or find its result, and write its files into `output`.

    Args:
        name: one of `tasks.TASKS`.
        inputs: data and model; an `EvaluationContext` keeps what is computed for the next task.
        output: folder, made where it does not exist.
        use_cache: take a kept result of the same question; a new one is kept either way.
        options: the task's own.

    Raises:
        ValueError: unknown task, `output` is no folder for these results (`check_folder`, `check_results`), or see the
            task.
        FileNotFoundError: there is no data file.
        OSError: `output` cannot be written.
    """
    if name not in TASKS:
        raise ValueError(f"Unknown task {name!r}; legal are {', '.join(TASKS)}.")
    task, output = TASKS[name], check_folder(output)
    before = check_results(output, inputs).get(name)
    kept = output / CACHE / (question := question_key(task, inputs, options))
    was_kept = use_cache and (kept / _PAGE).is_file()
    if not was_kept:
        result = task.run(_opened(inputs), **options)
        result.report["question"] = question
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(kept) as building:
            written = [path.name for path in write_report(result, building)]
            page = {"files": written, "sections": [section.to_dict() for section in result.sections]}
            (building / _PAGE).write_text(json.dumps(page, ensure_ascii=False), encoding="utf-8")
    page = json.loads((kept / _PAGE).read_text(encoding="utf-8"))
    for file in page["files"]:
        with atomic_output(output / file) as temporary:
            shutil.copyfile(kept / file, temporary)
    report = json.loads((kept / page["files"][0]).read_text(encoding="utf-8"))
    sections = [Section.from_dict(section) for section in page["sections"]]
    replaced = before is not None and before.get("question") != question
    return TaskOutcome(report, sections, page["files"], was_kept, replaced)


def check_folder(output: str | Path) -> Path:
    """Return `output` as a path, if results can go there.

    Raises:
        ValueError: it is a file.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder for the results (-o).")
    return output


def check_results(folder: Path, inputs: EvaluationInputs) -> dict[str, dict[str, Any]]:
    """Return the reports that lie in a folder, by task, if they are on the same data and model.

    Raises:
        ValueError: they are on others, which would be lost, or a file with the name of a report is none.
        FileNotFoundError: there is no data file.
    """
    found = {}
    for task in TASKS:
        if not (path := folder / f"{task}.json").is_file():
            continue
        digests = inputs.data_digest, inputs.model_digest
        try:
            report = found[task] = json.loads(path.read_text(encoding="utf-8"))
            data, model = report["data"], report["model"]
            on = f"{model['id']}, revision {model['revision']}, on {data['file']}"
            same_data, same_model = data["sha256"] == digests[0], model["digest"] == digests[1]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no report of this version of `langcell evaluate` and would be lost; name another folder "
                "(-o)."
            ) from error
        if not (same_data and same_model):
            # A folder's code counts as part of the model: an upgrade of langcell changes that of the bundled one.
            other = "another model, or of other files of this one," if same_data else "other data"
            raise ValueError(f"{folder} has results of {other} ({path.name}: {on}); name another folder (-o).")
    return found


def question_key(task: Task, inputs: EvaluationInputs, options: Mapping[str, Any]) -> str:
    """Name of the kept result of a task on these data with this model and these options.

    Raises:
        FileNotFoundError: there is no data file.
        ValueError: the model is no model.
    """
    chosen = dict(task.options) | dict(options)
    files = {name: digest_of_data(chosen[name]) for name in task.files if chosen[name] is not None}
    reading = {name: value for name, value in inputs.reading.items() if name not in _NO_DIFFERENCE}
    return result_key(
        task.name,
        data=[inputs.data.name, inputs.data_digest],
        model=[_name(inputs.model), inputs.model_digest],
        labels=None if inputs.labels_file is None else digest_of_data(inputs.labels_file),
        columns=[inputs.label_column, inputs.label_ids_column],
        # Another device or precision differs in the last digits, and the report says which it was.
        machine=[inputs.device, inputs.dtype],
        draws=[inputs.max_cells, inputs.seed],
        reading=reading,
        options={name: value for name, value in chosen.items() if name not in files},
        files=files,
        code=digest_of_code(),
    )


def _opened(inputs: EvaluationInputs) -> "EvaluationContext":
    from langcell.training.evaluation.inputs.context import (
        EvaluationContext,  # takes seconds, which a kept result need not
    )

    return inputs if isinstance(inputs, EvaluationContext) else EvaluationContext.of(inputs)


def _name(model: Any) -> str:
    return str(getattr(model, "model_id", model))
