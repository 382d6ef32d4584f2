"""Names that cells get from each other: a mixture of Gaussians, one a label, held to what the text says of each cell.

For cell i with similarities s and components z, and label l:

    log q[i, l] = log softmax((s[i] - c) / T)[l] - |W (z[i] - m[l])|^2 / (2 tau) + b log share[l] + constant

W whitens the covariance within labels, which all labels share. Means and covariance are weighted by the posterior q,
the means by q^2, so that cells between two types count less. q starts from the first term, and about forty rounds of
expectation and maximisation follow. The text's answer stays in every round: it is what holds a label to its name.

Three things keep what is not there from taking part:

- **Labels that nothing speaks for vanish.** In each round one label is dropped: that which the text supports least in
  its own territory, if its support is below `least_agreement`. Support is the mean of two shares: of cells that have
  the label as the most similar one, and of probability that the text alone gives it.
- **Labels that are near to every cell of the file** are drawn back by their mean similarity: c is the mean over the
  cells times 1.3 diversity^2. Diversity is Rao's quadratic entropy of a first, uncentred round: the chance that two
  cells are of types that lie apart. It is near 0 in a file of one type, where a mean similarity says nothing but the
  type.
- **A cell whose similarities are NaN** takes no part.

After TransCLIP (Zanella et al. 2024, transductive zero-shot classification of images), which has a diagonal covariance,
neighbours in every round, and none of the three. Here neighbours are heard once, at the end (`neighbours`). What was
tried and with what figures stands in training/EXPERIMENTS.md. Cost: cells x labels x components for each round, on a
sample of at most `MOST_CELLS`; the others are named in one such step.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_softmax, softmax

# Cells that a mixture is fitted to; more change no mean.
MOST_CELLS = 50_000
# With fewer cells each is better named alone (training/EXPERIMENTS.md).
LEAST_CELLS = 100

# A small file has no more axes than its cells can tell: one for each ten.
_CELLS_PER_COMPONENT = 10
_TINY = 1e-9
# Squared distance, in units of the variance within labels, from which on two labels count as lying apart.
_APART = 20.0
_ROUNDS_BEFORE_DROPPING = 4
_FIRST_ROUNDS = 8
_ABSENT = -1e9


@dataclass(frozen=True)
class MixtureSettings:
    """Numbers of the mixture; one choice for all files, made on the mean of many.

    Attributes:
        temperature: T above; of the similarities.
        softness: tau above; greater, and cells depend less on each other.
        share_weight: b above; 0 lets rare labels take as much as frequent ones, 1 is a plain mixture.
        core_power: power of q in the means.
        shrinkage: how far the covariance within labels is drawn to a sphere.
        centring: c over mean similarity in a file of many types.
        least_agreement: support below which a label is dropped.
        rounds: rounds of expectation and maximisation.
    """

    temperature: float = 1.2
    softness: float = 2.0
    share_weight: float = 0.4
    core_power: float = 2.0
    shrinkage: float = 0.2
    centring: float = 1.3
    least_agreement: float = 0.25
    rounds: int = 40


@dataclass(frozen=True, eq=False)
class LabelMixture:
    """A fitted mixture, for cells of the same file.

    Attributes:
        means: means of each label in the components that are read, float64, shape (labels, components).
        whitening: W above, shape (components, components).
        log_shares: log of each label's share of the cells, shape (labels,).
        present: bool, shape (labels,); False for a label that vanished.
        centre: c above, shape (labels,).
        diversity: 0 to 1; the chance that two cells are of types that lie apart.
        settings: what it was fitted with.
    """

    means: np.ndarray
    whitening: np.ndarray
    log_shares: np.ndarray
    present: np.ndarray
    centre: np.ndarray
    diversity: float
    settings: MixtureSettings

    @classmethod
    def fit(
        cls,
        similarity: np.ndarray,
        components: np.ndarray,
        *,
        known: np.ndarray | None = None,
        settings: MixtureSettings | None = None,
    ) -> "LabelMixture":
        """Fit a mixture to cells.

        Args:
            similarity: cos / temperature of the model, shape (cells, labels); NaN for a cell without a known gene.
            components: where the cells lie, the greatest component first, shape (cells, components); of any scale,
                NaN for an empty cell. Of fewer than 300 cells one component for each ten cells is read.
            known: int, shape (cells,); column of the label that a cell is known to have, -1 where it is not known.
                Such cells keep their label, and it never vanishes.
            settings: the numbers; the defaults when None.

        Raises:
            ValueError: shapes that do not fit, fewer than two labels, or fewer than two cells with values.
        """
        settings = settings or MixtureSettings()
        known = np.full(len(similarity), -1) if known is None else np.asarray(known)
        similarity, components = _checked(similarity, components, known)
        used = _usable(similarity, components)
        if used.sum() < 2:
            raise ValueError(f"{used.sum()} cells have similarities and components; a mixture needs at least 2.")
        n_components = _n_components(int(used.sum()), components.shape[1])
        cells = _Cells(similarity[used], components[used, :n_components], known[used])
        plain = _expectation_maximisation(cells, np.zeros(similarity.shape[1]), replace(settings, rounds=_FIRST_ROUNDS))
        diversity = plain.rao_diversity()
        centre = settings.centring * diversity**2 * cells.similarity.mean(axis=0)
        final = _expectation_maximisation(cells, centre, settings)
        return cls(final.means, final.whitening, final.log_shares, final.present, centre, float(diversity), settings)

    def posterior(self, similarity: np.ndarray, components: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Return the probabilities of the labels for a block of cells, whatever else is in the block.

        Args:
            similarity: as in `fit`, shape (cells, labels).
            components: as in `fit`.
            known: as in `fit`; such a cell has all its probability on its label.

        Returns:
            float64, shape (cells, labels); rows sum to 1. A cell without components has what its similarities alone
            say, a cell without similarities zeros.
        """
        known = np.full(len(similarity), -1) if known is None else np.asarray(known)
        similarity, components = _checked(similarity, components, known)
        heard = np.isfinite(similarity).all(axis=1)
        found = np.zeros(similarity.shape)
        found[heard] = softmax(_text(similarity[heard], self.centre, self.present, self.settings.temperature), axis=1)
        used = _usable(similarity, components)
        found[used] = softmax(self._log_joint(similarity[used], components[used]), axis=1)
        return _with_known(found, known)

    def log_place(self, components: np.ndarray) -> np.ndarray:
        """Return what place alone says: log of share and density of each label, up to a constant, (cells, labels)."""
        distance = _squared_distances(components[:, : self.means.shape[1]], self.means, self.whitening)
        return np.where(self.present, self.log_shares - distance / 2, _ABSENT)

    def _log_joint(self, similarity: np.ndarray, components: np.ndarray) -> np.ndarray:
        text = _text(similarity, self.centre, self.present, self.settings.temperature)
        distance = _squared_distances(components[:, : self.means.shape[1]], self.means, self.whitening)
        return text - distance / (2 * self.settings.softness) + self.settings.share_weight * self.log_shares


