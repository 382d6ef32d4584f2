"""Which names cells of a file of few types may change: between labels that lie apart, or to one that prevails alone.

A mixture always finds two groups where two labels have some cells, also where all these cells are of one type. In a
file of many types that is rare, and names gain from each other. In a file of one or two types it is the rule: the text
gives some cells a second name, the mixture makes a group of them, and the group grows. So where the diversity of the
file (`mixture`) is below that of three equally frequent types, labels a and b have to show that both are there. The
cells of the two are parted by place alone: by their distances to the two means, not by what the text says of them. Then
d[i] = s[i, b] - s[i, a], the text's view, is compared between the two sides. The labels lie apart if

- d is below -0.25 on a's side and above 0.25 on b's, in the mean, and the two means differ by 1.5 standard deviations
  of d within the sides; or
- the means differ by 4 standard deviations.

Between other labels a cell changes its name in one case: if three of four cells of the two labels have the new name
alone. Else the probability of both is shared out as the text says. The numbers lie on a plateau
(training/EXPERIMENTS.md). Cost: one look at the sample for each pair of labels between which cells of it change.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from langcell.inference.refinement.mixture import LabelMixture

# Rao's diversity of three equally frequent types that lie far apart.
FEW_TYPES_BELOW = 2 / 3

_OWN_SIDE = 0.25
_APART = 1.5
_FAR_APART = 4.0
_LEAST_CELLS = 5
_PREVAILS = 0.75
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Separation:
    """The names that cells of a file may change.

    Attributes:
        changes: bool, shape (labels, labels); whether a cell that has the label of the row alone may get that of the
            column.
    """

    changes: np.ndarray

    @classmethod
    def fit(
        cls, similarity: np.ndarray, components: np.ndarray, mixture: LabelMixture, posterior: np.ndarray
    ) -> "Separation | None":
        """Look at the cells of a sample; None in a file of many types, where all names may change.

        Args:
            similarity: as in `LabelMixture.fit`, shape (cells, labels).
            components: likewise, shape (cells, components).
            mixture: fitted to these cells.
            posterior: posterior of the file for them, shape (cells, labels).
        """
        if mixture.diversity > FEW_TYPES_BELOW:
            return None
        used = np.isfinite(similarity).all(axis=1) & np.isfinite(components).all(axis=1)
        similarity, posterior = similarity[used].astype(np.float64), posterior[used]
        place = mixture.log_place(components[used])
        changes = np.ones((similarity.shape[1],) * 2, dtype=bool)
        alone = similarity.argmax(axis=1)
        for first, second in _changed_between(alone, posterior.argmax(axis=1)):
            if mixture.present[first] and mixture.present[second]:
                inside = posterior[:, first] + posterior[:, second] > 0.5
                second_side = expit(place[inside, second] - place[inside, first])
                apart = _lie_apart(similarity[inside, second] - similarity[inside, first], second_side)
                counts = np.bincount(alone[inside], minlength=similarity.shape[1])[[first, second]]
                prevails = counts >= _PREVAILS * max(counts.sum(), 1)
                changes[first, second], changes[second, first] = apart or prevails[1], apart or prevails[0]
        return cls(changes)

    def heard(self, similarity: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        """Return posteriors in which no cell changes to a name that it may not, float64, shape (cells, labels).

        Args:
            similarity: similarity of any cells of the file, shape (cells, labels); NaN for a cell without a known gene.
            posterior: posterior of the file for these cells, shape (cells, labels).
        """
        found = posterior.astype(np.float64)
        rows = np.flatnonzero(np.isfinite(similarity).all(axis=1) & posterior.any(axis=1))
        alone, together = similarity[rows].argmax(axis=1), posterior[rows].argmax(axis=1)
        kept = ~self.changes[alone, together]
        rows, alone, together = rows[kept], alone[kept], together[kept]
        both = found[rows, alone] + found[rows, together]
        share = expit(similarity[rows, alone].astype(np.float64) - similarity[rows, together])
        found[rows, alone], found[rows, together] = both * share, both * (1 - share)
        return found


def _changed_between(alone: np.ndarray, together: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of labels between which a cell changes its name, each with the smaller column first."""
    changed = alone != together
    pairs = np.sort(np.stack([alone[changed], together[changed]], axis=1), axis=1)
    return [(int(first), int(second)) for first, second in np.unique(pairs, axis=0)]


def _lie_apart(views: np.ndarray, second_side: np.ndarray) -> bool:
    """Whether the text's view d above differs between the sides.

    Args:
        views: d of the cells of the two labels, shape (cells,).
        second_side: probability of each to lie on the second label's side, shape (cells,).
    """
    weights = np.stack([1 - second_side, second_side])
    if len(views) < _LEAST_CELLS or weights.sum(axis=1).min() < 0.5:
        return False
    means = weights @ views / weights.sum(axis=1)
    within = (weights * (views - means[:, None]) ** 2).sum() / len(views)
    difference = (means[1] - means[0]) / np.sqrt(within + _TINY)
    own_sides = means[0] < -_OWN_SIDE and means[1] > _OWN_SIDE
    return bool(difference > _FAR_APART or (own_sides and difference > _APART))
