from types import SimpleNamespace
from typing import Any

import pytest

from langcell.inference.naming.candidates import chosen, listed, proposed
from langcell.inference.naming.options import LabelOptions, NamingOptions

TYPES = ["CL:0000236", "CL:0000084", "CL:0000625"]
CONFIG = SimpleNamespace(training_cell_types=TYPES, tissue_cell_types={"blood": TYPES[:2], "lung": TYPES[1:]})


def ids_of(labels: Any) -> list[str]:
    return [label.ontology_term_id for label in labels]


def test_without_labels_all_types_of_the_training_are_proposed_in_one_line():
    found = proposed(CONFIG)
    assert ids_of(found.labels) == sorted(TYPES)
    (note,) = found.notes
    assert note.startswith("No labels given; all 3 types of the training are taken")
    assert "--tissue" in note
    assert found.naming(NamingOptions()).hierarchy == "branch"
    assert found.naming(NamingOptions(hierarchy="none")).hierarchy == "none"


def test_a_tissue_proposes_its_types():
    found = proposed(CONFIG, "blood")
    assert ids_of(found.labels) == sorted(TYPES[:2])
    assert found.notes[0].startswith("No labels given; the 2 types of blood are taken")
    with pytest.raises(ValueError, match="Legal are blood, lung"):
        proposed(CONFIG, "moon")


def test_a_model_that_lists_no_types_proposes_none():
    with pytest.raises(ValueError, match="There are no labels; give them"):
        proposed(SimpleNamespace())
    with pytest.raises(ValueError, match="lists no types by tissue; give labels"):
        proposed(SimpleNamespace(training_cell_types=TYPES), "blood")


def test_the_labels_of_a_fine_tuned_model_come_before_proposals():
    taught = [
        {"name": "B", "text": "b", "ontology_term_id": None},
        {"name": "T", "text": "t", "ontology_term_id": None},
    ]
    config = SimpleNamespace(**vars(CONFIG), fine_tuning={"task": "text", "labels": taught})
    found = proposed(config, "blood")
    assert [label.name for label in found.labels] == ["B", "T"]
    assert found.naming(NamingOptions()).hierarchy == "auto"
    with pytest.raises(ValueError, match="langcell classify takes it"):
        proposed(SimpleNamespace(**vars(CONFIG), fine_tuning={"task": "classification", "labels": taught}))


def test_labels_that_are_listed_are_no_branch():
    found = listed(["B cell", "HSC", "hepatocyte"], tissue="liver")
    assert ids_of(found.labels)[1] == "CL:0000632"
    assert found.naming(NamingOptions()).hierarchy == "auto"
    assert any("HSC as hepatic stellate cell" in note for note in found.notes)


def test_a_root_is_a_branch_and_its_model_is_asked_only_then():
    found = chosen(LabelOptions(ontology_root="T cell"), lambda: CONFIG)
    assert ids_of(found.labels) == sorted(TYPES[1:])
    assert found.source == "branch"

    def not_needed() -> Any:
        raise AssertionError

    assert chosen(LabelOptions(labels="B cell,T cell"), not_needed).source == "listed"
    with pytest.raises(ValueError, match="exactly one of --labels"):
        chosen(LabelOptions(labels="B cell", ontology_root="T cell"), not_needed)
