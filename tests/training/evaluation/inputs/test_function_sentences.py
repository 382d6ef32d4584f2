from langcell.processing.ontology.terms import Ontology
from langcell.training.evaluation.inputs.function_sentences import function_sentences


def _words(text):
    return {word.strip(".,()").lower() for word in text.split()}


def test_there_are_sixty_sentences_each_of_known_types():
    ontology = Ontology.cellxgene()
    sentences = function_sentences(ontology)
    assert len({sentence.text for sentence in sentences}) == 60
    assert all(term_id in ontology for sentence in sentences for term_id in sentence.types)
    makes_antibodies = next(sentence for sentence in sentences if sentence.text == "a cell that makes antibodies")
    assert {"CL:0000236", "CL:0000786", "CL:0000788"} <= makes_antibodies.types  # naive B cells are B cells
    assert "CL:0000084" not in makes_antibodies.types


def test_no_sentence_is_a_definition_of_the_ontology_said_again():
    ontology = Ontology.cellxgene()
    for sentence in function_sentences(ontology):
        asked = _words(sentence.text)
        for term_id in sentence.types:
            definition = _words(ontology.term(term_id).definition or "")
            assert len(asked & definition) < len(asked), (sentence.text, term_id)
