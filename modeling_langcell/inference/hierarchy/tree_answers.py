"""The deepest label that the evidence supports, and how far it can be trusted.

A label is supported where its confidence, which is that of its whole branch, is at least `LEAST_CONFIDENCE`. The answer
goes from the top of the tree down to the child with the greatest mass, and stops where no child is supported.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.tree_mixture import TreeText
from langcell.inference.refinement.confidence import NameConfidence, agreement_evidence
from langcell.inference.refinement.file_refinement import FileVoice

# The deepest term that is more probably right than wrong.
LEAST_CONFIDENCE = 0.5
# Similarities of a cell alone are softer evidence than those of a file; see `refinement.confidence`.
_TEMPERATURE_ALONE = 2.0
_LEAST = 1e-3
_HALF = 0.5


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
    heard: FileVoice,
    similarity: np.ndarray,
    text: TreeText,
    calibration: NameConfidence | None,
    known: np.ndarray | None = None,
) -> TreeAnswers:
    """Answer for cells that the file named.

    Args:
        heard: what the file says of the cells; probabilities that are on each label itself.
        similarity: cos / temperature, shape (cells, labels); NaN for a cell without a known gene.
        text: tree and priors of the labels.
        calibration: calibration of the model; without, confidence is the mass itself.
        known: int, shape (cells,); column of the label that a cell is known to have and keeps, -1 where not known.
    """
    mass = text.tree.mass(heard.posterior)
    confidence = _together(mass, heard, text, calibration)
    label = text.tree.deepest(mass, confidence >= LEAST_CONFIDENCE)
    return _described(text.tree, label, mass, confidence, similarity, known)


def answers_alone(similarity: np.ndarray, text: TreeText, calibration: NameConfidence | None) -> TreeAnswers:
    """Answer for cells by their text alone; arguments as in `answers_together`."""
    mass = text.tree.mass(text.own(similarity, _TEMPERATURE_ALONE))
    confidence = mass if calibration is None else _calibrated(mass, calibration)
    label = text.tree.deepest(mass, confidence >= LEAST_CONFIDENCE)
    return _described(text.tree, label, mass, confidence, similarity)


def answers_in_list(
    heard: FileVoice,
    similarity: np.ndarray,
    text: TreeText,
    calibration: NameConfidence | None,
    known: np.ndarray | None = None,
) -> TreeAnswers:
    """Answer for cells that the file named by labels of a list, which stand for themselves, too.

    The answer is the most probable label or, where its branch has less than half of the mass, the first label above it
    whose branch has that much. Where none has, it stays. Arguments are those of `answers_together`.
    """
    own = heard.posterior
    mass, label, rows = text.tree.mass(own), own.argmax(axis=1), np.arange(len(own))
    answer = label.copy()
    for _ in range(int(text.tree.depth.max(initial=0))):
        up = text.tree.parent[answer]
        answer = np.where((mass[rows, answer] < _HALF) & (up >= 0), up, answer)
    answer = np.where(mass[rows, answer] < _HALF, label, answer)
    return _described(text.tree, answer, mass, _together(mass, heard, text, calibration), similarity, known)


def label_alone(label: np.ndarray, similarity: np.ndarray, text: TreeText, calibration: NameConfidence) -> TreeAnswers:
    """Answer for cells alone by a label of a list that is found already; its confidence is that of its branch.

    Args:
        label: int, shape (cells,); column of the label, -1 for a cell that has none.
        similarity: as in `answers_together`.
        text: see there.
        calibration: calibration of the model.
    """
    confidence = _calibrated(text.tree.mass(text.own(similarity, _TEMPERATURE_ALONE)), calibration)
    return TreeAnswers(label, label, np.where(label >= 0, confidence[np.arange(len(label)), label], 0.0))


def _calibrated(mass: np.ndarray, calibration: NameConfidence) -> np.ndarray:
    line = calibration.of_alone
    return expit(line.slope * logit(np.clip(mass, _LEAST, 1 - 1e-6)) + line.intercept)


def _together(mass: np.ndarray, heard: FileVoice, text: TreeText, calibration: NameConfidence | None) -> np.ndarray:
    """Confidence of each branch by the agreement on it; see `refinement.confidence`."""
    if calibration is None:
        return mass
    line = calibration.of_refined
    return expit(line.slope * agreement_evidence(text.tree.mass(heard.agreement)) + line.intercept)


def _described(
    tree: LabelTree,
    label: np.ndarray,
    mass: np.ndarray,
    confidence: np.ndarray,
    similarity: np.ndarray,
    known: np.ndarray | None = None,
) -> TreeAnswers:
    """Add to the labels what is below them, how sure they are, and which cells have none."""
    label = label if known is None else np.where(known >= 0, known, label)
    heard = np.isfinite(similarity).all(axis=1)
    fine = tree.finest(mass, label)
    probability = np.where(heard, confidence[np.arange(len(label)), label], 0.0)
    return TreeAnswers(np.where(heard, label, -1), np.where(heard, fine, -1), probability)
