"""Descriptions: one text form for training and inference, checked on real ontology terms."""

import doctest

import pandas as pd
import pytest

from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology import descriptions
from langcell.processing.ontology.descriptions import (
    ASPECT_COLUMNS,
    ASPECTS,
    describe,
    describe_term,
    text_forms,
)
from langcell.processing.ontology.terms import Ontology, Term

B_CELL = "cell type: b cell. a lymphocyte of b lineage that is capable of b cell mediated immunity.; "
BLOOD = "tissue: blood. a fluid that is composed of blood plasma and erythrocytes.; "


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.cellxgene()


def row(**values: object) -> dict[str, object]:
    """An obs row; `cell_type="CL:..."` stands for its `_ontology_term_id` column."""
    return {
        ASPECT_COLUMNS[key.replace("_", " ").replace("self reported", "self-reported")]: v for key, v in values.items()
    }


def test_docstring_examples_run():
    assert doctest.testmod(descriptions).failed == 0


def test_columns_are_those_of_cellxgene():
    assert list(ASPECT_COLUMNS.values()) == [
        "cell_type_ontology_term_id",
        "tissue_ontology_term_id",
        "development_stage_ontology_term_id",
        "disease_ontology_term_id",
        "sex_ontology_term_id",
        "self_reported_ethnicity_ontology_term_id",
        "assay_ontology_term_id",
        "suspension_type",
        "experimental_condition_ontology_term_id",
        "genetic_perturbation_id",
    ]


class TestDescribeTerm:
    @pytest.mark.parametrize(
        ("term", "text"),
        [
            pytest.param(Term("X:1", "B Cell", "A  B\ncell. "), "cell type: b cell. a b cell.; ", id="lower_one_line"),
            pytest.param(Term("X:1", "B cell"), "cell type: b cell; ", id="no_definition"),
            pytest.param("My B cells", "cell type: my b cells; ", id="plain_name"),
            pytest.param(Term("X:1", "a", "Ends oddly;"), "cell type: a. ends oddly; ", id="semicolon_at_the_end"),
            pytest.param(
                Term("X:1", "obsolete lost cell", "OBSOLETE. A cell.", obsolete=True),
                "cell type: lost cell. a cell.; ",
                id="obsolete_mark",
            ),
        ],
    )
    def test_full_form(self, term, text):
        assert describe_term("cell type", term) == text

    def test_other_forms(self):
        term = Term("X:1", "B cell", "A lymphocyte.")
        assert describe_term("cell type", term, form="name") == "cell type: b cell; "
        assert describe_term("cell type", term, form="definition") == "cell type: a lymphocyte.; "

    @pytest.mark.parametrize(
        ("aspect", "term", "form", "message"),
        [
            pytest.param(
                "celltype", "B cell", "full", "Unknown aspect 'celltype'. Choose among: cell type", id="aspect"
            ),
            pytest.param("cell type", " ; ", "full", "Empty name", id="empty_name"),
            pytest.param("cell type", "B cell", "definition", "'b cell' has no definition", id="no_definition"),
            pytest.param("cell type", "B cell", "short", "Unknown form 'short'. Choose among: full", id="form"),
        ],
    )
    def test_errors(self, aspect, term, form, message):
        with pytest.raises(ValueError, match=message):
            describe_term(aspect, term, form=form)


