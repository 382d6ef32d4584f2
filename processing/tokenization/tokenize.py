"""Raw counts and CELLxGENE metadata to tokenized shards: plan, tasks, manifest.

A run that was stopped, however it was, goes on when the same call is made again, and a finished folder is checked and
repaired by it: shards that stand and verify are not made again. The bytes of the shards depend on the sources, the gene
vocabulary and the options alone.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.files import (
    DESCRIPTIONS_FILE,
    finish_folder,
    prepare_folder,
    shard_path,
)
from langcell.processing.shards.manifest import (
    MANIFEST_FILE,
    Manifest,
    is_finished,
    read_manifest,
    verify,
)
from langcell.processing.sources.cell_metadata import METADATA_COLUMNS
from langcell.processing.sources.open_source import SourceSpec
from langcell.processing.tokenization.journal import (
    Journal,
    as_json,
    check_same_plan,
    results_of,
    stands,
)
from langcell.processing.tokenization.options import TokenizeOptions
from langcell.processing.tokenization.plan import Plan, make_plan
from langcell.processing.tokenization.scheduling import run_tasks
from langcell.processing.tokenization.tasks import (
    OUTSIDE_FILTER,
    WORK_FOLDER,
    ShardResult,
    make_shard,
    prepare_tasks,
)

__all__ = ["TokenizeOptions", "tokenize"]

logger = logging.getLogger("langcell.tokenize")


def tokenize(
    sources: Sequence[SourceSpec],
    folder: str | Path,
    vocabulary: GeneVocabulary,
    *,
    options: TokenizeOptions | None = None,
    ontology: Ontology | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    overwrite: bool = False,
    skip_unfit: bool = False,
    progress: bool = True,
) -> Manifest:
    """Write cells as tokenized shards, or finish or repair what an earlier call with the same arguments wrote.

    Args:
        sources: From `find_sources` and `census_source`.
        folder: Where the shards go; with a scheduler, a place that all its workers share.
        vocabulary: The gene vocabulary; the folder gets a copy.
        options: What the shards depend on.
        ontology: Where metadata are looked up; that of CELLxGENE by default.
        workers: Processes on this machine.
        scheduler: Address of a Dask scheduler, in place of `workers`.
        overwrite: Replace shards of another plan.
        skip_unfit: Leave out sources that cannot be used; the manifest and a warning name them.
        progress: Show progress bars with cells per second.

    Returns:
        The manifest, as `read_manifest` reads it.

    Raises:
        ValueError: A source is unfit, or the folder holds shards of another plan and `overwrite` is False.
        OSError: A source cannot be read, there is no room on the disk, or workers were lost over the same shard again
            and again. A shard whose worker was lost once is made again, which a warning says.
    """
    folder, options = Path(folder).resolve(), options if options is not None else TokenizeOptions()
    work = folder / WORK_FOLDER
    if not overwrite:
        _refuse_strangers(folder)
    with _nothing_left_behind(folder, work):
        plan = make_plan(
            sources,
            vocabulary,
            options=options,
            ontology=ontology if ontology is not None else Ontology.cellxgene(),
            work=work,
            skip_unfit=skip_unfit,
            progress=progress,
        )
        _note_what_is_missing(plan)
        results = _earlier_results(folder, plan, overwrite=overwrite)
    results = _make_missing(folder, plan, vocabulary, results, workers, scheduler, progress)
    manifest = _finish(folder, plan, vocabulary, results)
    _remove_temporaries(folder)
    shutil.rmtree(work)
    return manifest


def _remove_temporaries(folder: Path) -> None:
    """Remove what a run that was killed had begun to write."""
    for name in (VOCABULARY_FILE, DESCRIPTIONS_FILE, MANIFEST_FILE, "data/train-*"):
        inside, _, name = name.rpartition("/")
        for leftover in (folder / inside).glob(f".{name}.*.tmp"):
            leftover.unlink(missing_ok=True)


@contextmanager
def _nothing_left_behind(*folders: Path) -> Iterator[None]:
    """Remove these folders after a failure, unless they were there before."""
    made = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _refuse_strangers(folder: Path) -> None:
    """Finished shards of another maker cannot be gone on with: say so before the metadata are read."""
    if is_finished(folder) and read_manifest(folder).tokenizing is None:
        raise ValueError(
            f"{folder} already holds shards that were not tokenized from sources; name another folder, or allow "
            "overwriting (--overwrite)."
        )


def _note_what_is_missing(plan: Plan) -> None:
    for _, reason in plan.skipped:
        logger.warning(f"Left out: {reason}")
    nothing = ("",) * len(METADATA_COLUMNS)
    for source, ids in zip(plan.sources, plan.description_ids, strict=True):
        if set(ids) == {nothing}:
            logger.warning(
                f"{source.spec.name}: no CELLxGENE metadata (obs columns such as {METADATA_COLUMNS[0]}): its cells get "
                "no description, which is enough for stage 1 alone."
            )
        if source.unmarked and not plan.options.keep_duplicates:
            logger.warning(
                f"{source.spec.name}: is_primary_data is missing for {source.unmarked:,} cells; they are kept, though "
                "they may be copies of cells in other files."
            )


def _earlier_results(folder: Path, plan: Plan, *, overwrite: bool) -> dict[int, ShardResult]:
    """Return what an earlier run finished, by number of the shard; a folder with another plan is emptied or refused."""
    work = folder / WORK_FOLDER
    try:
        if is_finished(folder):
            manifest = read_manifest(folder)
            if manifest.tokenizing is None:
                raise ValueError(f"{folder} holds other shards.")
            check_same_plan(manifest.tokenizing["plan"], _plain(plan.summary()), folder)
            return results_of(manifest)
        results = Journal(work, plan.summary()).results
        (folder / "data").mkdir(exist_ok=True)
        return results
    except ValueError:
        if not overwrite:
            raise
    prepare_folder(folder, overwrite=True)
    for leftover in ("plan.json", "finished.jsonl"):
        (work / leftover).unlink(missing_ok=True)
    return {}


def _make_missing(
    folder: Path,
    plan: Plan,
    vocabulary: GeneVocabulary,
    results: dict[int, ShardResult],
    workers: int,
    scheduler: str | None,
    progress: bool,
) -> dict[int, ShardResult]:
    """Check what stands and make the rest; the results of all shards, by number."""
    standing = {}
    shown = progress and bool(results)
    for number, result in tqdm(sorted(results.items()), desc="checking shards", unit="shard", disable=not shown):
        if stands(result, folder):
            standing[number] = result
        else:
            logger.warning(f"Shard {number} is damaged or missing: it is made again.")
    tasks = [task for task in prepare_tasks(folder, plan, vocabulary) if task.shard.number not in standing]
    if not tasks:
        return standing
    (folder / "data").mkdir(exist_ok=True)
    _remove_temporaries(folder)
    for task in tasks:  # a file that no journal knows: killed before its line was written, or of another run
        (folder / shard_path(task.shard.number)).unlink(missing_ok=True)
    journal = Journal(folder / WORK_FOLDER, plan.summary())
    done = sum(result.origin.read for result in standing.values())
    with tqdm(
        total=plan.total_cells, initial=done, desc="tokenizing", unit="cell", unit_scale=True, disable=not progress
    ) as bar:
        preload = f"{__package__}.compiled_workers" if tasks[0].compiled else None
        fragile = any(task.spec.census is not None for task in tasks)  # SOMA is native code that has crashed
        made = run_tasks(make_shard, tasks, workers=workers, scheduler=scheduler, preload=preload, may_crash=fragile)
        for result in made:
            journal.add(result)
            standing[result.number] = result
            bar.update(result.origin.read)
    return standing


def _finish(folder: Path, plan: Plan, vocabulary: GeneVocabulary, results: dict[int, ShardResult]) -> Manifest:
    """Write the table of descriptions and the manifest, unless they stand already."""
    if is_finished(folder) and not verify(folder):
        return read_manifest(folder)
    in_order = [results[number] for number in sorted(results)]
    assert [result.number for result in in_order] == list(range(len(plan.shards)))
    finish_folder(
        folder,
        [replace(result.file, origin=result.origin) for result in in_order if result.file],
        plan.descriptions,
        vocabulary=vocabulary,
        max_length=plan.options.max_length,
        sources=[_source_record(plan, number, in_order) for number in range(len(plan.sources))],
        tokenizing={
            "plan": _plain(plan.summary()),
            "empty_shards": [as_json(result) for result in in_order if result.file is None],
            **({"skipped_sources": _plain(plan.skipped)} if plan.skipped else {}),
        },
    )
    return read_manifest(folder)


def _source_record(plan: Plan, number: int, results: Sequence[ShardResult]) -> dict[str, Any]:
    """Return what the manifest says of a source: every row of it was written, or dropped for a reason."""
    planned = plan.sources[number]
    own = [result for result in results if result.origin.source == number]
    dropped = Counter({OUTSIDE_FILTER: planned.outside_filter})
    for result in own:
        dropped.update(result.origin.dropped)
    written = sum(result.file.rows for result in own if result.file)
    read = planned.outside_filter + sum(result.origin.read for result in own)
    assert read == written + dropped.total()
    counts = sum(result.origin.n_counts for result in own)
    census = planned.spec.census
    return {
        "name": planned.spec.name,
        "kind": planned.spec.kind,
        "sha256": planned.sha256,
        "read": read,
        "written": written,
        "dropped": {reason: cells for reason, cells in sorted(dropped.items()) if cells},
        "known_counts": sum(result.origin.n_known_counts for result in own) / counts if counts else 0.0,
        **({"unknown_ids": _unknown_ids(planned.unknown_ids)} if planned.unknown_ids else {}),
        **({"census": _plain(asdict(census))} if census is not None else {}),
    }


def _unknown_ids(cells_of: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Cells of each unknown id, by column."""
    by_column: dict[str, dict[str, int]] = {}
    for (column, term_id), cells in cells_of.items():
        by_column.setdefault(column, {})[term_id] = cells
    return by_column


def _plain(value: Any) -> Any:
    """Return a value as it reads back from JSON, where tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
