"""Which terms and synonyms may be meant by a label for human cells."""

import pytest

from langcell.processing.ontology.terms import Ontology
from langcell.processing.ontology.trusted_names import is_foreign, trusted_synonyms

OBO = """format-version: 1.2

[Term]
id: NCBITaxon:10090
name: Mus musculus

[Term]
id: NCBITaxon:40674
name: Mammalia

[Term]
id: CL:1
name: red cell
synonym: "cell of mice" EXACT []
relationship: only_in_taxon NCBITaxon:10090

[Term]
id: CL:2
name: blue cell
synonym: "azure cell" EXACT []
alt_id: CL:9
relationship: in_taxon NCBITaxon:40674

[Typedef]
id: only_in_taxon
name: only in taxon

[Typedef]
id: in_taxon
name: in taxon
"""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Ontology:
    path = tmp_path_factory.mktemp("ontology") / "lab.obo"
    path.write_text(OBO)
    return Ontology.from_file(path)


@pytest.mark.parametrize(
    ("term_id", "foreign"),
    [
        pytest.param("CL:4070012", True, id="crab"),
        pytest.param("CL:4310127", True, id="primate striatum"),
        pytest.param("CL:0000301", True, id="pole cell of insects"),
        pytest.param("CL:0000028", True, id="sensu Nematoda"),
        pytest.param("CL:0002438", True, id="mouse by name"),
        pytest.param("CL:0000031", False, id="sensu Vertebrata"),
        pytest.param("CL:0000938", False, id="human"),
        pytest.param("CL:0002619", False, id="also in some teleosts"),
        pytest.param("CL:0000236", False, id="B cell"),
    ],
)
def test_terms_of_other_animals_are_told_by_name_definition_or_list(term_id, foreign):
    assert is_foreign(Ontology.cellxgene().term(term_id)) is foreign


def test_axioms_on_taxa_decide_where_the_file_has_them(laboratory):
    red, blue = laboratory.term("CL:1"), laboratory.term("CL:2")
    assert (red.taxa, blue.taxa) == (("NCBITaxon:10090",), ("NCBITaxon:40674",))
    assert (is_foreign(red), is_foreign(blue)) == (True, False)
    assert laboratory.find("cell of mice") is None
    assert laboratory.find("azure cell")[0].id == "CL:2"


def test_an_id_that_was_merged_leads_to_its_term(laboratory):
    assert laboratory.term("CL:9").obsolete
    assert laboratory.current("CL:9").id == "CL:2"
    assert laboratory.ancestors("CL:9") == laboratory.ancestors("CL:2")


def test_symbols_are_no_synonyms_by_themselves():
    assert "DC2" not in trusted_synonyms(Ontology.cellxgene().term("CL:0000784"))
    assert "B-cell" in trusted_synonyms(Ontology.cellxgene().term("CL:0000236"))
