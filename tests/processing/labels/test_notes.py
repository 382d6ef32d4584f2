"""What people are told of their labels."""

import pytest

from langcell.processing.labels.lookup import Label
from langcell.processing.labels.notes import label_notes
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology

# The Cell Ontology of somebody who calls B cells otherwise.
OF_A_LABORATORY = """format-version: 1.2

[Term]
id: CL:0000236
name: bursal cell

[Term]
id: CL:0000576
name: monocyte of ours
"""


def test_there_is_nothing_to_say_of_names_and_synonyms():
    assert label_notes(resolve_labels(["NK cell", "B cell"])) == []


def test_shorthands_and_names_without_a_term_are_told():
    shorthand, plain = label_notes(resolve_labels(["Mono", "odd", "B cell"]))
    assert shorthand == "Read as terms of the Cell Ontology: Mono as monocyte (CL:0000576)"
    assert plain == "Not in the Cell Ontology, used as they are: odd"


def test_another_place_where_names_were_looked_up_is_named():
    assert label_notes([Label("odd", "disease: odd; ")], searched="MONDO") == ["Not in MONDO, used as they are: odd"]


@pytest.fixture
def laboratory(tmp_path):
    def read(content):
        (tmp_path / "lab.obo").write_text(content)
        return Ontology.from_file(tmp_path / "lab.obo")

    return read


def test_terms_have_the_names_of_the_ontology_that_was_used(laboratory):
    labels = [Label("B", "b", "CL:0000236", "shorthand"), Label("Mono", "m", "CL:0000576", "shorthand")]
    (note,) = label_notes(labels, ontology=laboratory(OF_A_LABORATORY))
    assert "B as bursal cell (CL:0000236), Mono as monocyte of ours (CL:0000576)" in note


def test_an_ontology_of_other_things_is_not_called_the_cell_ontology(laboratory):
    ontology = laboratory(OF_A_LABORATORY.replace("CL:", "LAB:"))
    (note,) = label_notes(resolve_labels(["bursal cell", "odd"], ontology=ontology), ontology=ontology)
    assert note == "Not in the ontology lab.obo, version not stated, used as they are: odd"
