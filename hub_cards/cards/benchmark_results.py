"""`.eval_results/*.yaml`: results that the Hub shows on a model's page and in a benchmark's leaderboard.

They stand beside the `model-index` of the card, which is the older form of the same numbers. The Hub links them to the
data set that an entry names, once that is registered as a benchmark with these tasks.
Source: huggingface.co/docs/hub/eval-results, and `EvalResultEntry` of huggingface_hub 2.4.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.utils import validate_repo_id

from langcell.hub_cards.cards.measurements import index_entries
from langcell.hub_cards.cards.repository_kinds import RESULTS_FOLDER


def write_benchmark_results(folder: str | Path, results: Sequence[EvalResult], benchmark: str) -> list[Path]:
    """Write one file per data set; other files of the folder's `.eval_results` stay.

    Args:
        folder: folder of the model.
        results: what was measured, as for the card.
        benchmark: Hub id of the benchmark data set.

    Returns:
        The files, sorted.

    Raises:
        HFValidationError: the benchmark is no Hub id.
        ValueError: two results would be the same task.
    """
    validate_repo_id(benchmark)
    entries: dict[str, dict[str, EvalResultEntry]] = {}
    for result in index_entries(results) or []:
        entry = EvalResultEntry(
            dataset_id=benchmark,
            task_id=_task_id(result),
            value=result.metric_value,
            notes=f"{result.metric_name or result.metric_type} of {result.task_name or result.task_type} "
            f"on {result.dataset_name}",
        )
        of_data = entries.setdefault(_words(result.dataset_name), {})
        if entry.task_id in of_data:
            raise ValueError(
                f"Two results are of the task {entry.task_id}; give each metric and task a name of its own."
            )
        of_data[entry.task_id] = entry
    written = [Path(folder) / RESULTS_FOLDER / f"{name}.yaml" for name in sorted(entries)]
    for path in written:
        path.parent.mkdir(exist_ok=True)
        content = eval_result_entries_to_yaml(list(entries[path.stem].values()))
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8", newline="\n")
    return written


def _task_id(result: EvalResult) -> str:
    """Return a task's name in the benchmark: data set, task and metric.

    >>> _task_id(EvalResult("other", "h5ad", "PBMC 3k", "f1", 0.7, task_name="few-shot: LangCell"))
    'pbmc_3k.few_shot_langcell.f1'
    """
    names = (result.dataset_name, result.task_name or result.task_type, result.metric_name or result.metric_type)
    return ".".join(map(_words, names))


def _words(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
