"""What the cells of a file say of each other once all of them are named alone: posteriors, novelty, confidence."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from langcell.inference.refinement.agreement import Agreement
from langcell.inference.refinement.kept_names import with_kept_names
from langcell.inference.refinement.known_cells import KnownCells
from langcell.inference.refinement.mixture import LabelMixture
from langcell.inference.refinement.neighbours import Neighbours
from langcell.inference.refinement.novelty import Novelty
from langcell.inference.refinement.placing import Block, NamedFile
from langcell.inference.refinement.separation import Separation


class Mixture(Protocol):
    """What is fitted to the cells of a file; see `LabelMixture`."""

    @property
    def present(self) -> np.ndarray:
        """Whether each label takes part, bool, shape (labels,)."""
        ...

    def posterior(self, similarity: np.ndarray, components: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Return probabilities of the labels, shape (cells, labels)."""
        ...


class Sampled(Protocol):
    """What has a sample of the cells of a file, such as `NamedFile`."""

    @property
    def sample(self) -> Block:
        """Cells to fit to."""
        ...


class FileVoice(NamedTuple):
    """What the file says of some cells.

    Attributes:
        posterior: probabilities of the labels, float64, shape (cells, labels); rows sum to 1.
        agreement: how far a cell and its neighbours agree on each label (`agreement`), likewise.
    """

    posterior: np.ndarray
    agreement: np.ndarray


class FileRefinement:
    """A mixture fitted to the sample of a file, its neighbours, and what known cells of the file teach.

    Args:
        file: has the sample: cells, placed.
        fit: fits the mixture; another than `LabelMixture.fit` for labels that are a branch of the ontology.
        neighbours: whether the nearest cells are heard, which makes answers surer than the mixture alone is.
        text: what a cell by itself goes by; its similarities where labels are equals.
        seed: random seed of the folds in which known cells are left out.
    """

    def __init__(
        self,
        file: NamedFile | Sampled,
        *,
        fit: Callable[..., Mixture] = LabelMixture.fit,
        neighbours: bool = True,
        text: Callable[[np.ndarray], np.ndarray] = np.asarray,
        seed: int = 0,
    ) -> None:
        sample = file.sample
        assert sample.places is not None, "cells that are not placed cannot be refined"
        self.n_sampled = len(sample.similarity)
        self.known = None
        known = sample.cells.known
        if known is not None and (known[heard_cells(sample)] >= 0).any():
            self.known = KnownCells.fit(sample.similarity, sample.places, known, seed=seed)
        settings = None if self.known is None else self.known.settings
        self.mixture = fit(self._heard(sample), sample.places, known=known, settings=settings)
        self._neighbours, self._separation = None, None
        # A branch of the ontology shares probability between terms and the terms above them in its own way.
        self._equals = isinstance(self.mixture, LabelMixture)
        self._agreement = Agreement(np.empty(0), text)
        self._n_named = np.zeros(sample.similarity.shape[1], dtype=np.int64)
        if neighbours:
            self._hear_neighbours(sample)

    def _hear_neighbours(self, sample: Block) -> None:
        """Fit what depends on the neighbours."""
        assert sample.places is not None
        found, final = self._by_mixture(sample), None
        self._neighbours = Neighbours.fit(sample.places, found)
        if self._equals and self.known is None:  # known cells say which labels are there
            assert isinstance(self.mixture, LabelMixture)
            together = self._by_neighbours(sample, found, self._nearest(sample, found))
            self._separation = Separation.fit(sample.similarity, sample.places, self.mixture, together)
            final = self._checked_names(sample, together)
            self._n_named = np.bincount(final.argmax(axis=1)[final.any(axis=1)], minlength=final.shape[1])
        if self._neighbours is not None:
            rows = self._neighbours.rows
            voters = sample.rows(rows)
            posterior = self.posterior(voters) if final is None else final[rows]
            self._agreement = Agreement.fit(voters.similarity, posterior, self._agreement.text)

    def posterior(self, block: Block) -> np.ndarray:
        """Return the probabilities of the labels for some cells, float64, shape (cells, labels); rows sum to 1."""
        found = self._by_mixture(block)
        return self._posterior(block, found, self._nearest(block, found) if self._equals else None)

    def heard(self, block: Block) -> FileVoice:
        """Return the probabilities of the labels for some cells, and what their neighbours make of these."""
        found = self._by_mixture(block)
        nearest = self._nearest(block, found)
        posterior = self._posterior(block, found, nearest)
        return FileVoice(posterior, self._agreement.around(block.similarity, posterior, *nearest))

    def _posterior(self, block: Block, found: np.ndarray, nearest: "_Nearest | None") -> np.ndarray:
        return self._checked_names(block, self._by_neighbours(block, found, nearest))

    def _nearest(self, block: Block, found: np.ndarray) -> "_Nearest":
        assert block.places is not None
        if self._neighbours is None:
            return np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=np.int64)
        return self._neighbours.nearest(block.places, found)

    def _by_neighbours(self, block: Block, posterior: np.ndarray, nearest: "_Nearest | None") -> np.ndarray:
        if self._neighbours is None or not self._equals:
            return posterior
        assert block.places is not None
        return self._neighbours.heard(block.places, posterior, nearest)

    def _checked_names(self, block: Block, posterior: np.ndarray) -> np.ndarray:
        """Take back the changes of names that a file of few types, or a text that is sure, does not allow."""
        if self._neighbours is None or not self._equals or self.known is not None:
            return posterior
        found = posterior if self._separation is None else self._separation.heard(block.similarity, posterior)
        return with_kept_names(block.similarity, found)

    def _by_mixture(self, block: Block) -> np.ndarray:
        assert block.places is not None
        return self.mixture.posterior(self._heard(block), block.places, known=block.cells.known)

    def settings(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return what uns["langcell"] says of the refinement; `labels` are the names in order."""
        absent = np.flatnonzero(~self.mixture.present & (self._n_named == 0)).tolist()
        found: dict[str, Any] = {
            "refined_with_cells": self.n_sampled,
            "labels_without_evidence": [labels[code] for code in absent],
            "few_types": self._separation is not None,
        }
        if self.known is not None:
            found["weight_of_text"], found["weight_of_known_cells"] = self.known.text_weight, self.known.label_weight
        return found

    def _heard(self, block: Block) -> np.ndarray:
        """Return what is heard of cells before the mixture: the text, and what known cells teach."""
        if self.known is None:
            return block.similarity
        assert block.places is not None
        return self.known.joined(block.similarity, block.places)


_Nearest = tuple[np.ndarray, np.ndarray]


def heard_cells(block: Block) -> np.ndarray:
    """Return which cells have similarities and a place, bool, shape (cells,); others say nothing to a mixture."""
    heard = np.isfinite(block.similarity).all(axis=1)
    placed = True if block.places is None else np.isfinite(block.places).all(axis=1)
    return np.asarray(heard & placed)


def novelty_of(file: NamedFile) -> Novelty:
    """Fit what says how little any label fits a cell of the file."""
    return Novelty.fit(file.sample.similarity, file.sample.places, file.sample.margin)
