"""The mixture of a file from the top of a branch down: parents and children never compete as equals.

All labels of a branch in one mixture compete with their own parents: "T follicular helper cell" then leads in blood,
and "mononuclear phagocyte" takes the monocytes. Here the labels at the top of the tree compete first. Each stands for
its whole branch. Then the labels below each of them share the cells that it got, and so on down. What a cell has of a
label is the product of its shares on the way.

    s'[l] = (s[l] + w * mean of s over the labels above l) / (1 + w) + b * log prior[l]
    S[l] = s'[l]                                  a label with none below it
    S[l] = max(s'[l], S[c])                       a label with one child c alone
    S[l] = log(exp s'[l] + sum over c of exp S[c])  a label with several children

s are similarities, and S is what the mixture of a level reads of label l. A label and its only child are one choice
under two names, so they count once: summed, "non-classical monocyte" and "CD14-low, CD16-positive monocyte" took the
cells of "CD14-positive monocyte". The mean over the labels above holds a label
to its lineage. The prior of a label is the number of tissues in which the model's training profiles have the type: a
type of one tissue needs more evidence. A label with one child alone shares with it by the text. w and b are one choice
for all files; training/EXPERIMENTS.md has the figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp, softmax

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.refinement.mixture import LabelMixture, MixtureSettings

# With fewer cells the labels below a label share them by the text.
LEAST_CELLS_OF_A_BRANCH = 30


@dataclass(frozen=True, eq=False)
class TreeText:
    """What the text says of the labels of a branch.

    Attributes:
        tree: tree of the labels.
        prior: number of tissues that have the type of each label, at least 1, shape (labels,).
        lineage: w above.
        prior_weight: b above.
    """

    tree: LabelTree
    prior: np.ndarray
    lineage: float = 0.3
    prior_weight: float = 1.0

    def joined(self, similarity: np.ndarray) -> np.ndarray:
        """Return s' above, float64, shape (cells, labels); NaN stays NaN."""
        above = self.tree.below.T & ~np.eye(len(self.prior), dtype=bool)
        counts = above.sum(axis=1)
        weights = self.lineage * above / np.maximum(counts, 1)[:, None] + np.eye(len(self.prior))
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("ij,kj->ik", similarity.astype(np.float64), weights) + self.prior_weight * np.log(self.prior)

    def own(self, similarity: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """Return the probability that is on each label by the text alone, zeros for a cell without similarities."""
        heard = np.isfinite(similarity).all(axis=1, keepdims=True)
        return np.where(heard, softmax(np.nan_to_num(self.joined(similarity)) / temperature, axis=1), 0.0)


@dataclass(frozen=True, eq=False)
class TreeMixture:
    """A mixture for each label that has others below it.

    Attributes:
        text: what the labels say of a cell.
        levels: (label above, labels below, their mixture or None where the text decides), from the top down.
        settings: settings of the mixtures.
    """

    text: TreeText
    levels: Sequence[tuple[int, np.ndarray, LabelMixture | None]]
    settings: MixtureSettings

    @classmethod
    def fit(
        cls,
        text: TreeText,
        similarity: np.ndarray,
        components: np.ndarray,
        *,
        known: np.ndarray | None = None,
        settings: MixtureSettings | None = None,
    ) -> "TreeMixture":
        """Fit mixtures from the top down; arguments and errors as `LabelMixture.fit`.

        Args:
            text: tree and priors of the labels.
            similarity: see there.
            components: see there.
            known: see there.
            settings: see there.
        """
        known = np.full(len(similarity), -1) if known is None else np.asarray(known)
        empty = cls(text, (), settings or MixtureSettings())
        joined, levels = text.joined(similarity), []
        share = np.zeros(similarity.shape)
        for label in _from_the_top(text.tree):
            below = text.tree.children(label)
            here = np.ones(len(similarity)) if label < 0 else share[:, label]
            groups, fitted = empty._groups(joined, label, below), None
            taught = empty._known_at(known, below)
            inside = np.flatnonzero((here > 0.5) & np.isfinite(groups).all(axis=1))
            placed = inside[np.isfinite(components[inside]).all(axis=1)]
            if len(below) > 1 and len(placed) >= LEAST_CELLS_OF_A_BRANCH:
                fitted = LabelMixture.fit(groups[inside], components[inside], known=taught[inside], settings=settings)
            levels.append((label, below, fitted))
            share[:, below] = here[:, None] * empty._shares(groups, components, below, fitted)
        return replace(empty, levels=tuple(levels))

    @property
    def present(self) -> np.ndarray:
        """Whether a label and all above it take part, bool, shape (labels,)."""
        present = np.ones(len(self.text.prior), dtype=bool)
        for label, below, fitted in self.levels:
            present[below] = (fitted.present if fitted is not None else True) & (label < 0 or present[label])
        return present

    def posterior(self, similarity: np.ndarray, components: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Return the probabilities that are on each label itself, for a block of cells, whatever else is in the block.

        Args:
            similarity: as in `fit`, shape (cells, labels).
            components: as in `fit`.
            known: as in `fit`; such a cell has all its probability on its label.

        Returns:
            float64, shape (cells, labels); rows sum to 1. `LabelTree.mass` sums them up the tree. A cell without
            similarities has zeros.
        """
        joined: np.ndarray = self.text.joined(similarity)
        own: np.ndarray = np.zeros(similarity.shape)
        heard = np.isfinite(joined).all(axis=1)
        for label, below, fitted in self.levels:
            here = np.asarray(heard if label < 0 else own[:, label], dtype=np.float64).copy()
            groups = self._groups(joined, label, below)
            own[:, below] = here[:, None] * self._shares(groups, components, below, fitted)
            if label >= 0:
                own[:, label] = here - own[:, below].sum(axis=1)
        own = np.maximum(own, 0.0)
        if known is not None:
            rows = np.flatnonzero(known >= 0)
            own[rows] = 0.0
            own[rows, known[rows]] = 1.0
        return own

    def _groups(self, joined: np.ndarray, label: int, below: np.ndarray) -> np.ndarray:
        """S of the labels below one; where there is one alone, what the label above has of its own comes last."""
        scores = [self._branch_score(joined, child) for child in below]
        if len(below) == 1 and label >= 0:
            scores.append(joined[:, label])
        return np.stack(scores, axis=1)

    def _branch_score(self, joined: np.ndarray, label: int) -> np.ndarray:
        """S of a label, float64, shape (cells,)."""
        own = joined[:, label]
        below = [self._branch_score(joined, child) for child in self.text.tree.children(label)]
        if len(below) == 1:
            return np.maximum(own, below[0])
        return np.asarray(logsumexp(np.stack([own, *below], axis=1), axis=1)) if below else own

    def _shares(
        self, groups: np.ndarray, components: np.ndarray, below: np.ndarray, fitted: LabelMixture | None
    ) -> np.ndarray:
        """Return what each label below has of the cells of the label above, shape (cells, labels below)."""
        if fitted is not None:
            return fitted.posterior(groups, components)
        heard = np.isfinite(groups).all(axis=1, keepdims=True)
        shares = softmax(np.nan_to_num(groups) / self.settings.temperature, axis=1)
        return np.where(heard, shares, 0.0)[:, : len(below)]

    def _known_at(self, known: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Return which of the labels below a known cell is of, -1 where of none or not known."""
        found = np.full(len(known), -1, dtype=np.int64)
        for place, child in enumerate(below):
            found[np.isin(known, self.text.tree.branch(child))] = place
        return found


def _from_the_top(tree: LabelTree) -> list[int]:
    """-1 and the labels that have others below them, each after the one above it."""
    inner = np.unique(tree.parent[tree.parent >= 0])
    return [-1, *inner[np.argsort(tree.depth[inner], kind="stable")].tolist()]
