"""The deepest label that the evidence supports, and how far it can be trusted.

A label is supported where its confidence, which is that of its whole branch, is at least `LEAST_CONFIDENCE`. The answer
goes from the top of the tree down to the child with the greatest mass, and stops where no child is supported.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.tree_mixture import TreeText
from langcell.inference.refinement.confidence import NameConfidence

# The deepest term that is more probably right than wrong.
LEAST_CONFIDENCE = 0.5
# Similarities of a cell alone are softer evidence than those of a file; see `refinement.confidence`.
_TEMPERATURE_ALONE = 2.0
_LEAST = 1e-3


@dataclass(frozen=True, eq=False)
class TreeAnswers:
    """Answers for some cells.

    Attributes:
        label: int64, shape (cells,); column of the answer, -1 for a cell without similarities.
        fine: int64, shape (cells,); column of the most probable label at or below the answer that has none below it.
        confidence: probability that the answer is right, float64, shape (cells,).
    """

    label: np.ndarray
    fine: np.ndarray
    confidence: np.ndarray


def answers_together(
    own: np.ndarray,
    similarity: np.ndarray,
    text: TreeText,
    calibration: NameConfidence | None,
    known: np.ndarray | None = None,
) -> TreeAnswers:
    """Answer for cells that the file named.

    Args:
        own: probabilities on each label itself, of the refinement, shape (cells, labels).
        similarity: cos / temperature, shape (cells, labels); NaN for a cell without a known gene.
        text: tree and priors of the labels.
        calibration: of the model; without, confidence is the mass itself.
        known: int, shape (cells,); column of the label that a cell is known to have and keeps, -1 where not known.
    """
    mass = confidence = text.tree.mass(own)
    if calibration is not None:
        evidence = np.log(np.maximum((text.tree.mass(text.own(similarity)) + mass) / 2, _LEAST))
        confidence = expit(calibration.of_refined.slope * evidence + calibration.of_refined.intercept)
    return _answers(text.tree, mass, confidence, similarity, known)


def answers_alone(similarity: np.ndarray, text: TreeText, calibration: NameConfidence | None) -> TreeAnswers:
    """Answer for cells by their text alone; arguments as in `answers_together`."""
    mass = text.tree.mass(text.own(similarity, _TEMPERATURE_ALONE))
    confidence = mass if calibration is None else _calibrated(mass, calibration)
    return _answers(text.tree, mass, confidence, similarity)


def climbed(label: np.ndarray, similarity: np.ndarray, text: TreeText, calibration: NameConfidence) -> TreeAnswers:
    """Answer for cells alone whose best label is found already: it, or the first label above it that is supported.

    Args:
        label: int, shape (cells,); column of the best label, -1 for a cell that has none. Where nothing above it is
            supported either, it stays.
        similarity: as in `answers_together`.
        text: see there.
        calibration: of the model.
    """
    confidence = _calibrated(text.tree.mass(text.own(similarity, _TEMPERATURE_ALONE)), calibration)
    rows, answer = np.arange(len(label)), label.copy()
    for _ in range(int(text.tree.depth.max(initial=0))):
        up = text.tree.parent[answer]
        answer = np.where((answer >= 0) & (confidence[rows, answer] < LEAST_CONFIDENCE) & (up >= 0), up, answer)
    answer = np.where(confidence[rows, answer] < LEAST_CONFIDENCE, label, answer)
    return TreeAnswers(answer, label, np.where(label >= 0, confidence[rows, answer], 0.0))


def _calibrated(mass: np.ndarray, calibration: NameConfidence) -> np.ndarray:
    line = calibration.of_alone
    return expit(line.slope * logit(np.clip(mass, _LEAST, 1 - 1e-6)) + line.intercept)


def _answers(
    tree: LabelTree,
    mass: np.ndarray,
    confidence: np.ndarray,
    similarity: np.ndarray,
    known: np.ndarray | None = None,
) -> TreeAnswers:
    label = tree.deepest(mass, confidence >= LEAST_CONFIDENCE)
    if known is not None:
        label = np.where(known >= 0, known, label)
    heard = np.isfinite(similarity).all(axis=1)
    fine = tree.finest(mass, label)
    probability = np.where(heard, confidence[np.arange(len(label)), label], 0.0)
    return TreeAnswers(np.where(heard, label, -1), np.where(heard, fine, -1), probability)
