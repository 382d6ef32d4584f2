import pytest

from langcell.processing.labels.lookup import LabelEntry, look_up
from langcell.processing.labels.notes import label_notes
from langcell.processing.labels.resolve import resolve_labels, resolve_query
from langcell.processing.labels.states import STATES, read_state
from langcell.processing.ontology.terms import Ontology


@pytest.mark.parametrize(
    ("name", "term_id", "state"),
    [
        ("IFN-stimulated CD14+ Mono", "CL:0001054", "interferon-stimulated"),
        ("ISG+ monocytes", "CL:0000576", "interferon-stimulated"),
        ("B cell stimulated with interferon beta", "CL:0000236", "interferon-stimulated"),
        ("NK cells responding to IFN-α", "CL:0000623", "interferon-stimulated"),
        ("proliferating fibroblasts", "CL:0000057", "cycling"),
        ("macrophages, hypoxic", "CL:0000235", "hypoxic"),
        ("activated B", "CL:0000236", "activated"),
        ("dysfunctional CD8 T", "CL:0000625", "exhausted"),
    ],
)
def test_a_type_in_a_state_is_the_types_text_and_a_piece_on_the_state(name, term_id, state):
    ontology = Ontology.cellxgene()
    label = look_up(LabelEntry(name), ontology)
    of_type = look_up(LabelEntry(term_id), ontology)
    assert label.text == f"{of_type.text}state: {state}; "
    assert label.ontology_term_id is None, "the id is that of cells in any state"
    assert f"({term_id}) in the state '{state}'" in (label.remark or "")


def test_terms_with_a_state_in_their_name_stay_terms_and_say_the_state():
    ontology = Ontology.cellxgene()
    cycling = look_up(LabelEntry("Proliferating NK"), ontology)
    assert cycling.ontology_term_id == "CL:4033071"
    assert cycling.text.endswith("state: cycling; ")
    assert look_up(LabelEntry("exhausted CD8 T"), ontology).ontology_term_id == "CL:0020031"


@pytest.mark.parametrize("name", ["NK cell", "activated stellate", "non-activated B cell", "exhausted", "cycling"])
def test_other_names_are_read_as_before(name):
    label = look_up(LabelEntry(name), Ontology.cellxgene())
    assert "state:" not in label.text


def test_words_for_no_state_are_left_out_and_this_is_told():
    label = look_up(LabelEntry("unstimulated monocyte"), Ontology.cellxgene())
    assert label.ontology_term_id == "CL:0000576"
    assert "state" not in label.text
    assert "in no particular state" in (label.remark or "")


def test_short_texts_of_the_user_are_read_and_sentences_are_not():
    given = {
        "stim": "peripheral blood mononuclear cell stimulated with interferon beta",
        "rest": "unstimulated peripheral blood mononuclear cell",
        "long": "A T cell. It is activated by an antigen that a dendritic cell shows to it.",
    }
    stim, rest, long = resolve_labels(given)
    assert stim.text == "peripheral blood mononuclear cell; state: interferon-stimulated; "
    assert rest.text == "peripheral blood mononuclear cell; "
    assert long.text == given["long"]
    assert "stim is read as 'peripheral blood mononuclear cell' in the state 'interferon-stimulated'" in label_notes(
        [stim]
    )


def test_a_query_may_be_a_type_in_a_state():
    assert resolve_query("cycling B cells").text.endswith("state: cycling; ")
    assert resolve_query("hypoxic macrophage").text.endswith("state: hypoxic; ")
    assert resolve_query("A cell that is activated by antigen.").text == "A cell that is activated by antigen."


def test_every_state_is_read_from_its_own_name_and_no_two_from_one():
    for state in STATES:
        assert read_state(f"{state} B cell") == ("B cell", state)
    assert read_state("activated cycling T cell") is None, "a text has one state"
