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


def test_there_is_nothing_to_say_of_names_as_the_ontology_has_them():
    assert label_notes(resolve_labels(["T_Cell", "B cell", "CL:0000623"])) == []


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        pytest.param("NK cell", "natural killer cell (CL:0000623)", id="synonym"),
        pytest.param("CD16 Mono", "CD14-low, CD16-positive monocyte (CL:0002396)", id="table"),
        pytest.param("memory CD56hi NK", None, id="none"),
        pytest.param("CD4+CD8- T", "CD4-positive, alpha-beta T cell (CL:0000624)", id="shorthand"),
        pytest.param("hepatocytes", "hepatocyte (CL:0000182)", id="plural"),
        pytest.param("my T (CL:0000084)", "T cell (CL:0000084)", id="id in the name"),
    ],
)
def test_every_reading_is_told_whatever_it_came_by(name, reading):
    told = " ".join(label_notes(resolve_labels([name, "B cell"])))
    assert (f"{name} as {reading}" in told) == (reading is not None)


def test_numbers_and_words_without_a_type_are_told():
    numbers, nothing = label_notes(resolve_labels(["0", "12", "B cell", "Unknown"]))
    assert numbers.startswith("Only numbers, which say nothing to a model that reads texts: 0, 12. Give names")
    assert nothing == "Words for cells without a type, which no model can name by text: Unknown"


def test_names_that_are_near_to_a_term_come_with_it():
    *_, offered = label_notes(resolve_labels(["hepatocite", "B cell"]))
    assert offered.startswith("Did you mean (--accept-suggestions takes the first of each): hepatocite: hepatocyte (CL")


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
