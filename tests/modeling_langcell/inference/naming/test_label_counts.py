import numpy as np
import pytest

from langcell.inference.naming.label_counts import count_labels

NAMES = ["a", "b", "c", "unknown", "unassigned", "ancestor"]


def test_names_come_by_frequency_and_labels_without_a_cell_in_their_order():
    codes = np.array([2, 2, 0, 4, 2, 5])
    counts = count_labels(codes, np.array([0.5, 0.7, 0.9, 0, 0.6, 0.3]), names=NAMES, labels=["a", "b", "c"])
    assert list(counts.cells_of.items()) == [("c", 3), ("a", 1), ("unassigned", 1), ("ancestor", 1)]
    assert counts.confidence_of == pytest.approx({"c": 0.6, "a": 0.9, "unassigned": 0, "ancestor": 0.3})
    assert counts.without_cells == ["b"]


def test_words_that_are_no_labels_are_left_out_where_no_cell_has_them():
    counts = count_labels(np.zeros(3, int), np.ones(3), names=NAMES, labels=["a", "b", "c"])
    assert counts.without_cells == ["b", "c"]
