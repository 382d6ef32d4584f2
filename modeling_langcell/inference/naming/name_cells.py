"""From scores to labels: which cell gets which name, and the output columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from langcell.inference.naming.calibration import UNKNOWN, best_labels, confidence_of, named_probabilities
from langcell.inference.naming.ontology_backoff import back_off
from langcell.inference.naming.options import NamingOptions
from langcell.inference.naming.smoothing import smooth_scores
from langcell.inference.refinement.file_refinement import FileRefinement
from langcell.inference.running.parts import Parts
from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology

UNASSIGNED = "unassigned"


@dataclass(frozen=True)
class NamedCells:
    """A label for every cell.

    Attributes:
        codes: int32, shape (cells,); index into names.
        names: what cells can be called: the labels in order, then the words for cells without one, then ancestors.
        term_ids: ontology id of each name, "" where it has none.
        confidence: float32, shape (cells,); 0 where a cell has no known gene.
        scores: when they were smoothed, float32, shape (cells, labels); else None, they are those of the parts.
        alone: int32, shape (cells,); index into names of what each cell is called by itself, where it was refined.
    """

    codes: np.ndarray
    names: list[str]
    term_ids: list[str]
    confidence: np.ndarray
    scores: np.ndarray | None = None
    alone: np.ndarray | None = None

    def obs(self) -> dict[str, Any]:
        """The columns of obs."""
        used = sorted({self.term_ids[code] for code in np.unique(self.codes)})
        place = np.array([used.index(term_id) if term_id in used else -1 for term_id in self.term_ids])
        columns = {
            "langcell_label": pd.Categorical.from_codes(self.codes, self.names),
            "langcell_ontology_term_id": pd.Categorical.from_codes(place[self.codes], used),
            "langcell_confidence": self.confidence,
        }
        if self.alone is not None:
            columns["langcell_label_alone"] = pd.Categorical.from_codes(self.alone, self.names)
        return columns


def storable(labels: list[Label], options: NamingOptions) -> list[Label]:
    """The labels, if the results can hold them as categories.

    Raises:
        ValueError: a name is one that the results use themselves.
    """
    reserved = [UNASSIGNED, *([UNKNOWN] if options.unknown is not None else [])]
    for label in labels:
        if label.name in reserved:
            raise ValueError(f"{label.name!r} cannot be a label, results use the word themselves; give another name.")
    return labels


def masked_scores(parts: Parts) -> Iterator[np.ndarray]:
    """The scores of all cells block by block, NaN where a cell has no known gene."""
    for scores, known in parts.read("scores", "known"):
        yield np.where(known[:, None], scores, np.float32(np.nan))


def name_cells(
    parts: Parts,
    labels: Sequence[Label],
    options: NamingOptions,
    *,
    neighbour_space: np.ndarray | None = None,
    refinement: FileRefinement | None = None,
) -> NamedCells:
    """Labels and confidences from the scores: refined, or smoothed, backed off and rejected as the options say.

    Block by block, but for the smoothing, which looks at all cells at once and so holds all scores in memory.

    Args:
        parts: scores, embeddings and what else was computed of the cells.
        labels: in the order of the scores' columns.
        options: how scores become labels.
        neighbour_space: the matrix that `options.smooth_over` names, (cells, columns).
        refinement: of this file, fitted to these parts; None names each cell alone.
    """
    namer, smoothed = _Namer(labels, options), None
    blocks = namer.read(parts)
    if refinement is not None:
        return _refined(namer, blocks, refinement)
    if options.smooth is not None:
        if neighbour_space is None:
            neighbour_space = np.concatenate([block for (block,) in parts.read("embeddings")])
        blocks = [_smoothed(blocks, neighbour_space, options.smooth)]
        smoothed = blocks[0].scores
    named = [namer.name(block) for block in blocks]
    codes, confidence = (np.concatenate(columns) for columns in zip(*named, strict=True))
    return NamedCells(codes, list(namer.term_ids), list(namer.term_ids.values()), confidence, smoothed)


def _refined(namer: "_Namer", blocks: Iterable["_Block"], refinement: FileRefinement) -> NamedCells:
    """Name cells by the posterior of the file's mixture, and keep what each would be called by itself."""
    columns = []
    for block, posterior in zip(blocks, refinement.posteriors(), strict=True):
        alone = np.where(block.known, namer.codes_alone(block), namer.code_of[UNASSIGNED])
        # Zeros are the posterior of a cell that says nothing; of a cell with known genes that is a fault of the model.
        heard = np.where(posterior.any(axis=1)[:, None], posterior, np.nan)
        columns.append((*namer.name(block._replace(scores=heard)), alone))
    codes, confidence, alone = (np.concatenate(column) for column in zip(*columns, strict=True))
    names = list(namer.term_ids)
    return NamedCells(codes, names, list(namer.term_ids.values()), confidence, alone=alone.astype(np.int32))


