"""What a run of tokenizing has finished so far, so that a run that was killed goes on where it was.

One line of JSON a shard is added once its file stands; the last line of a killed run may be torn and is left out.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.shards.files import shard_path
from langcell.processing.shards.manifest import (
    FileRecord,
    Manifest,
    ShardOrigin,
    sha256_of,
)
from langcell.processing.tokenization.tasks import ShardResult

_PLAN_FILE, _RESULTS_FILE = "plan.json", "finished.jsonl"


class Journal:
    """The results of a run, beside the plan that they belong to.

    Args:
        work: Folder for it.
        summary: `Plan.summary` of the run.

    Raises:
        ValueError: The folder has the journal of another plan; the message says what differs.
    """

    def __init__(self, work: Path, summary: Mapping[str, Any]) -> None:
        self._path = work / _RESULTS_FILE
        plan_path = work / _PLAN_FILE
        summary = json.loads(json.dumps(summary))
        if plan_path.exists():
            check_same_plan(json.loads(plan_path.read_text(encoding="utf-8")), summary, work.parent)
        else:
            work.mkdir(parents=True, exist_ok=True)
            with atomic_output(plan_path) as temporary:
                temporary.write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        results = self._read()
        with atomic_output(self._path) as temporary:  # without a torn line, which the next one would be joined to
            temporary.write_text("".join(map(_line, results)), encoding="utf-8")
        self.results = {result.number: result for result in results}

    def add(self, result: ShardResult) -> None:
        """Note that a shard is finished."""
        self.results[result.number] = result
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(result))
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[ShardResult]:
        results = []
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            try:
                results.append(_result(json.loads(line)))
            except (ValueError, KeyError, TypeError):
                continue
        return results


def check_same_plan(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with shards that were planned otherwise.

    Raises:
        ValueError: The summaries differ; the message names the first difference.
    """
    if old == new:
        return
    place, before, now = next(_differences(old, new))
    raise ValueError(
        f"{folder} holds shards of another plan ({place}: {_short(before)} there, {_short(now)} here); name another "
        "folder, or allow overwriting (--overwrite)."
    )


def results_of(manifest: Manifest) -> dict[int, ShardResult]:
    """Return the results behind a finished folder, by number of the shard."""
    assert manifest.tokenizing is not None
    results = [_result(fields) for fields in manifest.tokenizing["empty_shards"]]
    for record in manifest.shards:
        assert record.origin is not None
        results.append(ShardResult(int(Path(record.path).stem.rpartition("-")[2]), record, record.origin))
    return {result.number: result for result in results}


def stands(result: ShardResult, folder: Path) -> bool:
    """Return whether the file of a result is there as it was written, or rightly absent."""
    path = folder / shard_path(result.number)
    if result.file is None:
        return not path.exists()
    return path.is_file() and sha256_of(path) == result.file.sha256


def as_json(result: ShardResult) -> dict[str, Any]:
    """Return a result as values that JSON can hold."""
    return asdict(result)


def _result(fields: Mapping[str, Any]) -> ShardResult:
    file = fields["file"]
    record = None if file is None else FileRecord.from_json(file)
    return ShardResult(int(fields["number"]), record, ShardOrigin(**fields["origin"]))


def _line(result: ShardResult) -> str:
    return json.dumps(as_json(result), sort_keys=True) + "\n"


def _differences(old: Any, new: Any, place: str = ""):
    """Place and both values of each difference, depth first."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}" if place else key)
    elif old != new:
        yield place, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
