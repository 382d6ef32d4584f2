"""Confidence that means something, and a line below which a cell is called unknown: `langcell annotate --unknown`.

A score is a distribution over the labels, but not a probability of being right: the softmax of the match in it is
nearly flat, however sure the model is. What says how sure it is are the similarities. A temperature T, fitted on cells
with known types by the negative log-likelihood (Guo et al. 2017), makes probabilities of them:

    p = softmax(similarity / T)

The score alone names the cell, as without a calibration; its confidence is the p of that label. A temperature on the
scores themselves left twice the calibration error (training/EXPERIMENTS.md). The threshold is read from the
risk-coverage curve (Geifman and El-Yaniv 2017): of the cells with the highest confidence as many are kept as can be
while the share of wrong ones among them stays at or below a target.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from langcell.inference.naming.fitted_labels import difference_of_labels, short
from langcell.inference.scoring.legal_values import AUTO_UNKNOWN, check_confidence, number_of
from langcell.processing.files.atomic_output import atomic_output

UNKNOWN = "unknown"
DEFAULT_TARGET_RISK = 0.1

_LOG_TEMPERATURES = (math.log(1e-3), math.log(1e3))
_FORMAT = 2  # of the file; 1 had a temperature of the scores


@dataclass(frozen=True)
class Calibration:
    """What turns similarities into confidence, and the line between named and unknown.

    Attributes:
        temperature: T above; greater than 0.
        threshold: a cell with a confidence below it is unknown; 0 to 1.
        fitted_with: what scores and data it was fitted with, ready for JSON (see `check_used_with`).
    """

    temperature: float
    threshold: float
    fitted_with: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (_is_number(self.temperature) and 0 < self.temperature < math.inf):
            raise ValueError(f"A calibration has the temperature {self.temperature!r}; give a number greater than 0.")
        if not (_is_number(self.threshold) and 0 <= self.threshold <= 1):
            raise ValueError(f"A calibration has the threshold {self.threshold!r}; give a number from 0 to 1.")

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read a file that `save` or `langcell calibrate` wrote.

        Raises:
            ValueError: it cannot be read or holds something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.get("calibration_format") != _FORMAT:
                raise ValueError(f"calibration_format is {content.get('calibration_format')}, not {_FORMAT}")
            return cls(content["temperature"], content["threshold"], dict(content.get("fitted_with", {})))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"Cannot read the calibration {path}: {error}; make one with langcell calibrate."
            ) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no calibration ({error}); make one with langcell calibrate.") from error

    def save(self, path: str | Path) -> None:
        """Write JSON, whole or not at all."""
        with atomic_output(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds; `load` reads it from any JSON file that has these keys among others."""
        return {"calibration_format": _FORMAT, **asdict(self)}

    def probabilities(self, similarity: np.ndarray) -> np.ndarray:
        """Return the calibrated probabilities of the labels, float32, (cells, labels).

        Args:
            similarity: cos / temperature of the model, (cells, labels); NaN for a cell without any known gene, which
                gets probabilities of 0.

        >>> Calibration(2.0, 0.5).probabilities(np.array([[2.0, 0.0], [np.nan, np.nan]])).round(4)
        array([[0.7311, 0.2689],
               [0.    , 0.    ]], dtype=float32)
        """
        known = _known_rows(similarity)
        found = np.zeros(similarity.shape, dtype=np.float32)
        found[known] = softmax(similarity[known].astype(np.float64) / self.temperature, axis=1)
        return found

    def confidence(self, similarity: np.ndarray, named: np.ndarray) -> np.ndarray:
        """Return the probability that the label that a cell got is right, (cells,), float32.

        Args:
            similarity: see `probabilities`.
            named: int, (cells,); column of the label with the best score, -1 for a cell without any.
        """
        return named_probabilities(self.probabilities(similarity), named)

    def check_used_with(self, **used: Any) -> None:
        """Refuse scores of another kind than those that it was fitted with.

        Args:
            used: what the scores are made with; of these, `fitted_with` is compared where it has the same key
                (`langcell calibrate` stores model_id, model_revision, vocabulary_fingerprint, alpha,
                reference_cells, labels, label_texts). Labels may come in another order: each similarity has its label.

        Raises:
            ValueError: one differs.
        """
        advice = "run langcell calibrate for this use, with the same model, --alpha and labels (--labels-file)."
        if difference := difference_of_labels(self.fitted_with, used):
            raise ValueError(f"The calibration was fitted {difference}; {advice}")
        # Files of before there were reference cells do not say that they had none.
        fitted_with = {"reference_cells": 0, **self.fitted_with}
        for key in used.keys() - {"labels", "label_texts"}:
            value = used[key]
            fitted = fitted_with.get(key, value)
            if not _is_same(key, fitted, value):
                raise ValueError(
                    f"The calibration was fitted with {key} {short(fitted)}, but here it is {short(value)}; {advice}"
                )


