"""One label and what it means; more of it in `test_labels.py`."""

import pytest

from langcell.processing.labels.lookup import Label, current_term, find_term, look_up, plain_label, term_at
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.cellxgene()


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(LabelEntry("mine", "CL:0000084"), id="as text"),
        pytest.param(LabelEntry("mine", " CL:0000084 "), id="with blanks"),
        pytest.param(LabelEntry("mine", None, "CL:0000084"), id="as id"),
        pytest.param(LabelEntry("mine", "CL:0000084", "CL:0000084"), id="as both"),
    ],
)
def test_an_id_beside_a_name_gives_the_text(ontology, entry):
    text = look_up(LabelEntry("T cell"), ontology).text
    assert look_up(entry, ontology) == Label("mine", text, "CL:0000084", "id")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        pytest.param(LabelEntry("T", "CL:9999999"), "Label 'T': Unknown ontology id 'CL:9999999'", id="unknown"),
        pytest.param(LabelEntry("T", "cl:0000084"), r"Did you mean CL:0000084 \(T cell\)", id="case"),
        pytest.param(LabelEntry("T", "CL:0000004"), "Label 'T': .*is obsolete, and no succ", id="obsolete"),
        pytest.param(LabelEntry("T", "CL:0000084", "CL:0000236"), "two ontology ids, CL:0000236 and", id="two"),
        pytest.param(LabelEntry(" ", "CL:0000084"), "A label is empty", id="no name"),
    ],
)
def test_ids_that_mean_nothing_are_refused(ontology, entry, message):
    with pytest.raises(ValueError, match=message):
        look_up(entry, ontology)


@pytest.mark.parametrize("text", ["a T cell (CL:0000084)", "cluster_12", "CD8_1", "CL: none"])
def test_other_texts_are_read_as_they_are(ontology, text):
    assert look_up(LabelEntry("mine", text), ontology) == Label("mine", text, None, "given")


def test_a_name_alone(ontology):
    assert plain_label("My Cells") == look_up(LabelEntry("My Cells"), ontology)


def test_terms_by_name_and_by_id(ontology):
    found = find_term("T cell", ontology)
    assert found is not None
    assert found[0] == term_at("CL:0000084", ontology) == term_at(" T cell", ontology)
    assert found[0] == current_term("CL:0000084", ontology)[0]
    with pytest.raises(ValueError, match="No cell type is called 'T sell'"):
        term_at("T sell", ontology)
