"""What the cells of a file say of each other once all of them are named alone: posteriors, novelty, confidence."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

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


class FileRefinement:
    """A mixture fitted to the sample of a file, its neighbours, and what known cells of the file teach.

    Args:
        file: has the sample: cells, placed.
        fit: fits the mixture; another than `LabelMixture.fit` for labels that are a branch of the ontology.
        neighbours: whether the nearest cells are heard, which makes answers surer than the mixture alone is.
        seed: random seed of the folds in which known cells are left out.
    """

    def __init__(
        self,
        file: NamedFile | Sampled,
        *,
        fit: Callable[..., Mixture] = LabelMixture.fit,
        neighbours: bool = True,
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
        self._neighbours = None
        # A branch of the ontology shares probability between terms and the terms above them in its own way.
        self._separation = None
        if neighbours and isinstance(self.mixture, LabelMixture):
            found = self._by_mixture(sample)
            self._neighbours = Neighbours.fit(sample.places, found)
            if self.known is None:  # known cells say which labels are there
                together = self._by_neighbours(sample.places, found)
                self._separation = Separation.fit(sample.similarity, sample.places, self.mixture, together)

    def posterior(self, block: Block) -> np.ndarray:
        """Return the probabilities of the labels for some cells, float64, shape (cells, labels); rows sum to 1."""
        assert block.places is not None
        found = self._by_neighbours(block.places, self._by_mixture(block))
        return found if self._separation is None else self._separation.heard(block.similarity, found)

    def _by_neighbours(self, places: np.ndarray, posterior: np.ndarray) -> np.ndarray:
        return posterior if self._neighbours is None else self._neighbours.heard(places, posterior)

    def _by_mixture(self, block: Block) -> np.ndarray:
        assert block.places is not None
        return self.mixture.posterior(self._heard(block), block.places, known=block.cells.known)

    def settings(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return what uns["langcell"] says of the refinement; `labels` are the names in order."""
        absent = np.flatnonzero(~self.mixture.present).tolist()
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


def heard_cells(block: Block) -> np.ndarray:
    """Return which cells have similarities and a place, bool, shape (cells,); others say nothing to a mixture."""
    heard = np.isfinite(block.similarity).all(axis=1)
    placed = True if block.places is None else np.isfinite(block.places).all(axis=1)
    return np.asarray(heard & placed)


def novelty_of(file: NamedFile) -> Novelty:
    """Fit what says how little any label fits a cell of the file."""
    return Novelty.fit(file.sample.similarity, file.sample.places, file.sample.margin)
