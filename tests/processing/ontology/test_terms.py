"""Terms by id and name: the bundled ontologies and an OBO file."""

import doctest

import pytest

from langcell.processing.ontology import terms as ontology_module
from langcell.processing.ontology.terms import Ontology, Term

OBO = """format-version: 1.2
data-version: releases/2024-01-01
ontology: lab

[Term]
id: LAB:01
name: cell
def: "A  cell of the lab." [LAB:me]

[Term]
id: LAB:02
name: red cell
synonym: "rubrocyte" EXACT []
synonym: "ruby" RELATED []
synonym: "tinted cell" EXACT []
is_a: LAB:01

[Term]
id: LAB:03
name: dark-red cell
synonym: "tinted cell" EXACT []
is_a: LAB:02

[Term]
id: LAB:04
name: obsolete rouge cell
def: "OBSOLETE: A red cell." [LAB:me]
is_obsolete: true
replaced_by: LAB:05

[Term]
id: LAB:05
name: obsolete crimson cell
is_obsolete: true
replaced_by: LAB:02

[Term]
id: LAB:06
name: obsolete lost cell
is_obsolete: true

[Term]
id: LAB:07
name: obsolete moved cell
is_obsolete: true
replaced_by: PO:0000079
"""


@pytest.fixture(scope="module")
def bundled() -> Ontology:
    return Ontology.cellxgene()


@pytest.fixture
def obo(tmp_path) -> Ontology:
    path = tmp_path / "lab.obo"
    path.write_text(OBO)
    return Ontology.from_file(path)


def test_docstring_examples_run():
    assert doctest.testmod(ontology_module).failed == 0


class TestBundled:
    def test_term_carries_name_definition_and_synonyms(self, bundled):
        term = bundled.term("CL:0000236")
        assert (term.name, term.obsolete, term.replaced_by) == ("B cell", False, None)
        assert term.definition == "A lymphocyte of B lineage that is capable of B cell mediated immunity."
        assert term.synonyms == ("B lymphocyte", "B-cell", "B-lymphocyte")

    @pytest.mark.parametrize(
        ("term_id", "name"),
        [
            ("UBERON:0000178", "blood"),
            ("EFO:0009922", "10x 3' v3"),
            ("MONDO:0100096", "COVID-19"),
            ("HsapDv:0000258", "adult stage"),
            ("PATO:0000461", "normal"),
            ("HANCESTRO:0568", "African American"),
            ("CVCL_0023", "A-549"),
        ],
    )
    def test_every_ontology_of_cellxgene_metadata_is_there(self, bundled, term_id, name):
        assert bundled.term(term_id).name == name

    @pytest.mark.parametrize(
        ("text", "term_id", "kind"),
        [
            pytest.param("B cell", "CL:0000236", "name", id="exact"),
            pytest.param("  b_CELL ", "CL:0000236", "name", id="case_blanks_underscore"),
            pytest.param("NK cell", "CL:0000623", "synonym", id="synonym"),
            pytest.param("B cells", "CL:0000236", "name", id="plural_of_name"),
            pytest.param("NK-cells", "CL:0000623", "synonym", id="plural_and_hyphen_of_synonym"),
            pytest.param("CD4-positive,alpha-beta T cell", "CL:0000624", "name", id="blank_after_comma"),
            pytest.param("insulin secreting cell", "CL:0000168", "name", id="name_before_another_terms_synonym"),
        ],
    )
    def test_find(self, bundled, text, term_id, kind):
        term, how = bundled.find(text)
        assert (term.id, how) == (term_id, kind)

    @pytest.mark.parametrize(
        "text", ["", "blood", "mystery cell", "CD4- T cell", "native cell", "obsolete native cell"]
    )
    def test_find_does_not_guess(self, bundled, text):
        assert bundled.find(text) is None

    def test_find_looks_where_it_is_told(self, bundled):
        term, _ = bundled.find("Blood", prefix="UBERON")
        assert term.id == "UBERON:0000178"
        assert bundled.find("blood", prefix="NOSUCH") is None

    def test_every_current_name_and_id_finds_itself(self, bundled):
        types = bundled.descendants("CL:0000988")
        assert len(types) > 300
        for term_id in types:
            term, kind = bundled.find(bundled.term(term_id).name.upper())
            assert (term.id, kind) == (term_id, "name")

    def test_ancestors_and_descendants_are_inverse_and_without_itself(self, bundled):
        lymphocyte, b_cell = "CL:0000542", "CL:0000236"
        assert lymphocyte in bundled.ancestors(b_cell)
        assert b_cell in bundled.descendants(lymphocyte)
        assert b_cell not in bundled.ancestors(b_cell) | bundled.descendants(b_cell)

    def test_closure_is_transitive(self, bundled):
        above = bundled.ancestors("CL:0000236")
        assert all(bundled.ancestors(term_id) <= above for term_id in above)

    def test_obsolete_id_leads_to_its_successor(self, bundled):
        assert bundled.term("CL:0000003").obsolete
        assert bundled.current("CL:0000003") == bundled.term("CL:0000000")

    def test_a_merged_term_without_a_name_is_that_into_which_it_was_merged(self, bundled):
        assert bundled.current("CL:0000044").id == "CL:0000051"
        assert all(bundled.current(t).name for t in ("CL:0000044", "CL:0000053", "CL:0000139", "CL:0000184"))

    def test_a_successor_in_another_ontology_is_not_followed(self, bundled):
        # Of plants: a human cell would get a name from a leaf.
        term = bundled.current("CL:0000074")
        assert (term.id, term.obsolete) == ("CL:0000074", True)

    def test_blood_cell_has_no_leukocyte_below_it_and_hematopoietic_cell_has(self, bundled):
        leukocytes = {"CL:0000084", "CL:0000236", "CL:0000623", "CL:0000576", "CL:0000738"}
        assert not leukocytes & bundled.descendants("CL:0000081")
        assert leukocytes <= bundled.descendants("CL:0000988")

    @pytest.mark.parametrize(
        ("term_id", "message"),
        [
            pytest.param("CL:9999999", "'CL:9999999' in the CELLxGENE", id="no_such_number"),
            pytest.param("CL_0000236", r"Did you mean CL:0000236 \(B cell\)", id="underscore"),
            pytest.param("cl:0000236 ", r"Did you mean CL:0000236 \(B cell\)", id="case_and_blank"),
            pytest.param("hsapdv:0000258", r"Did you mean HsapDv:0000258", id="case_of_mixed_prefix"),
            pytest.param("GO:0008150", "Unknown ontology id 'GO:0008150'", id="no_such_ontology"),
            pytest.param("", "Unknown ontology id ''", id="empty"),
        ],
    )
    def test_unknown_ids_are_named(self, bundled, term_id, message):
        for ask in (bundled.term, bundled.current, bundled.ancestors, bundled.descendants):
            with pytest.raises(ValueError, match=message):
                ask(term_id)
        assert term_id not in bundled

    def test_is_made_once_and_says_its_version(self, bundled):
        assert Ontology.cellxgene() is bundled
        assert bundled.version.startswith("cellxgene-ontology-guide 1.")
        assert ", CL v20" in bundled.version