@dataclass(frozen=True, eq=False)
class _Cells:
    """The cells that take part; see `LabelMixture.fit`."""

    similarity: np.ndarray
    components: np.ndarray
    known: np.ndarray


@dataclass(frozen=True, eq=False)
class _State:
    """What a round comes to."""

    means: np.ndarray
    whitening: np.ndarray
    log_shares: np.ndarray
    present: np.ndarray

    def rao_diversity(self) -> float:
        """Return the chance that two cells are of labels that lie apart; Rao's quadratic entropy (1982)."""
        share = np.where(self.present, np.exp(self.log_shares), 0.0)
        placed = self.means @ self.whitening.T
        distance = ((placed[:, None] - placed[None]) ** 2).sum(axis=2)
        return float(share @ (1 - np.exp(-distance / _APART)) @ share / share.sum() ** 2)


def _expectation_maximisation(cells: _Cells, centre: np.ndarray, settings: MixtureSettings) -> _State:
    """Return the rounds, from what the text says."""
    n_labels = cells.similarity.shape[1]
    present = np.ones(n_labels, dtype=bool)
    never_dropped = np.isin(np.arange(n_labels), cells.known)
    text = _text(cells.similarity, centre, present, settings.temperature)
    q = _with_known(softmax(text, axis=1), cells.known)
    state = _maximised(cells.components, q, present, settings)
    for number in range(settings.rounds):
        distance = _squared_distances(cells.components, state.means, state.whitening)
        log_joint = text - distance / (2 * settings.softness) + settings.share_weight * state.log_shares
        q = _with_known(softmax(log_joint, axis=1), cells.known)
        if number >= _ROUNDS_BEFORE_DROPPING and present.sum() > 1:
            dropped = _least_agreed(cells.similarity, q, present, never_dropped, settings.least_agreement)
            if dropped is not None:
                present = present & (np.arange(n_labels) != dropped)
                text = _text(cells.similarity, centre, present, settings.temperature)
                q = np.where(present, q, 0.0)
                q /= q.sum(axis=1, keepdims=True) + _TINY
        state = _maximised(cells.components, q, present, settings)
    return state


