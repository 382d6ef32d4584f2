"""Labels that a model could not tell apart are refused, all of them by name."""

import re

import pytest

from langcell.processing.labels.checks import check_labels
from langcell.processing.labels.lookup import Label
from langcell.processing.labels.resolve import resolve_labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param(
            ["B cell", "b_cell", "B  Cell", "odd"], "Duplicate labels: 'B cell', 'b_cell' and 'B  Cell'.", id="3"
        ),
        pytest.param(["odd", "B cell", "b_cell", "odd"], "'odd' and 'odd'; 'B cell' and 'b_cell'.", id="two groups"),
        pytest.param(
            ["NK cell", "natural killer cell", "odd", "CL:0000623"],
            "no model can tell apart: 'NK cell', 'natural killer cell' and 'CL:0000623' (natural killer cell).",
            id="synonym, name and id",
        ),
        pytest.param(
            {"a": "Text.", "b": "x", "c": "text. ", "d": "text."}, "tell apart: 'a', 'c' and 'd'.", id="texts"
        ),
        pytest.param(
            {"NK": "CL:0000623", "killer": "CL:0000623", "B cell": None, "b cell": None},
            "Duplicate labels: 'B cell' and 'b cell'. Keep one of each (case, blanks and underscores do not count). "
            "Labels with the same text (or name), which no model can tell apart: 'NK' and 'killer'. Keep one of them.",
            id="of both kinds",
        ),
    ],
)
def test_all_labels_that_are_alike_are_named(labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve_labels(labels)


def test_a_chain_of_names_and_texts_is_one_group():
    labels = [Label("a", "x"), Label("b", "x"), Label("B", "y")]
    with pytest.raises(ValueError, match="'a', 'b' and 'B'"):
        check_labels(labels, ["a", "b", "B"])


def test_different_labels_pass():
    check_labels([Label("a", "x"), Label("b", "y")], ["a", "b"])
