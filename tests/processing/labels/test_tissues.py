import json

import pytest
from places import ROOT

from langcell.processing.labels.tissues import FLUID, IN_EVERY_TISSUE, tissues_of_type, types_of_tissue
from langcell.processing.ontology.terms import Ontology

TISSUES = {
    "blood": ["CL:0000236", "CL:0000233"],
    "colon": ["CL:0000499"],
    "intestine": ["CL:0000097", "CL:0000542"],
    "lung": ["CL:0000583"],
}
SHIPPED = json.loads((ROOT / "hub_cards" / "langcell-mini" / "config.json").read_text())


def test_blood_has_its_own_types_alone():
    assert types_of_tissue("blood", TISSUES) == ("blood", ["CL:0000233", "CL:0000236"])


def test_solid_tissues_also_have_blood_and_vessels():
    assert types_of_tissue("Lung", TISSUES) == ("lung", ["CL:0000097", "CL:0000236", "CL:0000583"])


def test_a_part_of_an_organ_has_the_types_of_the_organ():
    assert {"CL:0000499", "CL:0000097", "CL:0000542"} <= set(types_of_tissue("colon", TISSUES)[1])


@pytest.mark.parametrize(("word", "name"), [("PBMC", "blood"), ("gut", "intestine"), ("BLOOD ", "blood")])
def test_other_words_for_a_tissue(word, name):
    assert types_of_tissue(word, TISSUES)[0] == name


def test_an_unknown_tissue_is_refused_with_the_nearest_and_the_legal_ones():
    with pytest.raises(ValueError, match="No tissue 'lungs' is known; did you mean 'lung'\\? Legal are blood, colon"):
        types_of_tissue("lungs", TISSUES)
    with pytest.raises(ValueError, match="No tissue 'xyz' is known\\. Legal are"):
        types_of_tissue("xyz", TISSUES)


def test_tissues_are_counted_by_type():
    assert tissues_of_type(TISSUES, ["CL:0000236", "CL:9", None]) == [1, 1, 1]
    assert tissues_of_type({"a": ["x"], "b": ["x"]}, ["x"]) == [2]


def test_the_bundled_weights_list_all_their_types_by_tissue():
    tissues = SHIPPED["tissue_cell_types"]
    assert {term for types in tissues.values() for term in types} == set(SHIPPED["training_cell_types"])
    assert set(FLUID) <= set(tissues)
    assert all(len(types_of_tissue(name, tissues)[1]) >= 5 for name in tissues)
    assert set(IN_EVERY_TISSUE) <= set(SHIPPED["training_cell_types"])
    assert not [term for term in IN_EVERY_TISSUE if Ontology.cellxgene().term(term).obsolete]
