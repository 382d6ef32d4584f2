import numpy as np
import pandas as pd
import pytest

from langcell.inference.naming.label_counts import count_labels, note_on_lost_names

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


def test_names_that_a_file_has_no_evidence_for_are_listed_where_cells_had_them():
    alone = pd.Categorical(["platelet"] * 11 + ["DC"] * 6 + ["B"] * 40 + ["HSC"] * 2)
    said = note_on_lost_names(alone, ["DC", "platelet", "HSC", "none"])
    assert said.startswith("platelet: 11, DC: 6 cells are called so by themselves")
    assert said.endswith("no evidence for them")
    assert note_on_lost_names(alone, ["HSC"]) == ""
    assert note_on_lost_names(None, ["DC"]) == ""