class RiskCoverage(NamedTuple):
    """The risk-coverage curve: what is kept, and how wrong it is, for every threshold that makes a difference.

    Attributes:
        threshold: confidence from which on cells are kept, falling, (points,).
        coverage: share of the cells kept, rising to 1, (points,).
        risk: share of the kept cells that are wrong, (points,).
    """

    threshold: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """Return the coverage and risk of these cells at any threshold; (0, 0) where it keeps none."""
        kept = int((self.threshold >= np.float32(threshold)).sum())
        return (float(self.coverage[kept - 1]), float(self.risk[kept - 1])) if kept else (0.0, 0.0)

    def threshold_for(self, target_risk: float) -> float:
        """Return the lowest threshold at which the risk is at most the target.

        Raises:
            ValueError: no threshold reaches it.
        """
        reached = np.flatnonzero(self.risk <= target_risk)
        if not len(reached):
            raise ValueError(
                f"No threshold has a risk of {target_risk:g} or less: the lowest on these cells is "
                f"{self.risk.min():.3f}; give a greater target risk."
            )
        return float(self.threshold[reached[-1]])


def fit_calibration(
    similarity: np.ndarray,
    named: np.ndarray,
    truth: np.ndarray,
    *,
    target_risk: float | None = None,
    target_accuracy: float | None = None,
    fitted_with: dict[str, Any] | None = None,
) -> Calibration:
    """Fit temperature and threshold on cells with known types, which the calibrated use must not see again.

    Args:
        similarity: cos / temperature of the model, (cells, labels); NaN for a cell without any known gene.
        named: int, (cells,); column of the label with the best score, -1 for a cell without any, which is wrong.
        truth: int, (cells,); column of the right label, -1 where none of the labels is right. Such cells teach the
            threshold, but not the temperature.
        target_risk: share of wrong cells among the named ones that is accepted; 0.1 when neither target is given.
        target_accuracy: the same as 1 - target_risk.
        fitted_with: stored in the calibration.

    Raises:
        ValueError: both targets, a target outside 0 to 1 or out of reach, or arrays that do not fit.

    >>> similarity, named = np.array([[9.0, 1.0], [7.0, 2.0], [6.0, 4.0], [5.0, 4.9]]), np.array([0, 0, 0, 0])
    >>> calibration = fit_calibration(similarity, named, np.array([0, 0, 0, 1]), target_risk=0.0)
    >>> (calibration.confidence(similarity, named) < calibration.threshold).tolist()
    [False, False, False, True]
    """
    target = _target(target_risk, target_accuracy)
    known = _known_rows(similarity)
    cells = (len(similarity),)
    if truth.shape != cells or named.shape != cells or max(truth.max(), named.max()) >= similarity.shape[1]:
        raise ValueError(
            f"similarity {similarity.shape}, named {named.shape} and truth {truth.shape} do not fit; "
            "give a column for each cell, or -1."
        )
    taught = known & (truth >= 0)
    if not taught.any():
        raise ValueError("No cell has a right label among the candidates, so there is nothing to calibrate on.")
    calibration = Calibration(fit_temperature(similarity[taught], truth[taught]), 0.0)
    curve = risk_coverage(calibration.confidence(similarity, named), is_correct(named, truth))
    return Calibration(calibration.temperature, curve.threshold_for(target), fitted_with or {})


