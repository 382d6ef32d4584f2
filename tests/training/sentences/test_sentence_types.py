import numpy as np
import pytest
from some_reference import reference_of

from langcell.inference.search.sentences import sentence_types_of
from langcell.loading.load import load
from langcell.processing.ontology.terms import Ontology
from langcell.training.evaluation.inputs.function_sentences import function_sentences
from langcell.training.sentences import sentence_types
from langcell.training.sentences.sentence_types import fit_sentence_types, type_sentences


def _words(text):
    return {word.strip(".,?()").lower() for word in text.split()}


@pytest.fixture(scope="module")
def loaded():
    return load(device="cpu")


def test_no_judged_sentence_is_learned_and_none_that_shares_half_of_its_words():
    judged = [_words(sentence.text) for sentence in function_sentences(Ontology.cellxgene())]
    for _, sentence in type_sentences(Ontology.cellxgene()):
        words = _words(sentence)
        assert max(len(words & other) / len(words | other) for other in judged) < 0.5, sentence


def test_every_training_type_has_ten_sentences_or_more_and_none_says_its_name(loaded):
    ontology = Ontology.cellxgene()
    sentences = type_sentences(ontology)
    counts = {type_id: 0 for type_id, _ in sentences}
    for type_id, sentence in sentences:
        counts[type_id] += 1
        assert ontology.term(type_id).name.lower() not in sentence.lower(), sentence
    trained = {ontology.current(type_id).id for type_id in loaded.config.training_cell_types}
    assert min(counts[type_id] for type_id in trained) >= 10


def test_the_bundled_file_is_what_the_command_fits(loaded, monkeypatch):
    """Of four types, which takes a second; the rows of the whole file belong to the same types and text encoder."""
    stored = sentence_types_of(loaded)
    assert stored is not None
    few = ["CL:0000236", "CL:0000084", "CL:0000097", "CL:0000057"]
    monkeypatch.setattr(loaded.config, "training_cell_types", few)
    extractor = loaded.processor.feature_extractor
    monkeypatch.setattr(extractor, "reference_cells", reference_of(extractor.reference_cells, few))
    fitted = fit_sentence_types(loaded)
    again = fit_sentence_types(loaded)
    np.testing.assert_array_equal(fitted.weights, again.weights)
    assert fitted.types == tuple(sorted(few))
    assert fitted.made_by == stored.made_by
    rows = [stored.types.index(type_id) for type_id in fitted.types]
    np.testing.assert_allclose(fitted.embeds, stored.embeds[rows], atol=2e-3)
    assert (fitted.typical.argmax(1) == np.arange(4)).all()


def test_a_model_that_lists_no_types_is_refused(loaded, monkeypatch):
    monkeypatch.setattr(loaded.config, "training_cell_types", None)
    with pytest.raises(ValueError, match="lists no training types or has no reference cells"):
        fit_sentence_types(loaded)
    assert sentence_types.main(["no-such-folder"]) == 2