def _maximised(components: np.ndarray, q: np.ndarray, present: np.ndarray, settings: MixtureSettings) -> _State:
    """Means, shared covariance and shares that the posterior q asks for."""
    n_cells, n_components = components.shape
    weight = q.sum(axis=0) + _TINY
    core = q**settings.core_power
    means = (core.T @ components) / (core.sum(axis=0) + _TINY)[:, None]
    first = q.T @ components
    scatter = components.T @ components - first.T @ means - means.T @ first + means.T @ (weight[:, None] * means)
    covariance = scatter / n_cells
    sphere = np.eye(n_components) * max(np.trace(covariance) / n_components, _TINY)
    covariance = (1 - settings.shrinkage) * covariance + settings.shrinkage * sphere
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    return _State(means, whitening, np.log(weight / n_cells), present)


def _least_agreed(
    similarity: np.ndarray, q: np.ndarray, present: np.ndarray, kept: np.ndarray, least: float
) -> int | None:
    """Return the label with the least support of the text in its own territory, if that is too little."""
    labels = np.flatnonzero(present)
    similarity, q = similarity[:, labels], q[:, labels]
    nearest = similarity == similarity.max(axis=1, keepdims=True)
    agreeing = (q * (nearest + softmax(similarity, axis=1))).sum(axis=0) / 2
    share = np.where(kept[labels], np.inf, agreeing / (q.sum(axis=0) + _TINY))
    worst = int(share.argmin())
    return int(labels[worst]) if share[worst] < least else None


def _text(similarity: np.ndarray, centre: np.ndarray, present: np.ndarray, temperature: float) -> np.ndarray:
    """log softmax over the labels that are present."""
    return log_softmax(np.where(present, (similarity - centre) / temperature, _ABSENT), axis=1)


def _squared_distances(components: np.ndarray, means: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    """|W (z - m)|^2, shape (cells, labels); einsum adds in the same order whatever the number of cells."""
    cells = np.einsum("ij,kj->ik", components, whitening)
    labels = np.einsum("ij,kj->ik", means, whitening)
    crossed = np.einsum("ij,kj->ik", cells, labels)
    squares = np.einsum("ij,ij->i", cells, cells)[:, None] + np.einsum("ij,ij->i", labels, labels)
    return np.maximum(squares - 2 * crossed, 0.0)


def _n_components(n_cells: int, given: int) -> int:
    """Return how many components are read: the first of a small file, all of a large one."""
    return max(1, min(given, max(2, n_cells // _CELLS_PER_COMPONENT)))


def _with_known(q: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Posteriors with those of known cells fixed."""
    rows = np.flatnonzero(known >= 0)
    q[rows] = 0.0
    q[rows, known[rows]] = 1.0
    return q


def _usable(similarity: np.ndarray, components: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(similarity).all(axis=1) & np.isfinite(components).all(axis=1))


def _checked(similarity: np.ndarray, components: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64.

    Raises:
        ValueError: see `LabelMixture.fit`.
    """
    if similarity.ndim != 2 or components.ndim != 2 or not len(similarity) == len(components) == len(known):
        raise ValueError(
            f"similarity {similarity.shape}, components {components.shape} and known {known.shape} do not fit; give "
            "a row of each for every cell."
        )
    if similarity.shape[1] < 2:
        raise ValueError(f"similarity has {similarity.shape[1]} column; a mixture needs two labels or more.")
    if len(known) and known.max() >= similarity.shape[1]:
        raise ValueError(f"known names label {known.max()}, but there are {similarity.shape[1]}; count from 0.")
    return np.asarray(similarity, dtype=np.float64), np.asarray(components, dtype=np.float64)
