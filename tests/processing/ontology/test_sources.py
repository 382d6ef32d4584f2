"""Reading terms: what a source gives for the bundled ontologies and an OWL file, and which files it refuses."""

import pytest

from langcell.processing.ontology.sources import CellxgeneSource, FileSource, Term
from langcell.processing.ontology.terms import Ontology

OWL = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rdfs="http://www.w3.org/2000/01/rdf-schema#"
    xmlns:owl="http://www.w3.org/2002/07/owl#" xmlns:obo="http://purl.obolibrary.org/obo/"
    xmlns:oio="http://www.geneontology.org/formats/oboInOwl#">
  <owl:Ontology rdf:about="http://purl.obolibrary.org/obo/cl.owl"/>
  <owl:AnnotationProperty rdf:about="http://purl.obolibrary.org/obo/IAO_0000115"/>
  <owl:Class rdf:about="http://purl.obolibrary.org/obo/CL_0000001">
    <rdfs:label>cell</rdfs:label>
    <obo:IAO_0000115>A cell.</obo:IAO_0000115>
  </owl:Class>
  <owl:Class rdf:about="http://purl.obolibrary.org/obo/CL_0000002">
    <rdfs:label>red cell</rdfs:label>
    <rdfs:subClassOf rdf:resource="http://purl.obolibrary.org/obo/CL_0000001"/>
    <oio:hasExactSynonym>rubrocyte</oio:hasExactSynonym>
    <oio:hasRelatedSynonym>ruby</oio:hasRelatedSynonym>
  </owl:Class>
  <owl:Class rdf:about="http://purl.obolibrary.org/obo/CL_0000003">
    <rdfs:label>obsolete rouge cell</rdfs:label>
    <owl:deprecated rdf:datatype="http://www.w3.org/2001/XMLSchema#boolean">true</owl:deprecated>
    <obo:IAO_0100001 rdf:resource="http://purl.obolibrary.org/obo/CL_0000002"/>
  </owl:Class>
</rdf:RDF>
"""


class TestCellxgeneSource:
    def test_texts_are_on_one_line(self):
        source = CellxgeneSource()
        for term_id in source.ids("HANCESTRO"):
            term = source.get(term_id)
            for text in (term.name, term.definition or "", *term.synonyms):
                assert text == " ".join(text.split())

    def test_ids_belong_to_the_prefix(self):
        source = CellxgeneSource()
        assert all(term_id.startswith("CL:") for term_id in source.ids("CL"))
        assert list(source.ids("NOSUCH")) == []
        assert {"CL", "UBERON", "EFO", "MONDO", "HANCESTRO", "HsapDv", "PATO"} <= set(source.prefixes())

    @pytest.mark.parametrize("term_id", ["unknown", "na", "CL:0000236x", "cl:0000236", ""])
    def test_what_is_no_id_has_no_term(self, term_id):
        assert CellxgeneSource().get(term_id) is None


def test_owl_file_reads_like_the_obo_file(tmp_path):
    path = tmp_path / "cl.owl"
    path.write_text(OWL)
    owl = Ontology.from_file(path)
    assert owl.term("CL:0000001") == Term("CL:0000001", "cell", "A cell.")
    assert owl.term("CL:0000002").synonyms == ("rubrocyte",)
    assert owl.find("red cells")[0].id == "CL:0000002"
    assert owl.ancestors("CL:0000002") == {"CL:0000001"}
    assert owl.current("CL:0000003").id == "CL:0000002"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param("", "Give a whole OBO or OWL", id="empty"),
        pytest.param("not an ontology", "Give a whole OBO or OWL", id="garbage"),
        pytest.param("format-version: 1.2\n[Term\nid: x", "line 2", id="malformed_obo"),
        pytest.param("format-version: 1.2\n\n[Term]\nid: A:1\n", "no term has a name", id="no_names"),
        pytest.param(
            "format-version: 1.2\n\n[Term]\nid: A:1\nname: a\nis_a: A:2\n", "'A:2' is used but not", id="parent"
        ),
        pytest.param("<?xml version='1.0'?><rdf:RDF>", "Cannot read ontology", id="malformed_xml"),
    ],
)
def test_unreadable_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "broken.obo"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        FileSource(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
