"""Naming and embedding the cells of an AnnData: `langcell.annotate` and `langcell.embed`."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from langcell.configuration_langcell import LangCellConfig
from langcell.encoders_langcell import unit_rows
from langcell.inference.hierarchy.tree_voice import TreeVoice
from langcell.inference.naming.candidates import Candidates, candidates_of, with_known
from langcell.inference.naming.cluster_names import (
    PROBABILITIES,
    cluster_results,
    probability_blocks,
    read_clusters,
    with_clusters_of,
)
from langcell.inference.naming.csv_tables import check_csv, write_tables
from langcell.inference.naming.fine_tuned_labels import note_on_others
from langcell.inference.naming.label_counts import LabelCounts, count_labels, note_on_lost_names
from langcell.inference.naming.name_cells import (
    UNASSIGNED,
    FileVoices,
    NamedCells,
    confidence_is_probability,
    masked_scores,
    name_cells,
    storable,
)
from langcell.inference.naming.options import NamingOptions
from langcell.inference.naming.places import known_names, place_cells, with_places
from langcell.inference.refinement.confidence import NameConfidence
from langcell.inference.refinement.file_refinement import FileRefinement, heard_cells, novelty_of
from langcell.inference.refinement.mixture import LEAST_CELLS
from langcell.inference.refinement.novelty import is_unknown, sentence
from langcell.inference.refinement.placing import MARGIN, NamedFile
from langcell.inference.running.batching import BatchFunction
from langcell.inference.running.cell_run import FinishedRun, InferenceRun
from langcell.inference.running.job import InferenceJob, model_facts, row_blocks, settings
from langcell.inference.running.options import ReadingOptions, WritingOptions
from langcell.inference.running.processes import Processes
from langcell.inference.running.reading import Coverage
from langcell.inference.scored_cells import ScoredCells, score_data
from langcell.inference.scoring.batch_scorer import batch_scorer
from langcell.inference.scoring.other_types import other_types
from langcell.inference.scoring.reference import embed_batch, measured_reference
from langcell.loading.load import LoadedLangCell
from langcell.loading.loaded import LoadedScorer
from langcell.loading.options import AdaptedModelOptions
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.embedding_store import with_names
from langcell.processing.cells.obsm_matrix import read_obsm
from langcell.processing.cells.row_blocks import RowBlocks
from langcell.processing.labels.resolve import Label
from langcell.processing.options import from_keywords, takes
from langcell.processing.reference_cells import MeasuredReference

__all__ = [
    "UNASSIGNED",
    "Coverage",
    "ReadingOptions",
    "ScoredCells",
    "annotate",
    "embed",
    "score_data",
]

logger = logging.getLogger("langcell")

Labels = Sequence[str] | Mapping[str, str] | Sequence[Label]


@takes(AdaptedModelOptions, NamingOptions, ReadingOptions, WritingOptions)
def annotate(
    adata: AnnData | str | Path,
    labels: Labels | None = None,
    *,
    output: str | Path | None = None,
    distributed: bool = False,
    tissue: str | None = None,
    accept_suggestions: bool = False,
    csv: str | Path | None = None,
    **options: Any,
) -> AnnData | None:
    """Name each cell by the label whose text fits it best, without any labelled cell.

    Files are read in chunks, and the results of each chunk are kept in a folder beside the output (`OUT.h5ad.parts/`)
    until they are joined at the end: memory does not grow with the number of cells, and a run that was killed goes on
    where it stopped when it is started again with the same arguments.

    Scores that `rerank` did not need are NaN. For cells with such scores, scores and confidence are lower bounds.
    `smooth`, `ontology_backoff` and a number for `unknown` need all scores: "exact" then becomes "full". With a
    calibration file for `unknown`, the confidence is the calibrated one.

    Args:
        adata: an AnnData (which gets the results), or the path of a container of cells (read in chunks): h5ad, zarr,
            h5mu, loom, 10x .h5, a folder with matrix.mtx, a .gz of these, or hf://datasets/....
        labels: a list of names, {name: text}, or resolved `Label` objects, in the order that results keep. Names
            that the Cell Ontology knows (names, synonyms, ids) get its definition as text, others are used as they are.
            When None those that the adapter or the model was fine-tuned on; other labels than these are legal, too.
            A model without labels of its own proposes the types of the tissue, or all types of its training.
        output: h5ad or zarr file to write, another than is read; required for a path.
        distributed: share the cells of a file with the other processes that `torchrun` or `accelerate launch` started;
            each of them has to call this. Rank 0 writes the output. They need a common file system.
        tissue: where the cells are from, such as "blood"; it proposes candidates where there are no labels, and decides
            what a label with several meanings means.
        accept_suggestions: read each label that is no name of a term as the nearest term, where there is one.
        csv: table to write, too, as Loupe Browser and Seurat read it: a row for each cell, its name first. With
            clusters, NAME_clusters.csv beside it has a row for each of them.
        {options}

    Returns:
        The AnnData with obs `langcell_label`, `langcell_ontology_term_id`, `langcell_confidence` and, where cells were
        refined, `langcell_label_alone` (what each would be called by itself); obsm `X_langcell` (cell embeddings),
        `langcell_scores` (cells x labels, which `langcell.score_table` puts names to) and, where cells were refined,
        `langcell_probabilities` (posteriors, cells x labels); and uns["langcell"]. None when a path was given.
        CELLxGENE opens it: categories are the labels in their order, and obsm holds arrays alone (a table there stops
        it). A cell without any known gene is called "unassigned" with confidence 0.

    Raises:
        ValueError: unusable labels, cells, model or options, or an output that is the input; nothing is written then.
        TypeError: an option that does not exist.
    """
    groups = (AdaptedModelOptions, NamingOptions, ReadingOptions, WritingOptions)
    model, naming, reading, writing = from_keywords(options, *groups, function="annotate")
    with Processes.launched() if distributed else Processes() as processes:
        job = InferenceJob.of(adata, output, model, reading, processes, writing)
        summary = run_annotation(job, labels, naming, csv=csv, tissue=tissue, accept_suggestions=accept_suggestions)
        if summary is not None:
            logger.info("langcell.summary(adata) shows what the cells were called.")
    return adata if isinstance(adata, AnnData) else None


@dataclass(frozen=True)
class AnnotationSummary(LabelCounts):
    """What a run of `annotate` came to; besides the counts:

    Attributes:
        uns: what the output holds as uns["langcell"].
        n_pairs: cells x labels.
    """

    uns: dict[str, Any]
    n_pairs: int


def run_annotation(
    job: InferenceJob,
    labels: Labels | Candidates | None,
    naming: NamingOptions,
    *,
    csv: str | Path | None = None,
    **reading: Any,
) -> AnnotationSummary | None:
    """Do what `annotate` describes; returns a summary to rank 0, None to other processes.

    Args:
        job: data and model.
        labels: as in `annotate`, or what `candidates` found and told already.
        naming: how cells get labels.
        csv: table of the names to write, too.
        reading: tissue and accept_suggestions, for labels that are not found yet.
    """
    with ExitStack() as stack:
        with job.processes.together():
            job.check()
            with_clusters = naming.cluster or naming.cluster_column is not None
            check_csv(csv, job.options.orthologs, clusters=with_clusters)
            how = {"has_known": naming.has_known, **reading}
            candidates = labels if isinstance(labels, Candidates) else candidates_of(job, labels, **how)
            naming = naming.checked()
            source = stack.enter_context(open_cells(job.data, **job.options.source))
            naming = with_clusters_of(naming, source)
            candidates = with_known(candidates, known_names(source, naming), job)
            naming = candidates.naming(naming)
            resolved = storable(candidates.labels, naming)
            space = None if naming.smooth_over is None else read_obsm(job.data, naming.smooth_over)
            clusters = None if naming.cluster_column is None else read_clusters(source, naming.cluster_column)
            loaded, dtype = job.load()
            if note := note_on_others(resolved, loaded.config):
                logger.info(note)
            alpha = loaded.config.alpha if naming.alpha is None else naming.alpha
            if alpha == 1 and naming.rerank in ("full", "top-k"):
                logger.info("With alpha 1 the match counts nothing; alpha 0.1 is the paper's.")
            texts = {"labels": [label.name for label in resolved], "label_texts": [label.text for label in resolved]}
            reference = measured_reference(loaded, source) if naming.reference else None
            kind = {"alpha": float(alpha), "reference_cells": 0 if reference is None else len(reference)}
            naming.check_calibration(**model_facts(loaded), **kind, **texts)
            # One process reads the counts for all, which need the very same axes.
            found = place_cells(job, source, naming, resolved) if job.processes.is_main else None
        naming, placed = with_places(naming, job.processes.gather(found)[0])
        with job.processes.together():
            others = _others(loaded, resolved, reference)
            columns = (*naming.columns, *([MARGIN] if len(others) else []))
            how = {"alpha": alpha, "rerank": naming.rerank, "k": naming.k, "columns": columns}
            function = batch_scorer(loaded, dtype, resolved, reference, others, **how)
        run = InferenceRun(source, loaded, job.options, function, columns, "naming cells", reference)
        run = replace(run, facts_of=placed.facts)
        arguments = {
            "labels": [[label.name, label.text, label.ontology_term_id] for label in resolved],
            **kind,
            "rerank": naming.rerank,
            "k": naming.k if naming.rerank == "top-k" else None,
            "components": placed.axes is not None,
            "other_types": len(others),
        }
        finished = stack.enter_context(job.finished(run, {"command": "annotate", **arguments}))
        if finished is None:
            return None
        tissues = getattr(loaded.config, "tissue_cell_types", None)
        tree = TreeVoice.of(resolved, naming.hierarchy, tissues) if naming.uses_hierarchy else None
        file = NamedFile(finished.parts, placed, with_types=len(others) > 0)
        voices = _voices(file, loaded.config, tree, comparable=reference is not None)
        named = name_cells(finished.parts, resolved, naming, neighbour_space=space, voices=voices)
        uns = settings(run, finished.coverage) | _naming_settings(resolved, kind, naming, finished)
        uns |= _file_facts(named, voices, uns["labels"])
        uns["confidence_is_probability"] = confidence_is_probability(naming, voices)
        obs, facts = cluster_results(named, voices, naming, clusters, uns["labels"])
        obs, uns = named.obs() | obs, uns | facts
        is_list = tree is None or not tree.is_branch
        if is_list and (
            note := note_on_lost_names(obs.get("langcell_label_alone"), uns.get("labels_without_evidence", []))
        ):
            logger.info("%s.", note)
        cell_names = None if csv is None else source.obs_names
        job.store(source, obs, _matrices(named, resolved, finished, voices), uns)
        if csv is not None and cell_names is not None:
            write_tables(csv, cell_names, obs, uns)
        return _summary(named, uns, source.n_cells * len(resolved))


@takes(AdaptedModelOptions, ReadingOptions, WritingOptions)
def embed(
    adata: AnnData | str | Path,
    *,
    output: str | Path | None = None,
    hidden: bool = False,
    distributed: bool = False,
    **options: Any,
) -> AnnData | None:
    """Add cell embeddings: obsm `X_langcell` (projected, unit length) and, with `hidden`, `X_langcell_hidden`.

    uns["langcell"] says what made them. Of cells that have names it still says what named them, and under "embedding"
    what made the embeddings.

    Args:
        adata: as in `annotate`, like `output` and `distributed`.
        output: h5ad or zarr file to write; required for a path.
        hidden: whether to add the cell encoder's last state of `<cls>`, too.
        distributed: share the cells with the other processes of a launcher.
        {options}

    Raises:
        ValueError: as `annotate`.
        TypeError: an option that does not exist.
    """
    groups = (AdaptedModelOptions, ReadingOptions, WritingOptions)
    model, reading, writing = from_keywords(options, *groups, function="embed")
    with Processes.launched() if distributed else Processes() as processes:
        run_embedding(InferenceJob.of(adata, output, model, reading, processes, writing), hidden=hidden)
    return adata if isinstance(adata, AnnData) else None


def run_embedding(job: InferenceJob, *, hidden: bool = False) -> None:
    """Do what `embed` describes."""
    with ExitStack() as stack:
        with job.processes.together():
            job.check()
            source = stack.enter_context(open_cells(job.data, **job.options.source))
            loaded, dtype = job.load()
            function = _embedder(loaded, dtype, hidden)
        columns = ("embeddings", "hidden") if hidden else ("embeddings",)
        run = InferenceRun(source, loaded, job.options, function, columns, "embedding cells")
        finished = stack.enter_context(job.finished(run, {"command": "embed", "hidden": hidden}))
        if finished is None:
            return
        names = {"embeddings": "X_langcell", "hidden": "X_langcell_hidden"}
        obsm = {names[column]: row_blocks(finished.parts, column, source.n_cells) for column in columns}
        job.store(source, {}, obsm, with_names(job.data, settings(run, finished.coverage)))


def _voices(file: NamedFile, config: LangCellConfig, tree: TreeVoice | None, *, comparable: bool) -> FileVoices:
    """What the file says beyond the scores. Only similarities that are relative to reference cells are comparable."""
    refines = file.placed.refines
    n_heard = int(heard_cells(file.sample).sum()) if comparable or refines else 0
    if refines and n_heard < LEAST_CELLS:
        logger.info("Each cell is named alone: %d cells have known genes, and %d are needed.", n_heard, LEAST_CELLS)
        refines = False
    return FileVoices(
        file,
        FileRefinement(file, **({} if tree is None else tree.fitting)) if refines else None,
        NameConfidence.of(config) if comparable else None,
        novelty_of(file) if comparable and n_heard else None,
        tree,
    )


def _file_facts(named: NamedCells, voices: FileVoices, labels: Sequence[str]) -> dict[str, Any]:
    """Return what uns["langcell"] says of the file as a whole."""
    facts: dict[str, Any] = {"refined": voices.refinement is not None}
    if voices.tree is not None:
        facts["hierarchy"] = "branch" if voices.tree.is_branch else "list"
    if voices.refinement is not None and named.alone is not None:
        changed = (named.codes != named.alone) & np.isin(named.codes, np.arange(len(labels)))
        facts |= voices.refinement.settings(labels) | {"refined_cells": int(changed.sum())}
    if voices.file.placed.cells.batches is not None:
        facts["batch_correction"] = voices.file.placed.batch_method
    if named.novelty is not None:
        facts["cells_that_fit_no_label"] = int(is_unknown(named.novelty).sum())
        logger.info("%s.", sentence(named.novelty))
    return facts


def _others(loaded: LoadedScorer, labels: Sequence[Label], reference: MeasuredReference | None) -> np.ndarray:
    """Return the types of the reference cells that are none of the labels, as `other_types` does."""
    cells = None if reference is None else loaded.processor.feature_extractor.reference_cells
    return other_types(labels, () if cells is None else cells.types)


def _embedder(loaded: LoadedScorer, dtype: torch.dtype, hidden: bool) -> BatchFunction:
    """Return what embeds a batch of cells, in the dtype.

    Raises:
        ValueError: `hidden`, which ONNX files do not have apart from all other states.
    """
    loaded.compute_in(dtype)
    if not hidden:
        return partial(embed_batch, loaded.encoders)
    if not isinstance(loaded, LoadedLangCell):
        raise ValueError("An ONNX export has no hidden state to write; use the model that it was made of.")
    return partial(_embed_with_hidden, loaded)


@torch.inference_mode()
def _embed_with_hidden(
    loaded: LoadedLangCell, cell_input_ids: Tensor, cell_attention_mask: Tensor
) -> tuple[Tensor, ...]:
    """Embeddings, and what they are projected from."""
    states = loaded.model.get_cell_states(cell_input_ids, cell_attention_mask)
    embeddings = unit_rows(loaded.model.project_cells(states, cell_attention_mask))
    return embeddings, loaded.model.pool_cells(states, cell_attention_mask)


def _matrices(named: NamedCells, labels: Sequence[Label], finished: FinishedRun, voices: FileVoices) -> dict[str, Any]:
    """Scores, embeddings and, where cells were refined, posteriors, as blocks that are read when they are written."""
    n_cells = len(named.codes)

    def scores() -> Any:
        return masked_scores(finished.parts) if named.scores is None else [named.scores]

    found = {
        "langcell_scores": RowBlocks(n_cells, len(labels), scores),
        "X_langcell": row_blocks(finished.parts, "embeddings", n_cells),
    }
    if voices.refinement is not None:
        found[PROBABILITIES] = RowBlocks(n_cells, len(labels), partial(probability_blocks, voices))
    return found


def _naming_settings(
    labels: Sequence[Label], kind: Mapping[str, Any], naming: NamingOptions, finished: FinishedRun
) -> dict[str, Any]:
    n_matches = sum(int(block.sum(dtype=np.int64)) for (block,) in finished.parts.read("n_matches"))
    return {
        "labels": [label.name for label in labels],
        "label_texts": [label.text for label in labels],
        "label_ontology_term_ids": [label.ontology_term_id or "" for label in labels],
        **kind,
        **naming.settings(),
        "pairs_evaluated": n_matches,
    }


def _summary(named: NamedCells, uns: dict[str, Any], n_pairs: int) -> AnnotationSummary:
    counts = count_labels(named.codes, named.confidence, names=named.names, labels=uns["labels"])
    return AnnotationSummary(**vars(counts), uns=uns, n_pairs=n_pairs)
