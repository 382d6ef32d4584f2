"""What the model calls the cells of each group: by text, by reference cells, and by both with the whole file."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from langcell.inference.evidence.profiles import TypeRanks
from langcell.inference.refinement.file_refinement import FileRefinement
from langcell.inference.refinement.mixture import LabelMixture, MixtureSettings
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

DENIED = 0.1
_COMPONENTS = 30
_SETTINGS = MixtureSettings(share_weight=0.25, shrinkage=0.1, centring=1.0, least_agreement=0.2)
_COLUMNS = ("similarity", "text", "reference")


@dataclass(frozen=True, eq=False)
class GroupVotes:
    """Numbers of cells by what they are called; arrays have the shape (groups, candidates).

    Attributes:
        called: by text, reference cells and the other cells of the file.
        denied: those of the others that have a probability of at most `DENIED` to be of a candidate, by what they are
            called and by that candidate; shape (groups, candidates, candidates).
        between: cells that are surely of none, by their two most probable candidates, in both orders; likewise.
        text: by the text alone.
        reference: by the reference cells alone; cells that are near to none of the candidates are left out.
        refined: whether the other cells of the file were heard.
        cells: cells of each group with a known gene, shape (groups,).
        facts: what uns["langcell"] of such a run would say of model and data.
    """

    called: np.ndarray
    denied: np.ndarray
    between: np.ndarray
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
    types: Mapping[str, TypeRanks],
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
        types: reference profiles of the candidates by name; none where the model has none.
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
    function = _Voter(loaded, encoded, _members(labels, types, reference))
    run = InferenceRun(source, loaded, job.options, function, _COLUMNS, "looking at cells", reference)
    run = replace(run, facts_of=placed.facts)
    arguments = {"command": "audit", "labels": [[label.name, label.text] for label in labels]}
    with ExitStack() as stack:
        finished = stack.enter_context(replace(job, output=parts).finished(run, arguments))
        assert finished is not None
        file = NamedFile(finished.parts, placed)
        refinement = FileRefinement(file, fit=_mixture, neighbours=False) if placed.refines else None
        counts = [_empty(grouping.n_groups, len(labels)) for grouping in groupings]
        blocks = zip(file.blocks(), finished.parts.read("text", "reference", "known"), strict=True)
        start = 0
        for block, (text, near, known) in blocks:
            posterior = _softmax(block.similarity) if refinement is None else refinement.posterior(block)
            for grouping, count in zip(groupings, counts, strict=True):
                codes = np.where(known, grouping.codes[start : start + len(known)], -1)
                _count(count["called"], codes, posterior, np.ones(len(known), dtype=bool))
                _count_denied(count, codes, posterior)
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

    def __init__(self, loaded: LoadedScorer, encoded: EncodedLabels, members: Sequence[np.ndarray]) -> None:
        self._loaded, self._encoded = loaded, encoded
        self._members = [torch.from_numpy(member).to(loaded.encoders.device) for member in members]

    @torch.inference_mode()
    def __call__(self, ids: Tensor, mask: Tensor, weights: Tensor | None = None) -> tuple[Tensor, ...]:
        found = score_cells(self._loaded.encoders, self._encoded, ids, mask, weights, rerank="none")
        text = self._encoded.similarity(found.cell_embeds, self._loaded.config.logit_temperature)
        return found.similarity, text, self._near(text, weights)

    def _near(self, text: Tensor, weights: Tensor | None) -> Tensor:
        """Return how near the nearest reference cell of each candidate is, (cells, candidates)."""
        near = torch.zeros_like(text)
        for column, member in enumerate(self._members if weights is not None else ()):
            if weights is not None and len(member):
                near[:, column] = weights[:, member].amax(dim=1).to(near.dtype)
        return near


def _members(
    labels: Sequence[Label], types: Mapping[str, TypeRanks], reference: MeasuredReference | None
) -> list[np.ndarray]:
    """Places of the measured reference cells of each candidate, or of those that stand in for it; int64."""
    if reference is None:
        return []
    rows = [types[label.name].rows if label.name in types else [] for label in labels]
    return [np.flatnonzero(np.isin(reference.rows, some)) for some in rows]


def _empty(n_groups: int, n_labels: int) -> dict[str, np.ndarray]:
    one, two = (n_groups, n_labels), (n_groups, n_labels, n_labels)
    shapes = {"called": one, "text": one, "reference": one, "denied": two, "between": two}
    return {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}


def _count(into: np.ndarray, codes: np.ndarray, values: np.ndarray, counted: np.ndarray) -> None:
    """Count the cells of each group by the column of their greatest value."""
    inside = (codes >= 0) & counted
    np.add.at(into, (codes[inside], values[inside].argmax(axis=1)), 1)


def _mixture(
    similarity: np.ndarray, components: np.ndarray, *, known: np.ndarray | None = None, settings: object = None
) -> LabelMixture:
    """The mixture that the thresholds of the audit were chosen with: fewer components, and less sure of itself."""
    return LabelMixture.fit(similarity, components[:, :_COMPONENTS], known=known, settings=_SETTINGS)


def _count_denied(into: Mapping[str, np.ndarray], codes: np.ndarray, posterior: np.ndarray) -> None:
    """Count which candidates the cells of each group are not, or lie between."""
    inside = codes >= 0
    codes, posterior = codes[inside], posterior[inside]
    np.add.at(into["denied"], (codes, posterior.argmax(axis=1)), posterior <= DENIED)
    unsure = posterior.max(axis=1) < 1 - DENIED
    first, second = np.argsort(-posterior[unsure], axis=1, kind="stable")[:, :2].T
    np.add.at(into["between"], (codes[unsure], first, second), 1)
    np.add.at(into["between"], (codes[unsure], second, first), 1)


def _softmax(similarity: np.ndarray) -> np.ndarray:
    shifted = np.exp(np.nan_to_num(similarity - np.nanmax(np.nan_to_num(similarity), axis=1, keepdims=True)))
    return shifted / shifted.sum(axis=1, keepdims=True)
