"""What the ontology says of the labels of a run: whether it is asked, and the answers that follow."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.tree_answers import (
    TreeAnswers,
    answers_alone,
    answers_in_list,
    answers_together,
    label_alone,
)
from langcell.inference.hierarchy.tree_mixture import TreeMixture, TreeText
from langcell.inference.refinement.confidence import NameConfidence
from langcell.inference.refinement.file_refinement import FileVoice
from langcell.processing.labels.lookup import Label
from langcell.processing.labels.tissues import tissues_of_type
from langcell.processing.ontology.terms import Ontology

logger = logging.getLogger("langcell")


@dataclass(frozen=True, eq=False)
class TreeVoice:
    """How labels that lie above one another are named.

    Attributes:
        text: tree and priors of the labels.
        is_branch: whether labels are named from the top down; False for a list that somebody chose, whose labels all
            stand for themselves, too.
    """

    text: TreeText
    is_branch: bool

    @classmethod
    def of(
        cls, labels: Sequence[Label], hierarchy: str, tissues: Mapping[str, Sequence[str]] | None = None
    ) -> "TreeVoice | None":
        """Ask the ontology; None where no label lies above another and the labels are no branch.

        Args:
            labels: the candidates.
            hierarchy: option of `NamingOptions`, other than "none".
            tissues: types by tissue of the model's training profiles, for the priors of a branch.
        """
        tree = LabelTree.of(labels, Ontology.cellxgene())
        if tree.is_flat:
            return None
        if hierarchy != "branch":
            return cls(TreeText(tree, np.ones(len(labels)), lineage=0.0, prior_weight=0.0), False)
        prior = tissues_of_type(tissues or {}, (label.ontology_term_id for label in labels))
        return cls(TreeText(tree, np.array(prior, dtype=np.float64)), True)

    @property
    def fitting(self) -> dict[str, Any]:
        """Keywords of `FileRefinement`: a branch has a mixture of its own."""
        return {"fit": partial(TreeMixture.fit, self.text), "text": self.text.joined} if self.is_branch else {}

    def alone(
        self, label: np.ndarray, score: np.ndarray, similarity: np.ndarray, calibration: NameConfidence | None
    ) -> TreeAnswers:
        """Answer for cells alone.

        Args:
            label: column of the label with the best score, -1 without, shape (cells,); the answer of a list.
            score: score of that label, shape (cells,); the confidence where the model has no calibration.
            similarity: cos / temperature, shape (cells, labels).
            calibration: calibration of the model.
        """
        if self.is_branch:
            return answers_alone(similarity, self.text, calibration)
        if calibration is None:
            return TreeAnswers(label, label, score.astype(np.float64))
        return label_alone(label, similarity, self.text, calibration)

    def together(
        self,
        heard: FileVoice,
        similarity: np.ndarray,
        calibration: NameConfidence | None,
        known: np.ndarray | None = None,
    ) -> TreeAnswers:
        """Answer for cells that the file named; see `answers_together`."""
        answers = answers_together if self.is_branch else answers_in_list
        return answers(heard, similarity, self.text, calibration, known)
