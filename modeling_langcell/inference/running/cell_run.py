"""A model over all cells of a data set: in chunks, resumable, by one process or several."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from langcell.inference.running.batching import BatchFunction, TokenBudget, for_each_batch
from langcell.inference.running.memory import find_max_batch_tokens
from langcell.inference.running.options import ReadingOptions
from langcell.inference.running.parts import MemoryParts, PartsFolder, ResultParts, ResumableRun
from langcell.inference.running.processes import Processes
from langcell.inference.running.reading import ChunkFacts, Coverage, ranked_chunks
from langcell.inference.running.threads import torch_keeps_threads
from langcell.loading.loaded import LoadedModel
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.reference_cells import MeasuredReference

logger = logging.getLogger("langcell")


@dataclass(frozen=True)
class InferenceRun:
    """What is done with the cells.

    Attributes:
        source: the opened data.
        loaded: the model.
        options: how the cells are read and batched.
        function: run on each batch; see `for_each_batch`.
        columns: names of what it returns.
        what: what the progress bar says.
        reference: cells that each cell is compared with; the function then gets their weights, too.
        facts_of: returns further columns of a chunk's cells, from their counts.
    """

    source: CellSource
    loaded: LoadedModel
    options: ReadingOptions
    function: BatchFunction
    columns: tuple[str, ...]
    what: str
    reference: MeasuredReference | None = None
    facts_of: ChunkFacts | None = None

    def gene_index(self) -> np.ndarray:
        """Place of each of the data's genes in the vocabulary, or -1."""
        return gene_index_of(self.source, self.loaded.processor.feature_extractor)

    def notes(self) -> list[str]:
        """Return what there is to say of how the cells were read: matrix, rows that are no genes, names, species."""
        found = self.source.find_genes(self.loaded.processor.feature_extractor.vocabulary)
        return [*self.source.notes, *found.notes]

    def starts(self) -> range:
        """Return the first rows of the chunks."""
        return range(0, self.source.n_cells, self.options.rows_per_chunk)

    def budget(self) -> int:
        """Return the number of padded genes per batch: as asked for, or as the memory allows."""
        return self.options.max_batch_tokens or find_max_batch_tokens(self.loaded.model)


@dataclass(frozen=True)
class FinishedRun:
    """The results of all cells, in the process that joins them.

    Attributes:
        parts: the columns of the run, and "known": whether the cell has a known gene.
        coverage: how much of the data the gene vocabulary covers.
    """

    parts: ResultParts
    coverage: Coverage


def run_in_memory(run: InferenceRun) -> FinishedRun:
    """Run all cells in this process, and keep the results in memory."""
    parts, gene_index = MemoryParts(), run.gene_index()
    _fill(parts, run, gene_index, run.starts(), run.budget(), _progress(run, run.starts()))
    return _finished(parts, run, gene_index)


@contextmanager
def run_on_disk(
    run: InferenceRun, output: Path, arguments: Mapping[str, Any], processes: Processes
) -> Iterator[FinishedRun | None]:
    """Run all cells, and keep the results in `OUTPUT.parts/`; yields them to rank 0 when all processes are done, else
    None.

    The folder is removed after the block, or when the cells turn out to be unusable. After any other failure it stays,
    and the same arguments go on with it.

    Args:
        run: what is done with the cells.
        output: what the block writes.
        arguments: everything that the results depend on.
        processes: those that share the work.
    """
    plan, mine = _plan(run, output, arguments, processes)
    try:
        try:
            with processes.alone():
                gene_index = run.gene_index()
                todo = processes.share(plan.todo)
                bar = _progress(run, todo, processes)
                _fill(PartsFolder(plan.folder), run, gene_index, todo, plan.max_batch_tokens, bar)
            processes.gather("done")
        except ValueError:
            if mine:
                mine.remove()
            raise
        yield _finished(mine.parts, run, gene_index) if mine else None
    except BaseException:
        if mine:
            mine.close()
        raise
    if mine:
        mine.remove()


