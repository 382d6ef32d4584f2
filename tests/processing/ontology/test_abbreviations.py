"""Shortened names of cell types, read as terms."""

import doctest

import pytest

from langcell.processing.ontology import abbreviations as shorthand
from langcell.processing.ontology.abbreviations import Abbreviations, take_apart
from langcell.processing.ontology.sources import Term
from langcell.processing.ontology.terms import Ontology


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.cellxgene()


def term(term_id: str, name: str, *synonyms: str, obsolete: bool = False) -> Term:
    return Term(term_id, name, None, synonyms, obsolete)


def test_docstring_examples_run():
    assert doctest.testmod(shorthand).failed == 0


@pytest.mark.parametrize(
    ("name", "words", "markers"),
    [
        pytest.param("CD4-positive, alpha-beta T cell", "t", "cd4+", id="ontology"),
        pytest.param(
            "CD16-negative, CD56-bright natural killer cell, human", "killer natural", "cd16- cd56hi", id="NK"
        ),
        pytest.param("CD14++CD16- Monocytes", "monocyte", "cd14+ cd16-", id="signs"),
        pytest.param("FCGR3A+ Mono", "monocyte", "cd16+", id="gene"),
        pytest.param("CD8 T", "t", "cd8+", id="no sign"),
        pytest.param("CD56 dim NK", "killer natural", "cd56lo", id="level apart"),
        pytest.param("naïve_B_lymphocytes", "b naive", "", id="accent"),
        pytest.param("γδ T", "delta gamma t", "", id="greek"),
        pytest.param("Epithelial (KRT5-/KRT17+)", "epithelial", "krt17+ krt5-", id="gene signs"),
        pytest.param("T-cell", "t", "", id="hyphen"),
        pytest.param("Ciliated", "ciliated", "", id="one word"),
        pytest.param("!?", "", "", id="nothing"),
    ],
)
def test_names_are_taken_apart(name, words, markers):
    parts = take_apart(name)
    assert (" ".join(sorted(parts.words)), " ".join(sorted(parts.markers))) == (words, markers)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("CD14+ Mono", "CD14-positive monocyte", id="pbmc3k"),
        pytest.param("Naive CD4 T", "naive thymus-derived CD4-positive, alpha-beta T cell", id="order of words"),
        pytest.param("CD4+/CD45RA+/CD25- Naive T", "naive thymus-derived CD4-positive, alpha-beta T cell", id="fewer"),
        pytest.param("CD8+/CD45RA+ Naive Cytotoxic", "naive thymus-derived CD8-positive, alpha-beta T cell", id="no T"),
        pytest.param("CD56+ NK", "natural killer cell", id="a marker that says nothing new"),
        pytest.param("CD56bright NK", "CD16-negative, CD56-bright natural killer cell, human", id="more"),
        pytest.param("DC", "dendritic cell", id="the shortest name"),
        pytest.param("Treg", "regulatory T cell", id="one word"),
        pytest.param("CD34+", "hematopoietic precursor cell", id="whole name"),
        pytest.param("Alpha cells", "pancreatic A cell", id="islet"),
        pytest.param("β", "type B pancreatic cell", id="greek"),
        pytest.param("B cells 2", "B cell", id="running number"),
        pytest.param("Pneumocyte type 2", "pulmonary alveolar type 2 cell", id="number of a type"),
        pytest.param("AT2", "pulmonary alveolar type 2 cell", id="lung"),
    ],
)
def test_terms_are_found(ontology, name, found):
    assert ontology.find_abbreviation(name).name == found


@pytest.mark.parametrize(
    "name", ["Cluster 7", "CD5+", "", "T something", "B-1b-ish", "stellate", "Doublets", "KRT5-/KRT17+"]
)
def test_what_cannot_be_told_is_left_alone(ontology, name):
    assert ontology.find_abbreviation(name) is None


def test_every_name_of_the_ontology_is_its_own_shorthand_or_that_of_a_shorter_name(ontology):
    names = [ontology.term(term_id) for term_id in ontology.ids("CL")]
    names = [term for term in names if not term.obsolete and "(Mmus)" not in term.name and "," not in term.name]
    read = [(term.name, ontology.find_abbreviation(term.name)) for term in names]
    wrong = [(name, found.name) for name, found in read if found and take_apart(found.name) != take_apart(name)]
    itself = sum(found is not None and found.name == name for name, found in read)
    # What is read otherwise is the name of another type in the ontology's own short forms ("gamma cell").
    assert len(wrong) <= 5, wrong
    assert itself / len(read) > 0.95


def test_names_count_before_synonyms_and_obsolete_terms_not_at_all():
    terms = [term("X:1", "red cell"), term("X:2", "scarlet cell", "red cells"), term("X:3", "blue", obsolete=True)]
    found = Abbreviations(terms)
    assert found.find("Reds").id == "X:1"
    assert found.find("blues") is None


def test_two_terms_of_equally_long_names_are_no_answer():
    found = Abbreviations([term("X:1", "wee red cell", "round cell"), term("X:2", "big red cell", "round cell")])
    assert found.find("rounds") is None