class TestObo:
    def test_term(self, obo):
        assert obo.term("LAB:01") == Term("LAB:01", "cell", "A cell of the lab.")
        assert obo.term("LAB:02") == Term("LAB:02", "red cell", None, ("rubrocyte", "tinted cell"))
        assert obo.prefixes == ("LAB",)
        assert obo.version == "lab.obo, releases/2024-01-01"

    def test_hierarchy(self, obo):
        assert obo.ancestors("LAB:03") == {"LAB:01", "LAB:02"}
        assert obo.descendants("LAB:01") == {"LAB:02", "LAB:03"}

    @pytest.mark.parametrize(
        ("term_id", "current_id"),
        [
            pytest.param("LAB:02", "LAB:02", id="not_obsolete"),
            pytest.param("LAB:04", "LAB:02", id="chain_of_two"),
            pytest.param("LAB:06", "LAB:06", id="no_successor"),
            pytest.param("LAB:07", "LAB:07", id="successor_not_in_the_file"),
        ],
    )
    def test_current(self, obo, term_id, current_id):
        assert obo.current(term_id).id == current_id

    def test_obsolete_cycle_ends(self, tmp_path):
        path = tmp_path / "cycle.obo"
        path.write_text(OBO.replace("replaced_by: LAB:02", "replaced_by: LAB:04"))
        assert Ontology.from_file(path).current("LAB:04").obsolete

    def test_only_exact_synonyms_are_found(self, obo):
        assert obo.find("Rubrocyte", prefix="LAB")[0].id == "LAB:02"
        assert obo.find("ruby", prefix="LAB") is None

    def test_ambiguous_synonym_is_refused_with_both_terms(self, obo):
        with pytest.raises(ValueError, match=r"synonym of LAB:02 \(red cell\) and LAB:03 \(dark-red cell\)"):
            obo.find("tinted cell", prefix="LAB")