@dataclass(frozen=True)
class _Plan:
    """What rank 0 tells the others: where the parts go, what is still to do, and the budget."""

    folder: Path
    todo: Sequence[int]
    max_batch_tokens: int


def _plan(
    run: InferenceRun, output: Path, arguments: Mapping[str, Any], processes: Processes
) -> tuple[_Plan, ResumableRun | None]:
    """Return the plan, and in rank 0 the folder that it holds."""
    mine = plan = None
    with processes.together():
        _refuse_disagreement(processes.gather({**arguments, "input": None}))
        if processes.is_main:
            mine = ResumableRun(output, arguments, {"max_batch_tokens": run.budget()})
            done = mine.parts.starts()
            if done:
                logger.info("Going on with %s: %d of %d chunks are done.", mine.path, len(done), len(run.starts()))
            todo = [start for start in run.starts() if start not in done]
            # A budget that was asked for goes before that of the earlier run, which may have been too large.
            plan = _Plan(mine.path, todo, run.options.max_batch_tokens or mine.found["max_batch_tokens"])
    (agreed,) = [found for found in processes.gather(plan) if found is not None]
    return agreed, mine


def _refuse_disagreement(arguments: Sequence[Mapping[str, Any]]) -> None:
    """Parts of two kinds in one file would be an error that nobody sees."""
    for rank, other in enumerate(arguments):
        for name, value in other.items():
            if value != arguments[0][name]:
                raise ValueError(
                    f"process {rank + 1} has another {name} ({value}) than process 1 ({arguments[0][name]}); "
                    "give all the same, by an option if it is found by itself."
                )


def _fill(
    parts: ResultParts,
    run: InferenceRun,
    gene_index: np.ndarray,
    starts: Sequence[int],
    max_batch_tokens: int,
    bar: tqdm,
) -> None:
    """Add the results of the chunks that begin at `starts`."""
    budget = TokenBudget(max_batch_tokens)
    chunks = ranked_chunks(
        run.source, run.loaded, gene_index, starts, run.options.rows_per_chunk, run.reference, run.facts_of
    )
    with bar, torch_keeps_threads(), closing(chunks):
        for start, ranked, weights, more in chunks:
            results = for_each_batch(run.loaded, ranked, budget, run.function, weights)
            known = ranked.n_known_genes > 0
            facts = {"known": known, "n_counts": ranked.n_counts, "n_known_counts": ranked.n_known_counts}
            parts.add(start, dict(zip(run.columns, results, strict=True)) | facts | dict(more))
            bar.update(len(ranked))


def _progress(run: InferenceRun, todo: Sequence[int], processes: Processes | None = None) -> tqdm:
    """Return a bar with cells/s and time left, over the cells of this process; only rank 0 shows one."""
    processes = processes or Processes()
    n_cells, rows = run.source.n_cells, run.options.rows_per_chunk
    n_todo = sum(min(start + rows, n_cells) - start for start in todo)
    alone = processes.world_size == 1
    return tqdm(
        total=n_cells if alone else n_todo,
        initial=n_cells - n_todo if alone else 0,
        desc=run.what if alone else f"{run.what} (process 1 of {processes.world_size})",
        unit=" cells",
        disable=not (run.options.progress and processes.is_main),
    )


def _finished(parts: ResultParts, run: InferenceRun, gene_index: np.ndarray) -> FinishedRun:
    n_counts = n_known_counts = 0.0
    unknown_cells = 0
    for known, counts, known_counts in parts.read("known", "n_counts", "n_known_counts"):
        unknown_cells += int((~known).sum())
        n_counts += counts.sum()
        n_known_counts += known_counts.sum()
    coverage = Coverage(
        genes=float((gene_index >= 0).mean()),
        counts=float(n_known_counts / n_counts) if n_counts else 0.0,
        unknown_cells=unknown_cells,
        cells=run.source.n_cells,
    )
    logger.info("%s", coverage)
    return FinishedRun(parts, coverage)