class _Block(NamedTuple):
    """Some cells.

    Attributes:
        known: whether each has a known gene, bool, (cells,).
        scores: (cells, labels); NaN where they were not evaluated.
        probabilities: calibrated ones, (cells, labels); None without a calibration.
    """

    known: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray | None


class _Namer:
    """Names blocks of cells, and keeps the list of all names that occurred."""

    def __init__(self, labels: Sequence[Label], options: NamingOptions) -> None:
        self.labels, self.options = list(labels), options
        self.calibration, self.threshold = confidence_of(options.unknown)
        self.term_ids = {label.name: label.ontology_term_id or "" for label in labels}  # in the order of the codes
        self.term_ids |= {UNKNOWN: ""} if options.unknown is not None else {}
        self.term_ids[UNASSIGNED] = ""
        self.code_of = {name: code for code, name in enumerate(self.term_ids)}

    def read(self, parts: Parts) -> Iterator[_Block]:
        """The cells, block by block."""
        if self.calibration is None:
            yield from (_Block(known, scores, None) for known, scores in parts.read("known", "scores"))
            return
        for known, scores, similarity in parts.read("known", "scores", "similarity"):
            yield _Block(known, scores, self.calibration.probabilities(similarity))

    def name(self, block: _Block) -> tuple[np.ndarray, np.ndarray]:
        """Code and confidence of each cell."""
        known, scores, probabilities = block
        if faults := int((known & np.isnan(scores).all(1)).sum()):
            raise ValueError(
                f"The model gives {faults} cells NaN for all labels; try --dtype float32, or other weights."
            )
        codes = np.full(len(scores), self.code_of[UNASSIGNED], dtype=np.int32)
        confidence = np.zeros(len(scores), dtype=np.float32)
        if known.any():
            codes[known] = self._codes(scores[known])
            confidence[known] = (
                np.nanmax(scores[known], axis=1)
                if probabilities is None
                else named_probabilities(probabilities[known], best_labels(scores[known]))
            )
        if self.options.unknown is not None:
            # In float32 like the confidence, so that a cell on the line is on the same side of it everywhere.
            codes[known & (confidence < np.float32(self.threshold))] = self.code_of[UNKNOWN]
        return codes, confidence

    def codes_alone(self, block: _Block) -> np.ndarray:
        """The label with the greatest score of each cell; of a cell without any score the first."""
        scores = np.where(np.isnan(block.scores).all(1)[:, None], 0.0, block.scores)
        return np.nanargmax(scores, axis=1)

    def _codes(self, scores: np.ndarray) -> np.ndarray:
        if self.options.ontology_backoff is None:
            return np.nanargmax(scores, axis=1)
        names, term_ids = back_off(
            scores, self.labels, margin=self.options.ontology_backoff, ontology=Ontology.cellxgene()
        )
        for name, term_id in zip(names, term_ids, strict=True):
            if name not in self.code_of:
                self.code_of[name] = len(self.term_ids)
                self.term_ids[name] = term_id
        return np.array([self.code_of[name] for name in names])


def _smoothed(blocks: Iterable[_Block], neighbour_space: np.ndarray, strength: float) -> _Block:
    """All cells after smoothing; scores of cells without a known gene are NaN, and they are no one's neighbours."""
    known, scores, *probabilities = (
        np.concatenate(column) for column in zip(*blocks, strict=True) if column[0] is not None
    )

    def smooth(values: np.ndarray) -> np.ndarray:
        found = np.full_like(values, np.nan)
        found[known] = smooth_scores(values[known], neighbour_space[known], strength=strength)
        return found

    return _Block(known, smooth(scores), smooth(probabilities[0]) if probabilities else None)
