import numpy as np
import pytest

from langcell.inference.auditing.findings import judge
from langcell.inference.auditing.votes import GroupVotes
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology

ONTOLOGY = Ontology.cellxgene()
LABELS = resolve_labels(["B cell", "natural killer cell", "T cell", "CD4-positive, alpha-beta T cell"])


def votes(called, *, denied=None, between=None):
    """Votes of one group; `denied` and `between` are those of the first label, by what cells are called."""
    n = len(LABELS)
    two = np.zeros((2, 1, n, n), dtype=np.int64)
    two[0, 0, :, 0] = denied or [0] * n
    two[1, 0, 0] = between or [0] * n
    counts = np.array([called])
    cells = counts.sum(axis=1)
    return GroupVotes(counts, two[0], two[1], counts, counts, True, cells, {})


def status(called, own=0, against=(), **more):
    return judge(votes(called, **more), 0, LABELS[own], LABELS, ONTOLOGY, against=against).status


def test_a_group_that_is_called_its_label_is_fine():
    found = judge(votes([90, 4, 6, 0]), 0, LABELS[0], LABELS, ONTOLOGY)
    assert (found.status, found.called, found.called_share, found.label_share) == ("fine", "B cell", 0.9, 0.9)


def test_a_group_that_is_called_another_type_is_wrong():
    assert status([10, 90, 0, 0]) == "wrong"


def test_too_few_cells_are_no_proof():
    assert status([1, 3, 0, 0]) == "unsure"


def test_close_numbers_are_unsure():
    assert status([45, 50, 5, 0]) == "unsure"
    assert status([45, 20, 20, 15]) == "unsure"


@pytest.mark.parametrize(("against", "expected"), [((), "fine"), ({"CL:0000624"}, "wrong")])
def test_a_kind_of_the_label_agrees_unless_genes_speak_for_it(against, expected):
    assert status([0, 0, 5, 95], own=2, against=against) == expected


def test_cells_that_are_surely_not_of_the_label_make_a_group_mixed():
    found = judge(votes([88, 12, 0, 0], denied=[0, 10, 0, 0]), 0, LABELS[0], LABELS, ONTOLOGY)
    assert found.status == "mixed"
    assert [(other.name, other.cells, other.share) for other in found.others] == [("natural killer cell", 10, 0.1)]


def test_types_that_cells_lie_between_are_not_told_apart():
    assert status([88, 12, 0, 0], denied=[0, 10, 0, 0], between=[0, 8, 0, 0]) == "fine"


def test_one_or_two_cells_are_no_second_type():
    assert status([18, 2, 0, 0], denied=[0, 2, 0, 0]) == "fine"


def test_a_group_without_a_label_is_never_wrong():
    found = judge(votes([10, 90, 0, 0]), 0, None, LABELS, ONTOLOGY)
    assert (found.status, found.called) == ("fine", "natural killer cell")
