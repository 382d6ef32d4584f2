"""Confidence that is a probability: of a hundred cells with 0.8, about eighty have the right name.

    refined:  sigmoid(a log((A[n] + 0.01) / (1 - A[n] + 0.01)) + b)
    alone:    sigmoid(a logit(softmax(s / 2)[n]) + b)

for the label n that a cell got, with its neighbourhood's agreement A on it (`agreement`) and similarities s
(cos / temperature). a and b are logistic regressions on real sets (`training/fit_confidence.py`), sets weighted
equally: for refined names with their own types, with 20 more candidates, and as panels of 500 genes. Fitted without a
set, the expected calibration error of refined names is 0.07 on average and 0.10 at most (training/EXPERIMENTS.md): a
set whose groups are misnamed is still judged too well, one that is easy too badly.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

_LEAST = 1e-3
# Sixteen cells that agree wholly say no more than 100 to 1.
_DOUBT = 0.01


@dataclass(frozen=True)
class Calibration:
    """What makes a probability of what is known of a cell's name.

    Attributes:
        slope: a above; greater than 0, so that more evidence is never less confidence.
        intercept: b above.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope > 0):
            raise ValueError(
                f"slope {self.slope} and intercept {self.intercept} make no calibration; the slope is a number above 0."
            )


@dataclass(frozen=True)
class NameConfidence:
    """The two calibrations of a model.

    Attributes:
        of_refined: for names that the file gave.
        of_alone: for names that a cell got by itself.
    """

    of_refined: Calibration
    of_alone: Calibration

    @classmethod
    def of(cls, config: Any) -> "NameConfidence | None":
        """Read what a model's configuration holds as `confidence`: {"agreement": [slope, intercept], "alone": ...}.

        An older folder has "refined" in place of "agreement", for another evidence: then `REFINED` is taken.
        """
        stored = getattr(config, "confidence", None)
        if not stored:
            return None
        refined = Calibration(*stored["agreement"]) if "agreement" in stored else REFINED
        return cls(refined, Calibration(*stored["alone"]))

    def refined(self, agreement: np.ndarray, named: np.ndarray) -> np.ndarray:
        """Return `refined_confidence` by this model's calibration."""
        return refined_confidence(agreement, named, self.of_refined)

    def alone(self, similarity: np.ndarray, named: np.ndarray) -> np.ndarray:
        """Return `alone_confidence` by this model's calibration."""
        return alone_confidence(similarity, named, self.of_alone)


REFINED = Calibration(0.66, 0.14)
ALONE = Calibration(0.88, 0.63)


def agreement_evidence(agreement: np.ndarray) -> np.ndarray:
    """Return the evidence of an agreement, 0 to 1, which a calibration makes a probability of; float64, its shape."""
    agreement = np.clip(agreement.astype(np.float64), 0, 1)
    return np.log((agreement + _DOUBT) / (1 - agreement + _DOUBT))


def refined_evidence(agreement: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return the evidence of names that the file gave, float64, shape (cells,); arguments as `refined_confidence`."""
    return agreement_evidence(_of_named(agreement, named))


def alone_evidence(similarity: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return the evidence of names that cells got alone, float64, shape (cells,); arguments as `alone_confidence`."""
    text = np.clip(_of_named(softmax(_finite(similarity) / 2, axis=1), named), _LEAST, 1 - 1e-6)
    return np.log(text) - np.log1p(-text)


def refined_confidence(agreement: np.ndarray, named: np.ndarray, calibration: Calibration = REFINED) -> np.ndarray:
    """Return the probability that the names that the file gave are right.

    Args:
        agreement: what each cell's neighbourhood agrees on, from `FileRefinement.heard`, shape (cells, labels); zeros
            for a cell without a known gene, which has 0.
        named: int, shape (cells,); column of the label that a cell got, -1 for one that got none, which has 0.
        calibration: the bundled one, or one that `fit_calibration` made.

    Returns:
        float64, 0 to 1, shape (cells,).
    """
    found = expit(calibration.slope * refined_evidence(agreement, named) + calibration.intercept)
    return np.where((named >= 0) & agreement.any(axis=1), found, 0.0)


def alone_confidence(similarity: np.ndarray, named: np.ndarray, calibration: Calibration = ALONE) -> np.ndarray:
    """Return the probability that the name that a cell got from its text alone is right.

    Args:
        similarity: cos / temperature, shape (cells, labels); NaN for a cell without a known gene, which has 0.
        named: as in `refined_confidence`.
        calibration: likewise.
    """
    found = expit(calibration.slope * alone_evidence(similarity, named) + calibration.intercept)
    return np.where((named >= 0) & np.isfinite(similarity).all(axis=1), found, 0.0)


def fit_calibration(evidence: np.ndarray, right: np.ndarray, weights: np.ndarray | None = None) -> Calibration:
    """Fit slope and intercept on cells with known types.

    Args:
        evidence: evidence of their names, from `refined_evidence` or `alone_evidence`, shape (cells,).
        right: bool, shape (cells,); whether each name is right.
        weights: how much each cell counts, shape (cells,); all alike when None.

    Raises:
        ValueError: all names are right, or all wrong, or more evidence goes with fewer right names.
    """
    if right.all() or not right.any():
        raise ValueError(f"{right.sum()} of {len(right)} names are right; a calibration needs right and wrong ones.")
    from sklearn.linear_model import LogisticRegression

    scale = None if weights is None else weights * (len(weights) / weights.sum())
    fitted = LogisticRegression(C=10.0).fit(evidence[:, None], right, sample_weight=scale)
    return Calibration(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


def _of_named(values: np.ndarray, named: np.ndarray) -> np.ndarray:
    return values[np.arange(len(values)), np.maximum(named, 0)].astype(np.float64)


def _finite(similarity: np.ndarray) -> np.ndarray:
    """Similarities with zeros for a cell that has none, which is left out at the end."""
    return np.nan_to_num(similarity.astype(np.float64))
