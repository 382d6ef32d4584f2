"""Cells of the file whose label is known: they keep it, and what they look like is learned.

A logistic regression on the components, fitted to the known cells alone, says of every other cell which of the known
labels it has. Its answer joins the text's:

    similarity' = T * (text weight * log softmax(similarity / T) + label weight * log p)

The regression knows nothing of labels that no known cell has. What the text gives these labels stays as it is, and the
rest is shared out among the others by both voices.

The mixture goes on from there, with the known cells fixed. A regression on few cells is too sure of itself: weights of
1 and 0.7 are best or nearly so from 1 to 10 cells of each type (training/EXPERIMENTS.md). With twenty or more cells of
two types, other weights are tried: each of these cells is left out once (in folds), and the weights with the least log
loss on them are taken. So labels that the text knows badly follow the cells.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax, logsumexp

from langcell.inference.refinement.mixture import MixtureSettings

if TYPE_CHECKING:  # it takes a second
    from sklearn.linear_model import LogisticRegression

DEFAULT_WEIGHTS = (1.0, 0.7)
WEIGHTS = ((1.0, 1.0), (0.5, 1.0), (0.25, 1.0), (1.0, 0.5))
# With fewer known cells of a type the folds say too little: chosen from 5, weights cost 0.01 in macro-F1.
CELLS_TO_CHOOSE = 20
# With one cell per type the later components are noise to a regression.
COMPONENTS_READ = 30
_FOLDS = 5
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class KnownCells:
    """What known cells teach.

    Attributes:
        regression: None where all known cells have one label, which separates nothing.
        scale: what components are divided by.
        n_labels: number of labels, as the similarities have them.
        text_weight: see above.
        label_weight: see above; 0 without a regression.
        settings: settings of the mixture that goes on from here: nothing is drawn back by its mean similarity.
    """

    regression: "LogisticRegression | None"
    scale: float
    n_labels: int
    text_weight: float
    label_weight: float
    settings: MixtureSettings

    @classmethod
    def fit(
        cls,
        similarity: np.ndarray,
        components: np.ndarray,
        known: np.ndarray,
        *,
        scale: float | None = None,
        seed: int = 0,
    ) -> "KnownCells":
        """Learn from known cells; the order in which they come matters to the folds alone.

        Args:
            similarity: cos / temperature, shape (cells, labels).
            components: where the cells lie, shape (cells, components).
            known: int, shape (cells,); column of the label that a cell is known to have, -1 where it is not known.
            scale: standard deviation of the components in the file; of these cells when None.
            seed: random seed of the folds.

        Raises:
            ValueError: no known cell with similarities and components, or shapes that do not fit.
        """
        if not len(similarity) == len(components) == len(known):
            raise ValueError(
                f"similarity {similarity.shape}, components {components.shape} and known {known.shape} do not fit; "
                "give a row of each for every cell."
            )
        usable = np.isfinite(similarity).all(axis=1) & np.isfinite(components).all(axis=1)
        rows = np.flatnonzero(usable & (known >= 0))
        if not len(rows):
            raise ValueError("No cell with a known label has similarities and components; give some, or none at all.")
        if scale is None:
            scale = float(components[usable].std()) or 1.0
        codes, n_labels = known[rows], similarity.shape[1]
        settings = MixtureSettings(centring=0.0)
        if len(np.unique(codes)) < 2:
            return cls(None, scale, n_labels, 1.0, 0.0, settings)
        placed = components[rows, :COMPONENTS_READ] / scale
        text = log_softmax(similarity[rows].astype(np.float64) / settings.temperature, axis=1)
        weights = _chosen_weights(text, placed, codes, seed)
        return cls(_regression().fit(placed, codes), scale, n_labels, *weights, settings)

    def joined(self, similarity: np.ndarray, components: np.ndarray) -> np.ndarray:
        """Return the similarities that `LabelMixture` takes instead of the text's, float64, shape (cells, labels).

        A cell without components keeps what the text says.
        """
        temperature = self.settings.temperature
        text = self.text_weight * log_softmax(similarity.astype(np.float64) / temperature, axis=1)
        placed = np.isfinite(components).all(axis=1)
        if self.regression is not None and placed.any():
            taught = self.regression.classes_
            plain = log_softmax(similarity[placed].astype(np.float64) / temperature, axis=1)
            learned = _log_probabilities(
                self.regression, components[placed, :COMPONENTS_READ] / self.scale, self.n_labels
            )
            both = self.text_weight * plain[:, taught] + self.label_weight * learned[:, taught]
            share = logsumexp(plain[:, taught], axis=1, keepdims=True)
            text[placed] = plain
            text[np.ix_(placed, taught)] = share + log_softmax(both, axis=1)
        return temperature * text


def _regression() -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=1000)


def _log_probabilities(regression: "LogisticRegression", placed: np.ndarray, n_labels: int) -> np.ndarray:
    """Of all labels; one that no known cell has gets the least."""
    found = np.full((len(placed), n_labels), _LEAST)
    found[:, regression.classes_] += regression.predict_proba(placed)
    return np.log(found / found.sum(axis=1, keepdims=True))


def _chosen_weights(text: np.ndarray, placed: np.ndarray, codes: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the pair with the least log loss on known cells that were left out; the first of equals."""
    counts = np.bincount(codes)
    enough = np.isin(codes, np.flatnonzero(counts >= CELLS_TO_CHOOSE))
    if len(np.unique(codes[enough])) < 2:
        return DEFAULT_WEIGHTS
    rows = np.flatnonzero(enough)
    learned = np.zeros((len(rows), text.shape[1]))
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(placed[rows], codes[rows]):
        regression = _regression().fit(placed[rows[train]], codes[rows[train]])
        learned[test] = _log_probabilities(regression, placed[rows[test]], text.shape[1])
    truth = (np.arange(len(rows)), codes[rows])
    losses = [-log_softmax(a * text[rows] + b * learned, axis=1)[truth].mean() for a, b in WEIGHTS]
    return WEIGHTS[int(np.argmin(losses))]
