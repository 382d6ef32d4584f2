"""Confidence that is a probability: of a hundred cells with 0.8, about eighty have the right name.

Posteriors of a mixture are near 0 or 1, since every component counts as evidence of its own, and the errors that are
left are those of whole groups. So two voices are heard for the label n that a cell got: the text alone, and the file.

    refined:  sigmoid(a log((softmax(s)[n] + q[n]) / 2) + b)
    alone:    sigmoid(a logit(softmax(s / 2)[n]) + b)

with similarities s (cos / temperature) and posterior q. a and b are logistic regressions on six real sets with their
own types as candidates, sets weighted equally. Fitted without a set, its expected calibration error is 0.08 on average
(training/EXPERIMENTS.md): a set whose groups are misnamed is judged too well, one that is easy too badly.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

_LEAST = 1e-3


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
        """Read what a model's configuration holds as `confidence`: {"refined": [slope, intercept], "alone": ...}."""
        stored = getattr(config, "confidence", None)
        return None if not stored else cls(Calibration(*stored["refined"]), Calibration(*stored["alone"]))

    def refined(self, posterior: np.ndarray, similarity: np.ndarray, named: np.ndarray) -> np.ndarray:
        """Return `refined_confidence` by this model's calibration."""
        return refined_confidence(posterior, similarity, named, self.of_refined)

    def alone(self, similarity: np.ndarray, named: np.ndarray) -> np.ndarray:
        """Return `alone_confidence` by this model's calibration."""
        return alone_confidence(similarity, named, self.of_alone)


REFINED = Calibration(3.36, 2.48)
ALONE = Calibration(0.88, 0.63)


def refined_confidence(
    posterior: np.ndarray, similarity: np.ndarray, named: np.ndarray, calibration: Calibration = REFINED
) -> np.ndarray:
    """Return the probability that the names that the file gave are right.

    Args:
        posterior: posterior of `LabelMixture.posterior`, shape (cells, labels).
        similarity: cos / temperature, shape (cells, labels); NaN for a cell without a known gene.
        named: int, shape (cells,); column of the label that a cell got, -1 for one that got none, which has 0.
        calibration: the bundled one, or one that `fit_calibration` made.

    Returns:
        float64, 0 to 1, shape (cells,).
    """
    return _confidence(_refined_evidence(posterior, similarity, named), named, similarity, calibration)


def alone_confidence(similarity: np.ndarray, named: np.ndarray, calibration: Calibration = ALONE) -> np.ndarray:
    """Return the probability that the name that a cell got from its text alone is right; see `refined_confidence`."""
    return _confidence(_alone_evidence(similarity, named), named, similarity, calibration)


def fit_calibration(
    similarity: np.ndarray, named: np.ndarray, truth: np.ndarray, posterior: np.ndarray | None = None
) -> Calibration:
    """Fit slope and intercept on cells with known types.

    Args:
        similarity: see `refined_confidence`.
        named: see `refined_confidence`.
        truth: int, shape (cells,); column of the right label, -1 where it is none of them.
        posterior: for names that the file gave; without, for those of cells alone.

    Raises:
        ValueError: all names are right, or all wrong, or more evidence goes with fewer right names.
    """
    used = np.isfinite(similarity).all(axis=1) & (named >= 0)
    right = named[used] == truth[used]
    if right.all() or not right.any():
        raise ValueError(f"{right.sum()} of {len(right)} names are right; a calibration needs right and wrong ones.")
    if posterior is None:
        evidence = _alone_evidence(similarity[used], named[used])
    else:
        evidence = _refined_evidence(posterior[used], similarity[used], named[used])
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=10.0).fit(evidence[:, None], right)
    return Calibration(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


def _refined_evidence(posterior: np.ndarray, similarity: np.ndarray, named: np.ndarray) -> np.ndarray:
    text = _of_named(softmax(_finite(similarity), axis=1), named)
    return np.log(np.maximum((text + _of_named(posterior, named)) / 2, _LEAST))


def _alone_evidence(similarity: np.ndarray, named: np.ndarray) -> np.ndarray:
    text = np.clip(_of_named(softmax(_finite(similarity) / 2, axis=1), named), _LEAST, 1 - 1e-6)
    return np.log(text) - np.log1p(-text)


def _confidence(
    evidence: np.ndarray, named: np.ndarray, similarity: np.ndarray, calibration: Calibration
) -> np.ndarray:
    found = expit(calibration.slope * evidence + calibration.intercept)
    return np.where((named >= 0) & np.isfinite(similarity).all(axis=1), found, 0.0)


def _of_named(values: np.ndarray, named: np.ndarray) -> np.ndarray:
    return values[np.arange(len(values)), np.maximum(named, 0)].astype(np.float64)


def _finite(similarity: np.ndarray) -> np.ndarray:
    """Similarities with zeros for a cell that has none, which is left out at the end."""
    return np.nan_to_num(similarity.astype(np.float64))
