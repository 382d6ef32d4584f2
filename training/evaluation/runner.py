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
from typing import Any

from langcell.processing.atomic_output import atomic_output
from langcell.training.evaluation.context import EvaluationContext
from langcell.training.evaluation.identity import digest_of_code, digest_of_data, digest_of_model, result_key
from langcell.training.evaluation.report import Section, Table, write_report
from langcell.training.evaluation.tasks import TASKS, Task

CACHE = ".cache"
_PAGE = "page.json"
# What changes only how fast the same numbers come, or how much is printed.
_NO_DIFFERENCE = ("progress", "max_batch_tokens", "rows_per_chunk")


@dataclass(frozen=True)
class Outcome:
    """A task that was run, or found.

    Attributes:
        report: what the task measured; its JSON.
        sections: its page.
        files: names of its files in the output folder, JSON first, then Markdown, then pictures.
        was_kept: found in the cache.
    """

    report: dict[str, Any]
    sections: list[Section]
    files: list[str]
    was_kept: bool


def run_task(
    name: str, context: EvaluationContext, output: str | Path, *, use_cache: bool = True, **options: Any
) -> Outcome:
    """Run a task, or find its result, and write its files into `output`.

    Args:
        name: one of `tasks.TASKS`.
        context: data and model.
        output: folder, made where it does not exist.
        use_cache: take a kept result of the same question; a new one is kept either way.
        options: the task's own.

    Raises:
        ValueError: unknown task, or see the task.
        OSError: `output` is a file or cannot be written.
    """
    if name not in TASKS:
        raise ValueError(f"Unknown task {name!r}; legal are {', '.join(TASKS)}.")
    task, output = TASKS[name], check_folder(output)
    kept = output / CACHE / question_key(task, context, options)
    was_kept = use_cache and (kept / _PAGE).is_file()
    if not was_kept:
        result = task.run(context, **options)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(kept) as building:
            written = [path.name for path in write_report(result, building)]
            page = {"files": written, "sections": [_section_to_dict(section) for section in result.sections]}
            (building / _PAGE).write_text(json.dumps(page, ensure_ascii=False), encoding="utf-8")
    page = json.loads((kept / _PAGE).read_text(encoding="utf-8"))
    for file in page["files"]:
        with atomic_output(output / file) as temporary:
            shutil.copyfile(kept / file, temporary)
    report = json.loads((kept / page["files"][0]).read_text(encoding="utf-8"))
    return Outcome(report, [_section_from_dict(section) for section in page["sections"]], page["files"], was_kept)


def check_folder(output: str | Path) -> Path:
    """`output` as a path, if results can go there.

    Raises:
        ValueError: it is a file.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder for the results (-o).")
    return output


def question_key(task: Task, context: EvaluationContext, options: Mapping[str, Any]) -> str:
    """Name of the kept result of a task on these data with this model and these options.

    Raises:
        FileNotFoundError: there is no data file.
        ValueError: the model is no model.
    """
    data = digest_of_data(context.data)
    if data is None:
        raise FileNotFoundError(f"{context.data}: no such file; give an h5ad file or a zarr folder.")
    chosen = dict(task.options) | dict(options)
    files = {name: digest_of_data(chosen[name]) for name in task.files if chosen[name] is not None}
    reading = {name: value for name, value in context.reading.items() if name not in _NO_DIFFERENCE}
    return result_key(
        task.name,
        data=[context.data.name, data],
        model=[_name(context.model), digest_of_model(context.model, adapter=context.adapter)],
        labels=None if context.labels_file is None else digest_of_data(context.labels_file),
        columns=[context.label_column, context.label_ids_column],
        # Another device or precision differs in the last digits, and the report says which it was.
        machine=[context.device, context.dtype],
        draws=[context.max_cells, context.seed],
        reading=reading,
        options={name: value for name, value in chosen.items() if name not in files},
        files=files,
        code=digest_of_code(),
    )


def _name(model: Any) -> str:
    return str(getattr(model, "model_id", model))


def _section_to_dict(section: Section) -> dict[str, Any]:
    table = None if section.table is None else {"head": section.table.head, "rows": section.table.rows}
    return {"title": section.title, "text": section.text, "table": table}


def _section_from_dict(stored: Mapping[str, Any]) -> Section:
    table = None if stored["table"] is None else Table(stored["table"]["head"], stored["table"]["rows"])
    return Section(stored["title"], stored["text"], table)
