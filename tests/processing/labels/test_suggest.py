"""Did you mean: the nearest terms, with what is around a label to break ties."""

import pytest

from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.labels.suggest import suggest, suggestions
from langcell.processing.ontology.terms import Ontology


@pytest.mark.parametrize(
    ("label", "around", "term_id"),
    [
        pytest.param("ductal", {"others": ["alpha", "beta", "acinar"]}, "CL:0002079", id="duct beside islets"),
        pytest.param("ductal-like", {"others": ["alpha", "beta"]}, "CL:0002079", id="duct in another word"),
        pytest.param("acinar", {"others": ["alpha", "ductal"]}, "CL:0002064", id="acinus beside islets"),
        pytest.param("alpha", {"tissue": "pancreas"}, "CL:0000171", id="alpha"),
        pytest.param("gamma", {"others": ["beta", "delta"]}, "CL:0002275", id="gamma beside beta"),
        pytest.param("stellate", {"tissue": "pancreas"}, "CL:0002410", id="stellate in the pancreas"),
        pytest.param("stellate", {"others": ["hepatocyte", "Kupffer cell"]}, "CL:0000632", id="stellate in the liver"),
        pytest.param("hepatocite", {}, "CL:0000182", id="misspelt"),
        pytest.param("fibroblsts", {}, "CL:0000057", id="a letter lost"),
        pytest.param("tubule", {"tissue": "kidney"}, "CL:1000507", id="part of a name"),
    ],
)
def test_the_nearest_term_by_name_and_by_what_is_around(label, around, term_id):
    found = suggest(label, **around)
    assert found.term.id == term_id
    assert len(found.candidates) <= 2


@pytest.mark.parametrize(
    "label", ["cluster 7", "12", "leiden_3", "Unknown", "N/A", "cycling", "other", "zzzz", "My odd cells"]
)
def test_where_nothing_is_near_nothing_is_suggested(label):
    assert suggest(label) is None


def test_a_type_is_not_suggested_where_its_marker_is_missing():
    terms = [candidate.term for candidate in suggest("CD8⁻ T cells", most=20).candidates]
    assert terms
    assert not any("CD8-positive" in term.name for term in terms)


def test_terms_of_other_animals_and_of_every_cell_are_not_suggested():
    ids = {
        candidate.term.id
        for name in ("VIP GABA", "nativ cell")
        if (s := suggest(name, most=50))
        for candidate in s.candidates
    }
    assert not ids & {"CL:4310127", "CL:0000000", "CL:0000003"}


def test_accepting_reads_the_label_as_the_term_and_keeps_its_name():
    names = ["hepatocite", "B cell", "cluster 7"]
    plain, accepted = resolve_labels(names), resolve_labels(names, accept_suggestions=True)
    assert [label.match for label in plain] == [None, "name", None]
    assert [(label.name, label.ontology_term_id) for label in accepted] == [
        ("hepatocite", "CL:0000182"), ("B cell", "CL:0000236"), ("cluster 7", None),
    ]  # fmt: skip
    assert accepted[0].text == resolve_labels(["hepatocyte", "x"])[0].text


def test_a_term_that_another_label_has_is_not_suggested():
    assert suggestions(resolve_labels(["hepatocite", "hepatocyte"])) == []
    accepted = resolve_labels(["hepatocite", "hepatocite of mine", "B cell"], accept_suggestions=True)
    assert len({label.text for label in accepted}) == 3


def test_an_ontology_of_other_things_suggests_nothing(tmp_path):
    (tmp_path / "lab.obo").write_text("format-version: 1.2\n\n[Term]\nid: LAB:1\nname: red cell\n")
    assert suggest("red sell", ontology=Ontology.from_file(tmp_path / "lab.obo")) is None


def test_a_suggestion_is_a_line():
    assert str(suggest("hepatocite")) == "hepatocite: hepatocyte (CL:0000182)"