class TestDescribe:
    def test_cell_type(self, ontology):
        assert describe(row(cell_type="CL:0000236"), ontology=ontology) == B_CELL

    def test_aspects_come_in_the_fixed_order_whatever_the_order_of_columns(self, ontology):
        everything = row(
            genetic_perturbation="guide 1",
            experimental_condition="CHEBI:28748",
            suspension_type="cell",
            assay="EFO:0009922",
            self_reported_ethnicity="HANCESTRO:0568",
            sex="PATO:0000384",
            disease="PATO:0000461",
            development_stage="HsapDv:0000258",
            tissue="UBERON:0000178",
            cell_type="CL:0000236",
        )
        text = describe(everything, ontology=ontology)
        positions = [text.index(f"{aspect}: ") for aspect in ASPECTS]
        assert positions == sorted(positions)
        assert text.startswith(B_CELL + BLOOD)
        assert text.endswith("genetic perturbation: guide 1; ")
        assert text == text.lower()
        assert describe(everything, ontology=ontology, aspects=("tissue", "cell type")) == B_CELL + BLOOD

    @pytest.mark.parametrize(
        "missing",
        ["unknown", "na", "NA", "N/A", "<NA>", "None", "Unclassified", "nan", "", " ", None, float("nan"), pd.NA],
    )
    def test_unknown_values_are_left_out(self, ontology, missing):
        assert describe(row(cell_type=missing, tissue="UBERON:0000178"), ontology=ontology) == BLOOD

    def test_nothing_known_is_empty(self, ontology):
        assert describe({"n_counts": 5}, ontology=ontology) == ""

    @pytest.mark.parametrize("separator", [" || ", "||", ","])
    def test_several_terms(self, ontology, separator):
        value = separator.join(["HANCESTRO:0005", "unknown", "HANCESTRO:0568"])
        text = describe(row(self_reported_ethnicity=value), ontology=ontology)
        assert text.count("self-reported ethnicity: ") == 2
        assert text.index("european ancestry") < text.index("african american")

    def test_obsolete_id_reads_as_its_successor(self, ontology):
        old, new = row(cell_type="CL:0000044"), row(cell_type="CL:0000051")
        assert describe(old, ontology=ontology) == describe(new, ontology=ontology) != ""
        both = row(cell_type="CL:0000044 || CL:0000051")
        assert describe(both, ontology=ontology) == describe(new, ontology=ontology)

    @pytest.mark.parametrize("term_id", ["CL:0000000", "CL:0000003", "CL:0000548", "CL:0000255", "UBERON:0000479"])
    def test_terms_that_are_true_of_every_cell_are_no_aspect(self, ontology, term_id):
        aspect = "tissue" if term_id.startswith("UBERON") else "cell type"
        assert describe(
            {ASPECT_COLUMNS[aspect]: term_id, ASPECT_COLUMNS["sex"]: "PATO:0000384"}, ontology=ontology
        ) == (describe(row(sex="PATO:0000384"), ontology=ontology))

    @pytest.mark.parametrize(
        ("tissue", "kind", "text"),
        [
            pytest.param("UBERON:0000178", "tissue", BLOOD, id="tissue"),
            pytest.param("UBERON:0000178", None, BLOOD, id="not said"),
            pytest.param("UBERON:0002113", "organoid", "tissue: kidney organoid; ", id="organoid"),
            pytest.param("UBERON:0002113 (organoid)", None, "tissue: kidney organoid; ", id="note of an older schema"),
            pytest.param(
                "UBERON:0000178 (cell culture)", None, "tissue: cell culture of blood; ", id="culture by note"
            ),
            pytest.param("CL:0000236", "primary cell culture", "tissue: cell culture of b cell; ", id="culture"),
            pytest.param("CL:0000236", None, "tissue: cell culture of b cell; ", id="a cell type for a tissue"),
            pytest.param("CVCL_0030", "cell line", "tissue: cell line hela; ", id="cell line"),
        ],
    )
    def test_what_is_no_tissue_is_not_called_one(self, ontology, tissue, kind, text):
        assert describe({**row(tissue=tissue), "tissue_type": kind}, ontology=ontology) == text

    def test_a_cell_line_is_not_called_healthy(self, ontology):
        cell = {**row(tissue="CVCL_0030", cell_type="na", disease="PATO:0000461"), "tissue_type": "cell line"}
        assert describe(cell, ontology=ontology) == "tissue: cell line hela; "
        assert "disease: cervical cancer" in describe({**cell, **row(disease="MONDO:0002974")}, ontology=ontology)

    def test_treated_and_perturbed_cells_have_texts_of_their_own(self, ontology):
        texts = {
            describe(row(cell_type="CL:0000236", **more), ontology=ontology)
            for more in (
                {},
                {"experimental_condition": "CHEBI:28748"},
                {"experimental_condition": "na"},
                {"genetic_perturbation": "guide_7 || guide_9"},
            )
        }
        assert texts == {
            B_CELL,
            B_CELL + "experimental condition: doxorubicin; ",
            B_CELL + "genetic perturbation: guide_7; genetic perturbation: guide_9; ",
        }

    @pytest.mark.parametrize("name", ["obsolete_10x", "obsolete 10x", "OBSOLETE: 10x"])
    def test_the_mark_of_an_obsolete_term_is_no_word_of_the_text(self, name):
        assert describe_term("assay", Term("EFO:1", name, obsolete=True)) == "assay: 10x; "
        assert describe_term("assay", Term("EFO:1", "obsoletely odd")) == "assay: obsoletely odd; "

    def test_multiethnic_of_older_schemas_is_its_own_name(self, ontology):
        text = describe(row(self_reported_ethnicity="multiethnic"), ontology=ontology)
        assert text == "self-reported ethnicity: multiethnic; "

    def test_a_template_is_a_choice(self, ontology):
        options = {"ontology": ontology, "template": "names"}
        assert describe(row(cell_type="CL:0000236", tissue="UBERON:0000178"), **options) == (
            "cell type: b cell; tissue: blood; "
        )
        assert describe({}, **options) == ""
        with pytest.raises(ValueError, match="Unknown template 'poem'"):
            describe(row(cell_type="CL:0000236"), ontology=ontology, template="poem")

    def test_obsolete_id_without_successor_keeps_its_own_words(self, ontology):
        text = describe(row(development_stage="HsapDv:0000087"), ontology=ontology)
        assert text.startswith("development stage: adult stage. human developmental stage")

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            pytest.param("CL:9999999", "cell_type_ontology_term_id: Unknown ontology id 'CL:9999999'", id="unknown_id"),
            pytest.param("B cell", "cell_type_ontology_term_id: Unknown ontology id 'B cell'", id="name_for_id"),
            pytest.param(7, "cell_type_ontology_term_id holds 7. Expected text", id="number"),
            pytest.param(["CL:0000236"], "Expected text", id="list"),
        ],
    )
    def test_errors_name_the_column(self, ontology, value, message):
        with pytest.raises(ValueError, match=message):
            describe(row(cell_type=value), ontology=ontology)

    def test_unknown_aspect(self, ontology):
        with pytest.raises(ValueError, match="Unknown aspect 'organ'"):
            describe(row(cell_type="CL:0000236"), ontology=ontology, aspects=("organ",))

    @pytest.mark.parametrize("label", ["B cell", "B lymphocyte", "CL:0000236"])
    def test_label_text_is_the_text_seen_in_training(self, ontology, label):
        resolved = resolve_labels([label, "T cell"], ontology=ontology)[0]
        assert resolved.text == describe(row(cell_type="CL:0000236"), ontology=ontology)


def test_text_forms_are_distinct_and_start_with_the_label_text(ontology):
    term, tissue = ontology.term("CL:0000236"), ontology.term("UBERON:0000178")
    forms = text_forms(term, tissue=tissue)
    assert forms == [
        B_CELL,
        "cell type: b cell; ",
        "cell type: b lymphocyte; ",
        "cell type: b-cell; ",
        "cell type: b-lymphocyte; ",
        "cell type: a lymphocyte of b lineage that is capable of b cell mediated immunity.; ",
        "cell type: b cell; tissue: blood; ",
        B_CELL + BLOOD,
    ]
    assert text_forms(term) == forms[:6]
    assert text_forms(Term("X:1", "B cell", synonyms=("b cell",))) == ["cell type: b cell; "]
