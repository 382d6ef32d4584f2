"""Which candidate label lies above which, by the is_a relation of the Cell Ontology.

The ontology is no tree: a term can have several parents. Masses are sums over the whole relation, so that each parent
has at least the mass of each child. Naming goes down a tree, in which each label has one parent: of the candidates
above it the one that is deepest itself, of equals the one with the fewest labels below it.

Some terms say how far a cell has developed or what it does, not of what lineage it is. The ontology has monocytes below
"progenitor cell". Such terms are above nothing here (`NO_LINEAGES`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from langcell.processing.labels.lookup import Label
from langcell.processing.ontology.terms import Ontology

# stem cell, non-terminally differentiated, professional antigen presenting, progenitor, precursor.
NO_LINEAGES = frozenset({"CL:0000034", "CL:0000055", "CL:0000145", "CL:0011026", "CL:0011115"})


@dataclass(frozen=True, eq=False)
class LabelTree:
    """The labels and what lies below them.

    Attributes:
        below: bool, shape (labels, labels); whether the label of the column is that of the row or below it.
        parent: int64, shape (labels,); the label above in the tree, -1 at the top.
        depth: int64, shape (labels,); number of labels above in the tree.
    """

    below: np.ndarray
    parent: np.ndarray
    depth: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[Label], ontology: Ontology) -> "LabelTree":
        """Find which label lies below which.

        Args:
            labels: the candidates; one without a term, or with a term that the ontology lacks, stands alone.
            ontology: where terms are.

        >>> from langcell.processing.labels.resolve import resolve_labels
        >>> labels = resolve_labels(["T cell", "B cell", "CD8-positive, alpha-beta T cell"])
        >>> LabelTree.of(labels, Ontology.cellxgene()).parent.tolist()
        [-1, -1, 0]
        """
        terms = [label.ontology_term_id for label in labels]
        above = [ontology.ancestors(term) - NO_LINEAGES if term and term in ontology else set() for term in terms]
        below = np.array([[term in above[column] for column in range(len(terms))] for term in terms], dtype=bool)
        below = below.reshape(len(terms), len(terms)) & ~np.eye(len(terms), dtype=bool)
        n_above, n_below = below.sum(axis=0), below.sum(axis=1)
        parent = np.full(len(terms), -1, dtype=np.int64)
        for label in np.flatnonzero(n_above):
            parent[label] = min(np.flatnonzero(below[:, label]), key=lambda up: (-n_above[up], n_below[up], up))
        depth = np.zeros(len(terms), dtype=np.int64)
        for label in range(len(terms)):
            up = parent[label]
            while up >= 0:
                depth[label], up = depth[label] + 1, parent[up]
        return cls(below | np.eye(len(terms), dtype=bool), parent, depth)

    @property
    def is_flat(self) -> bool:
        """Whether no label lies below another."""
        return bool((self.parent < 0).all())

    def children(self, label: int) -> np.ndarray:
        """Return the labels right below one in the tree, -1 for those at the top; int64, rising."""
        return np.flatnonzero(self.parent == label)

    def branch(self, label: int) -> np.ndarray:
        """Return a label and all labels below it in the tree; int64, rising."""
        found = [label]
        for inside in found:
            found += self.children(inside).tolist()
        return np.sort(found)

    def mass(self, own: np.ndarray) -> np.ndarray:
        """Return the sum what labels have of their own up the ontology.

        Args:
            own: probabilities that are on each label itself, shape (cells, labels).

        Returns:
            float64, shape (cells, labels); that of a parent is never less than that of a child.
        """
        # einsum adds in the same order whatever the number of cells.
        return np.minimum(np.einsum("ij,kj->ik", own, self.below.astype(np.float64)), 1.0)

    def deepest(self, mass: np.ndarray, supported: np.ndarray) -> np.ndarray:
        """Go down from the top, to the child with the greatest mass, as long as it is supported.

        Args:
            mass: shape (cells, labels).
            supported: bool, shape (cells, labels). The label at the top is taken whether it is or not.

        Returns:
            int64, shape (cells,); column of the label.
        """
        top = self.children(-1)
        return self._down(top[mass[:, top].argmax(axis=1)], mass, supported)

    def finest(self, mass: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Go down from a label of each cell to one that has none below it; arguments and result as in `deepest`."""
        return self._down(label, mass, np.ones(mass.shape, dtype=bool))

    def _down(self, start: np.ndarray, mass: np.ndarray, supported: np.ndarray) -> np.ndarray:
        found = start.copy()
        for depth in range(int(self.depth.max(initial=0)) + 1):
            for label in np.unique(found[self.depth[found] == depth]):
                children = self.children(label)
                if len(children):
                    rows = np.flatnonzero(found == label)
                    best = children[mass[np.ix_(rows, children)].argmax(axis=1)]
                    found[rows] = np.where(supported[rows, best], best, label)
        return found
