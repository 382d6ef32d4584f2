import numpy as np
import pytest
from numpy.testing import assert_array_equal

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.levels import BROAD, MEDIUM, class_names
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology

NAMES = [
    "lymphocyte", "T cell", "CD8-positive, alpha-beta T cell", "CD8-positive, alpha-beta memory T cell", "B cell",
    "mine",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree() -> LabelTree:
    return LabelTree.of(resolve_labels(NAMES), Ontology.cellxgene())


def test_each_label_lies_below_the_deepest_candidate_above_it(tree):
    assert tree.parent.tolist() == [-1, 0, 1, 2, 0, -1]
    assert tree.depth.tolist() == [0, 1, 2, 3, 1, 0]
    assert tree.children(-1).tolist() == [0, 5]
    assert tree.branch(1).tolist() == [1, 2, 3]
    assert not tree.is_flat


def test_labels_of_which_none_is_above_another_are_flat():
    assert LabelTree.of(resolve_labels(["B cell", "natural killer cell", "mine"]), Ontology.cellxgene()).is_flat


def test_progenitor_cell_is_above_no_lineage():
    # In the ontology, monocytes are below it.
    labels = resolve_labels(["progenitor cell", "monocyte", "classical monocyte"])
    assert LabelTree.of(labels, Ontology.cellxgene()).parent.tolist() == [-1, -1, 1]


def test_a_parent_has_at_least_the_mass_of_all_its_children(tree):
    own = np.random.default_rng(0).dirichlet(np.ones(6), 50)
    mass = tree.mass(own)
    for label in range(6):
        assert (mass[:, label] >= mass[:, tree.children(label)].sum(axis=1) - 1e-12).all()
    assert_array_equal(mass[:7], tree.mass(own[:7]))


@pytest.mark.parametrize(
    ("least", "answer"),
    [(0.2, 3), (0.4, 2), (0.6, 1), (0.9, 0), (1.1, 0)],
)
def test_the_answer_is_as_deep_as_it_is_supported(tree, least, answer):
    mass = tree.mass(np.array([[0.02, 0.13, 0.25, 0.3, 0.2, 0.1]]))
    assert tree.deepest(mass, mass >= least).tolist() == [answer]
    assert tree.finest(mass, np.array([answer])).tolist() == [3]


def test_levels_are_fixed_classes_of_the_ontology():
    names = ["naive B cell", "lymphocyte", "fibroblast", "mine", "T cell", "type B pancreatic cell"]
    ids = ["CL:0000788", "CL:0000542", "CL:0000057", "", "CL:0000084", "CL:0000169"]
    ontology = Ontology.cellxgene()
    assert class_names(names, ids, MEDIUM, ontology) == [
        "B cell", "lymphocyte", "fibroblast", "mine", "T cell", "pancreatic endocrine cell",
    ]  # fmt: skip
    assert class_names(names, ids, BROAD, ontology)[:2] == ["leukocyte", "leukocyte"]


def test_all_classes_are_current_terms():
    ontology = Ontology.cellxgene()
    assert not [term for term in (*BROAD, *MEDIUM) if ontology.term(term).obsolete]
