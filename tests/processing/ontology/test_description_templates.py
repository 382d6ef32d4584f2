"""Paraphrases: every text says what the plain one says, in a form that follows from the seed."""

import numpy as np
import pytest

from langcell.processing.ontology.description_templates import TEMPLATES, paraphrase, parse_description, render
from langcell.processing.ontology.descriptions import ASPECT_COLUMNS, ASPECTS, describe, describe_term
from langcell.processing.ontology.terms import Ontology

ROW = {
    ASPECT_COLUMNS["cell type"]: "CL:0000236",
    ASPECT_COLUMNS["tissue"]: "UBERON:0000178 || UBERON:0002048",
    ASPECT_COLUMNS["development stage"]: "HsapDv:0000258",
    ASPECT_COLUMNS["disease"]: "MONDO:0100096",
    ASPECT_COLUMNS["sex"]: "PATO:0000384",
    ASPECT_COLUMNS["self-reported ethnicity"]: "HANCESTRO:0005",
    ASPECT_COLUMNS["assay"]: "EFO:0009922",
    ASPECT_COLUMNS["suspension type"]: "cell",
    ASPECT_COLUMNS["experimental condition"]: "CHEBI:28748",
    ASPECT_COLUMNS["genetic perturbation"]: "TP53 guide 1",
}


@pytest.fixture(scope="module")
def plain() -> str:
    return describe(ROW, ontology=Ontology.cellxgene())


def names_of(text: str) -> set[str]:
    return {piece.name for piece in parse_description(text)}


def test_all_ten_aspects_come_apart_and_together_again(plain):
    pieces = parse_description(plain)
    assert [piece.aspect for piece in pieces] == ["cell type", "tissue", "tissue", *ASPECTS[2:]]
    assert "".join(map(str, pieces)) == plain
    assert {"b cell", "blood", "lung", "covid-19", "male", "10x 3' v3", "doxorubicin"} <= names_of(plain)


@pytest.mark.parametrize(
    ("prefix", "aspect", "odd"),
    [
        pytest.param("CL", "cell type", 0, id="CL"),
        pytest.param("UBERON", "tissue", 1, id="UBERON"),
        pytest.param("HsapDv", "development stage", 0, id="HsapDv"),
        pytest.param("MONDO", "disease", 1, id="MONDO"),
        pytest.param("PATO", "sex", 0, id="PATO"),
        pytest.param("HANCESTRO", "self-reported ethnicity", 0, id="HANCESTRO"),
        pytest.param("EFO", "assay", 1, id="EFO"),  # the one that is called "obsolete_H720" and is not
    ],
)
def test_every_term_of_the_ontologies_comes_apart(prefix, aspect, odd):
    """Names and definitions have full stops and semicolons; all but 2 of 50,000 names are found where they end."""
    ontology, wrong = Ontology.cellxgene(), []
    for term_id in ontology.ids(prefix):
        term = ontology.term(term_id)
        if not term.obsolete:
            text = describe_term(aspect, term)
            pieces = parse_description(text)
            assert "".join(map(str, pieces)) == text
            if [piece.name for piece in pieces] != [" ".join(term.name.split()).rstrip("; ").lower()]:
                wrong.append(term_id)
    assert len(wrong) <= odd, wrong


@pytest.mark.parametrize("text", ["", "b cell", "a b cell from blood.", "cell type: b cell"])
def test_a_text_of_another_form_has_no_pieces_and_stays_as_it_is(text):
    assert parse_description(text) == []
    assert {paraphrase(text, variant, seed=0, dropout=0.5) for variant in range(5)} == {text}


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_names_every_term(plain, template):
    text = render(parse_description(plain), template)
    assert all(name in text for name in names_of(plain))
    assert text == text.lower()


def test_templates_differ_and_the_plain_one_is_the_text(plain):
    pieces = parse_description(plain)
    assert render(pieces, "plain") == plain
    assert len({render(pieces, template) for template in TEMPLATES}) == len(TEMPLATES)
    assert render(pieces, "sentence").startswith("a b cell from blood and lung, at ")
    with pytest.raises(ValueError, match=r"Unknown template 'poem'\. Choose among: plain, names"):
        render(pieces, "poem")


def test_variant_0_is_the_plain_text_whatever_the_dropout(plain):
    assert paraphrase(plain, 0, seed=3, dropout=0.9) == plain


def test_the_seed_decides_and_variants_spread_over_the_templates(plain):
    variants = [paraphrase(plain, variant, seed=0) for variant in range(1, 60)]
    assert variants == [paraphrase(plain, variant, seed=0) for variant in range(1, 60)]
    assert variants != [paraphrase(plain, variant, seed=1) for variant in range(1, 60)]
    sentences = sum(text.startswith("a b cell from") for text in variants)
    assert 4 <= sentences <= 22
    assert len(set(variants)) > len(TEMPLATES)  # of "reordered" there are several


def test_dropout_leaves_out_aspects_at_its_rate_but_never_the_cell_type(plain):
    texts = [paraphrase(plain, variant, seed=0, dropout=0.3) for variant in range(1, 400)]
    assert all("b cell" in text for text in texts)
    for name in ("blood", "covid-19", "10x 3' v3", "european"):
        assert np.mean([name not in text for text in texts]) == pytest.approx(0.3, abs=0.08)


def test_one_aspect_stays_where_there_is_no_cell_type():
    text = "tissue: blood; sex: male; "
    texts = {paraphrase(text, variant, seed=0, dropout=0.99) for variant in range(1, 40)}
    assert all("blood" in text or "male" in text for text in texts)
    assert any("male" not in text for text in texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"variant": 1, "dropout": 1.0}, "dropout is 1.0", id="dropout"),
        pytest.param({"variant": -1}, "variant is -1", id="variant"),
    ],
)
def test_what_makes_no_sense_is_refused(plain, options, message):
    with pytest.raises(ValueError, match=message):
        paraphrase(plain, **options, seed=0)
