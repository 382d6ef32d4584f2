"""What the model calls the cells of each group: by text, by reference cells, and by both with the whole file."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from langcell.inference.evidence.profiles import Profiles
from langcell.inference.refinement.file_refinement import FileRefinement
from langcell.inference.refinement.placing import CellsInFile, NamedFile, PlacedCells
from langcell.inference.running.cell_run import InferenceRun
from langcell.inference.running.job import InferenceJob, settings
from langcell.inference.scoring.reference import measured_reference, with_reference
from langcell.inference.scoring.texts import encode_label_texts
from langcell.loading.loaded import LoadedScorer
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.labels.lookup import Label
from langcell.processing.reference_cells import MeasuredReference
from langcell.scoring_langcell import EncodedLabels, score_cells

logger = logging.getLogger("langcell")

CONFIDENT = 0.9
_COLUMNS = ("similarity", "text", "reference")


@dataclass(frozen=True, eq=False)
class GroupVotes:
    """Numbers of cells by what they are called; arrays have the shape (groups, candidates).

    Attributes:
        called: by text, reference cells and the other cells of the file.
        confident: of these the cells whose probability is `CONFIDENT` or more.
        text: by the text alone.
        reference: by the reference cells alone; cells that are near to none of the candidates are left out.
        refined: whether the other cells of the file were heard.
        cells: cells of each group with a known gene, shape (groups,).
        facts: what uns["langcell"] of such a run would say of model and data.
    """

    called: np.ndarray
    confident: np.ndarray
    text: np.ndarray
    reference: np.ndarray
    refined: bool
    cells: np.ndarray
    facts: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class VotingGroups:
    """Cells in groups, and in pieces of groups.

    Attributes:
        codes: int, shape (cells,); -1 for a cell of none.
        n_groups: their number.
    """

    codes: np.ndarray
    n_groups: int


def gather_votes(
    job: InferenceJob,
    source: CellSource,
    loaded: LoadedScorer,
    dtype: torch.dtype,
    labels: Sequence[Label],
    groupings: Sequence[VotingGroups],
    profiles: Profiles | None,
    *,
    parts: Path,
) -> list[GroupVotes]:
    """Name all cells once, and count what each group is called.

    Args:
        job: data, reading and processes.
        source: the opened data.
        loaded: the model.
        dtype: that it computes cells in.
        labels: candidates.
        groupings: the same cells in groups of several kinds; one result for each.
        profiles: of the model; None where it has none.
        parts: file beside which the results of chunks are kept until they are counted, where the data are a file.
    """
    reference = measured_reference(loaded, source)
    texts = encode_label_texts(loaded, labels)
    loaded.compute_in(dtype)
    encoded = with_reference(loaded, EncodedLabels(texts.in_dtype(dtype)), reference)
    placed = PlacedCells.of(source, CellsInFile(), rows_per_chunk=job.options.rows_per_chunk)
    if not isinstance(placed, PlacedCells):
        logger.info("Each cell is named alone: %s.", placed)
        placed = PlacedCells()
    function = _Voter(loaded, encoded, _membership(labels, profiles, reference))
    run = InferenceRun(source, loaded, job.options, function, _COLUMNS, "looking at cells", reference)
    run = replace(run, facts_of=placed.facts)
    arguments = {"command": "audit", "labels": [[label.name, label.text] for label in labels]}
    with ExitStack() as stack:
        finished = stack.enter_context(replace(job, output=parts).finished(run, arguments))
        assert finished is not None
        file = NamedFile(finished.parts, placed)
        refinement = FileRefinement(file) if placed.refines else None
        counts = [_empty(grouping.n_groups, len(labels)) for grouping in groupings]
        blocks = zip(file.blocks(), finished.parts.read("text", "reference", "known"), strict=True)
        start = 0
        for block, (text, near, known) in blocks:
            posterior = _softmax(block.similarity) if refinement is None else refinement.posterior(block)
            for grouping, count in zip(groupings, counts, strict=True):
                codes = np.where(known, grouping.codes[start : start + len(known)], -1)
                _count(count["called"], codes, posterior, np.ones(len(known), dtype=bool))
                _count(count["confident"], codes, posterior, posterior.max(axis=1) >= CONFIDENT)
                _count(count["text"], codes, text, np.ones(len(known), dtype=bool))
                _count(count["reference"], codes, near, near.max(axis=1) > 0)
            start += len(known)
        facts = settings(run, finished.coverage) | {"reference_cells": 0 if reference is None else len(reference)}
        return [
            GroupVotes(**count, refined=refinement is not None, cells=count["called"].sum(axis=1), facts=facts)
            for count in counts
        ]


class _Voter:
    """What is found of a batch of cells: similarity as naming has it, that of the text alone, and nearness of types."""

    def __init__(self, loaded: LoadedScorer, encoded: EncodedLabels, membership: np.ndarray) -> None:
        self._loaded, self._encoded = loaded, encoded
        self._membership = torch.from_numpy(membership).to(loaded.encoders.device)

    @torch.inference_mode()
    def __call__(self, ids: Tensor, mask: Tensor, weights: Tensor | None = None) -> tuple[Tensor, ...]:
        found = score_cells(self._loaded.encoders, self._encoded, ids, mask, weights, rerank="none")
        text = self._encoded.similarity(found.cell_embeds, self._loaded.config.logit_temperature)
        near = torch.zeros_like(text) if weights is None else weights.to(self._membership.dtype) @ self._membership
        return found.similarity, text, near


def _membership(labels: Sequence[Label], profiles: Profiles | None, reference: MeasuredReference | None) -> np.ndarray:
    """Which measured reference cells are of each candidate, or stand in for it: float32, (reference cells, labels)."""
    if profiles is None or reference is None:
        return np.zeros((1, len(labels)), dtype=np.float32)
    member = np.zeros((len(reference), len(labels)), dtype=np.float32)
    for column, label in enumerate(labels):
        if label.ontology_term_id:
            rows = profiles.of_type(label.ontology_term_id, label.name).rows
            member[np.isin(reference.rows, rows), column] = 1
    return member


def _empty(n_groups: int, n_labels: int) -> dict[str, np.ndarray]:
    names = ("called", "confident", "text", "reference")
    return {name: np.zeros((n_groups, n_labels), dtype=np.int64) for name in names}


def _count(into: np.ndarray, codes: np.ndarray, values: np.ndarray, counted: np.ndarray) -> None:
    """Count the cells of each group by the column of their greatest value."""
    inside = (codes >= 0) & counted
    np.add.at(into, (codes[inside], values[inside].argmax(axis=1)), 1)


def _softmax(similarity: np.ndarray) -> np.ndarray:
    shifted = np.exp(np.nan_to_num(similarity - np.nanmax(np.nan_to_num(similarity), axis=1, keepdims=True)))
    return shifted / shifted.sum(axis=1, keepdims=True)