def fit_temperature(similarity: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature with the least negative log-likelihood of the truth; args as in `fit_calibration`, no
    -1."""
    logits, rows = similarity.astype(np.float64), np.arange(len(similarity))

    def negative_log_likelihood(log_temperature: float) -> float:
        return -float(log_softmax(logits / math.exp(log_temperature), axis=1)[rows, truth].mean())

    from scipy.optimize import minimize_scalar

    return math.exp(minimize_scalar(negative_log_likelihood, bounds=_LOG_TEMPERATURES, method="bounded").x)


def confidence_of(unknown: float | str | Path | None) -> tuple[Calibration | None, float]:
    """Return the calibration (None where there is none) and the least confidence that `unknown` stands for.

    Raises:
        ValueError: it is neither a number from 0 to 1 nor a calibration.
    """
    if unknown is None or unknown == AUTO_UNKNOWN:
        return None, 0.0
    threshold = number_of(unknown)
    if threshold is None:
        calibration = Calibration.load(str(unknown))
        return calibration, calibration.threshold
    check_confidence(threshold)
    return None, threshold


def best_labels(scores: np.ndarray) -> np.ndarray:
    """Return the column of each cell's best score, int, (cells,); -1 where all are NaN."""
    scored = ~np.isnan(scores).all(axis=1)
    return np.where(scored, np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1), -1)


def is_correct(named: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return whether the label that a cell got is the right one, bool, (cells,); not for cells without a right
    label."""
    return (named >= 0) & (named == truth)


def named_probabilities(probabilities: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return the probability of the label of each cell, (cells,); 0 where `named` is -1."""
    return np.where(named >= 0, probabilities[np.arange(len(named)), named], probabilities.dtype.type(0))


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> RiskCoverage:
    """Return the share of wrong cells among the most confident ones, for every share of cells kept.

    Cells of equal confidence are kept together.

    Args:
        confidence: (cells,).
        correct: bool, (cells,).

    >>> curve = risk_coverage(np.array([0.9, 0.5, 0.7, 0.5]), np.array([True, False, True, True]))
    >>> curve.coverage.tolist(), curve.risk.tolist()
    ([0.25, 0.5, 1.0], [0.0, 0.0, 0.25])
    """
    _check_cells(confidence, correct)
    order = np.argsort(-confidence, kind="stable")
    ranked, wrong = confidence[order], np.cumsum(~correct[order].astype(bool))
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return RiskCoverage(ranked[last], (last + 1) / len(ranked), wrong[last] / (last + 1))


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Return the mean difference between confidence and accuracy over bins of confidence, weighted by cells (Naeini et
    al. 2015).

    >>> expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False])).__round__(6)
    0.4
    """
    _check_cells(confidence, correct)
    if bins < 1:
        raise ValueError(f"bins is {bins}; give at least 1, such as 15.")
    place = np.minimum((np.clip(confidence, 0, 1) * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=confidence.astype(np.float64) - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _target(target_risk: float | None, target_accuracy: float | None) -> float:
    if target_risk is not None and target_accuracy is not None:
        raise ValueError("Give target_risk or target_accuracy, not both: one is 1 minus the other.")
    if target_accuracy is not None:
        target_risk = 1 - target_accuracy
    risk = DEFAULT_TARGET_RISK if target_risk is None else target_risk
    if not 0 <= risk < 1:
        raise ValueError(f"The target risk is {risk:g}; legal are 0 (no wrong cell) to below 1.")
    return risk


def _known_rows(similarity: np.ndarray) -> np.ndarray:
    """Return which cells have similarities, bool, (cells,)."""
    if similarity.ndim != 2 or not similarity.shape[1]:
        raise ValueError(f"similarity has the shape {similarity.shape}; give (cells, labels).")
    return np.logical_not(np.isnan(similarity).any(axis=1))


def _check_cells(confidence: np.ndarray, correct: np.ndarray) -> None:
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        raise ValueError(
            f"confidence {confidence.shape} and correct {correct.shape} do not fit; give one of each for every cell."
        )


def _is_same(key: str, fitted: Any, used: Any) -> bool:
    """Return whether scores made with one value are of the same kind as those with another."""
    if key == "reference_cells":  # in the genes of one file there may be one more of them than in another's
        return bool(fitted) == bool(used)
    return math.isclose(fitted, used, abs_tol=1e-9) if isinstance(used, float) else fitted == used


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
