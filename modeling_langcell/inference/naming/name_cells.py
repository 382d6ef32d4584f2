"""What turns scores into labels: the options, and the columns that come of them."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from langcell.inference.naming.calibration import UNKNOWN, Calibration, best_labels, named_probabilities
from langcell.inference.naming.ontology_backoff import back_off
from langcell.inference.naming.smoothing import smooth_scores
from langcell.inference.running.parts import Parts
from langcell.inference.scoring.zero_shot import DEFAULT_K, check_alpha, check_rerank
from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology

logger = logging.getLogger("langcell")

UNASSIGNED = "unassigned"


@dataclass(frozen=True)
class NamingOptions:
    """How cells get their labels; see `annotate`.

    Attributes:
        alpha: weight of the similarity; the model's own when None.
        rerank: "exact", "full", "top-k" or "none".
        k: labels that "top-k" looks at.
        unknown: least confidence, or the path of a calibration that has one; None calls every cell by a label.
        smooth: strength of the smoothing over neighbouring cells; none when None.
        smooth_over: matrix of obsm in which cells are neighbours; the model's embeddings when None.
        ontology_backoff: lead (in score) below which two siblings become their common ancestor; none when None.
        reference: compare the cells with the model's reference cells, too.
    """

    alpha: float | None = None
    rerank: str = "exact"
    k: int = DEFAULT_K
    unknown: float | str | Path | None = None
    smooth: float | None = None
    smooth_over: str | None = None
    ontology_backoff: float | None = None
    reference: bool = True

    def checked(self) -> "NamingOptions":
        """The options, if they are legal, with all labels scored where something needs all scores.

        Raises:
            ValueError: one of them is not legal, or two do not go together.
            OSError: the calibration cannot be read.
        """
        check_rerank(self.rerank, self.k)
        if self.alpha is not None:
            check_alpha(self.alpha)
        if self.smooth is not None and not 0 <= self.smooth < math.inf:
            raise ValueError(f"smooth is {self.smooth}; give a strength of 0 (no smoothing) or more, such as 1.")
        if self.smooth_over is not None and self.smooth is None:
            raise ValueError(f"smooth_over is {self.smooth_over!r} without smooth; give its strength, such as 1.")
        if self.ontology_backoff is not None and not 0 <= self.ontology_backoff <= 1:
            raise ValueError(f"ontology_backoff is {self.ontology_backoff}; give a margin of scores, 0 to 1.")
        needs = [name for name in ("unknown", "smooth", "ontology_backoff") if getattr(self, name) is not None]
        if self.needs_similarity:
            needs.remove("unknown")
        if not needs or self.rerank in ("full", "none"):
            return self
        if self.rerank == "top-k":
            raise ValueError(f"rerank 'top-k' leaves most scores out, and {needs[0]} needs them; use 'full' or 'none'.")
        logger.info("%s needs the scores of all labels: rerank is 'full' instead of 'exact'.", " and ".join(needs))
        return replace(self, rerank="full")

    @property
    def needs_similarity(self) -> bool:
        """Whether a calibration turns similarities into confidence, for which scores may be missing."""
        return confidence_of(self.unknown)[0] is not None

    def check_calibration(self, **used: Any) -> None:
        """Refuse a calibration that was fitted with another model, alpha or list of labels.

        Raises:
            ValueError: one of what `used` names differs.
        """
        calibration, _ = confidence_of(self.unknown)
        if calibration is not None:
            calibration.check_used_with(**used)

    def settings(self) -> dict[str, Any]:
        """What uns["langcell"] says of them; what was not used is not there."""
        found: dict[str, Any] = {"rerank": self.rerank}
        if self.rerank == "top-k":
            found["k"] = self.k
        if self.unknown is not None:
            found["unknown_below"] = confidence_of(self.unknown)[1]
        if self.smooth is not None:
            found["smooth"] = float(self.smooth)
        if self.smooth_over is not None:
            found["smooth_over"] = self.smooth_over
        if self.ontology_backoff is not None:
            found["ontology_backoff"] = float(self.ontology_backoff)
        return found


@dataclass(frozen=True)
class NamedCells:
    """A label for every cell.

    Attributes:
        codes: int32, shape (cells,); index into names.
        names: what cells can be called: the labels in order, then the words for cells without one, then ancestors.
        term_ids: ontology id of each name, "" where it has none.
        confidence: float32, shape (cells,); 0 where a cell has no known gene.
        scores: when they were smoothed, float32, shape (cells, labels); else None, they are those of the parts.
    """

    codes: np.ndarray
    names: list[str]
    term_ids: list[str]
    confidence: np.ndarray
    scores: np.ndarray | None = None

    def obs(self) -> dict[str, Any]:
        """The columns of obs."""
        used = sorted({self.term_ids[code] for code in np.unique(self.codes)})
        place = np.array([used.index(term_id) if term_id in used else -1 for term_id in self.term_ids])
        return {
            "langcell_label": pd.Categorical.from_codes(self.codes, self.names),
            "langcell_ontology_term_id": pd.Categorical.from_codes(place[self.codes], used),
            "langcell_confidence": self.confidence,
        }


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
    parts: Parts, labels: Sequence[Label], options: NamingOptions, *, neighbour_space: np.ndarray | None = None
) -> NamedCells:
    """Labels and confidences from the scores: smoothed, backed off and rejected as the options say.

    Block by block, but for the smoothing, which looks at all cells at once and so holds all scores in memory.

    Args:
        parts: scores, embeddings and what else was computed of the cells.
        labels: in the order of the scores' columns.
        options: how scores become labels.
        neighbour_space: the matrix that `options.smooth_over` names, (cells, columns).
    """
    namer, smoothed = _Namer(labels, options), None
    blocks = namer.read(parts)
    if options.smooth is not None:
        if neighbour_space is None:
            neighbour_space = np.concatenate([block for (block,) in parts.read("embeddings")])
        blocks = [_smoothed(blocks, neighbour_space, options.smooth)]
        smoothed = blocks[0].scores
    named = [namer.name(block) for block in blocks]
    codes, confidence = (np.concatenate(columns) for columns in zip(*named, strict=True))
    return NamedCells(codes, list(namer.term_ids), list(namer.term_ids.values()), confidence, smoothed)


def confidence_of(unknown: float | str | Path | None) -> tuple[Calibration | None, float]:
    """The calibration (None where there is none) and the least confidence that `unknown` stands for.

    Raises:
        ValueError: it is neither a number from 0 to 1 nor a calibration.
    """
    if unknown is None:
        return None, 0.0
    try:
        threshold = float(unknown)  # pyright: ignore[reportArgumentType]  # a Path is no number, which is the question
    except (TypeError, ValueError):
        calibration = Calibration.load(str(unknown))
        return calibration, calibration.threshold
    if not 0 <= threshold <= 1:
        raise ValueError(f"unknown is {threshold}; give a confidence from 0 to 1, or the path of a calibration.")
    return None, threshold


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
