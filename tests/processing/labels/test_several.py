import pytest

from langcell.processing.labels.resolve import resolve_labels


def test_ids_of_one_field_are_terms_of_their_own_aspect():
    label = resolve_labels(["MONDO:0004975 || MONDO:0100096", "PATO:0000461"])[0]
    assert (label.name, label.ontology_term_id, label.match) == ("Alzheimer disease || COVID-19", None, "id")
    assert label.text.startswith("disease: alzheimer disease. ")
    assert "; disease: covid-19. " in label.text
    assert "mondo:" not in label.text.split(";")[0]


def test_names_of_one_field_are_read_one_by_one():
    label = resolve_labels(["B cell || NK cell", "hepatocyte"])[0]
    assert label.match == "name"
    assert label.text.count("cell type: ") == 2


@pytest.mark.parametrize("value", ["MONDO:0100096 || unknown", "MONDO:0100096 || MONDO:0100096"])
def test_one_id_is_left_where_the_others_say_nothing(value):
    assert resolve_labels([value, "PATO:0000461"])[0].ontology_term_id == "MONDO:0100096"


def test_an_unknown_id_among_several_is_named():
    with pytest.raises(ValueError, match="Unknown ontology id 'MONDO:9999999'"):
        resolve_labels(["MONDO:0004975 || MONDO:9999999", "PATO:0000461"])
