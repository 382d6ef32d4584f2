import pytest

from langcell.inference.auditing.words import read_words


def kinds(names, ids=None):
    return {one.name: [word.kind for word in one.words] for one in read_words(names, ids or {})}


def test_the_name_of_a_term_says_nothing_and_a_synonym_is_told():
    found = kinds(["natural killer cell", "NK cell", "CD14+ Mono"])
    assert found["CD14+ Mono"] == ["synonym"]
    assert found["natural killer cell"] == ["same type"]
    assert found["NK cell"] == ["synonym", "same type"]


def test_spellings_of_one_label_are_told():
    assert kinds(["B cell", "b_cell"]) == {"B cell": ["spelling"], "b_cell": ["spelling"]}


@pytest.mark.parametrize("name", ["CL:0000087", "obsolete male germ line stem cell (sensu Nematoda and Protostomia)"])
def test_an_obsolete_term_is_wrong_and_its_successor_named(name):
    (one,) = read_words([name], {})
    assert [word.kind for word in one.words] == ["obsolete"]
    assert one.words[0].is_wrong
    assert "male germ line stem cell" in one.words[0].text


def test_words_and_id_that_mean_different_types_disagree():
    found = kinds(["B cell (CL:0000084)", "T cell", "NK"], {"T cell": {"CL:0000236"}, "NK": {"CL:0000623"}})
    assert found["B cell (CL:0000084)"] == ["disagrees"]
    assert "disagrees" in found["T cell"]
    assert "disagrees" not in found["NK"]


def test_an_id_of_a_kind_of_the_type_agrees():
    assert "disagrees" not in kinds(["T cell"], {"T cell": {"CL:0000624"}})["T cell"]


def test_two_ids_for_one_label_and_an_id_that_there_is_not_disagree():
    found = read_words(["B cell"], {"B cell": {"CL:0000236", "CL:9999999"}})[0].words
    assert [word.kind for word in found] == ["disagrees", "disagrees"]
    assert "2 ontology ids" in found[0].text


def test_a_label_that_is_no_term_is_read_by_its_id():
    (one,) = read_words(["population 7"], {"population 7": {"CL:0000236"}})
    assert one.label.ontology_term_id == "CL:0000236"
    assert [word.kind for word in one.words] == ["not in the ontology"]
    assert not one.words[0].is_wrong


def test_a_word_for_no_type_is_told():
    assert kinds(["unclassified"]) == {"unclassified": ["no type"]}


@pytest.mark.parametrize("name", ["3", "1.0", "-1", "Cluster 5", "leiden_12", "True"])
def test_a_number_of_a_cluster_names_no_type_unless_an_id_says_which(name):
    assert kinds([name, "B cell"])[name] == ["no type"]
    assert "no type" not in kinds([name, "B cell"], {name: {"CL:0000084"}})[name]


def test_a_type_with_a_number_in_its_name_is_no_cluster():
    found = kinds(["CD4 T cell", "layer 5", "CD8"])
    assert all("no type" not in words for words in found.values())
