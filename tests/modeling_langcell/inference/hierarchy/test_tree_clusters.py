import numpy as np
import pytest

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.levels import MEDIUM, class_names
from langcell.inference.hierarchy.tree_clusters import name_clusters_in_tree
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology

NAMES = ["T cell", "CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell", "B cell", "naive B cell"]
LABELS = resolve_labels(NAMES)
TREE = LabelTree.of(LABELS, Ontology.cellxgene())
CLASSES = class_names(NAMES, [str(label.ontology_term_id) for label in LABELS], MEDIUM, Ontology.cellxgene())


def named(own: np.ndarray, clusters: list[str] | None = None):
    return name_clusters_in_tree(own, np.array(clusters or ["0"] * len(own)), NAMES, TREE, CLASSES)


def cells(*columns: int) -> np.ndarray:
    return np.eye(len(NAMES))[list(columns)]


@pytest.mark.parametrize(
    ("columns", "label", "mixed"),
    [
        pytest.param([1] * 6 + [2] * 2, 1, False, id="most are one type"),
        pytest.param([1] * 4 + [2] * 4 + [0], 0, False, id="two kinds of one type"),
        pytest.param([1] * 6 + [4] * 4, 1, True, id="two types"),
        pytest.param([1] * 9 + [4], 1, False, id="a stray cell"),
    ],
)
def test_a_cluster_has_the_deepest_name_that_half_of_it_supports(columns, label, mixed):
    found = named(cells(*columns))
    row = found.table.iloc[0]
    assert (row["label"], row["mixed"]) == (NAMES[label], mixed)
    assert set(found.column) == {label}


def test_doublets_are_mixed():
    own = np.tile([0.0, 0.52, 0.0, 0.0, 0.48], (10, 1))
    assert named(own).table["mixed"].tolist() == [True]


def test_cells_between_two_kinds_of_one_type_are_no_doublets():
    own = np.tile([0.0, 0.52, 0.48, 0.0, 0.0], (10, 1))
    row = named(own).table.iloc[0]
    assert (row["label"], row["mixed"]) == (NAMES[1], False)


def test_the_runner_up_is_of_another_lineage_where_there_is_one():
    row = named(cells(1, 1, 1, 1, 1, 2, 4, 4)).table.iloc[0]
    assert (row["runner_up"], row["runner_up_share"]) == ("naive B cell", 0.25)
    assert row["share"] == pytest.approx(5 / 8)


def test_a_cluster_without_probabilities_has_no_name():
    found = named(np.zeros((2, len(NAMES))))
    assert found.table["label"].tolist() == [None]
    assert found.column.tolist() == [-1, -1]
