import pytest

from langcell.processing.labels.id_in_name import name_and_id
from langcell.processing.labels.resolve import resolve_labels


@pytest.mark.parametrize(
    "name",
    ["T cell (CL:0000084)", "T cell [CL:0000084]", "CL:0000084 (T cell)", "T cell CL_0000084", "T cell|CL:0000084"],
)
def test_the_id_in_a_name_counts(name):
    label = resolve_labels([name, "hepatocyte"])[0]
    assert (label.name, label.ontology_term_id, label.match) == (name, "CL:0000084", "id")


@pytest.mark.parametrize("name", ["T cell", "CL:0000084", "CD4:CD8 ratio", "cluster_12", "a T cell of CL: none"])
def test_other_names_have_none(name):
    assert name_and_id(name) is None


def test_words_above_or_below_the_id_do_not_disagree():
    assert resolve_labels(["lymphocyte (CL:0000084)", "my own words (CL:0000236)"])[0].ontology_term_id == "CL:0000084"


def test_words_that_mean_another_type_are_refused():
    with pytest.raises(ValueError, match=r"its words mean hepatocyte \(CL:0000182\), its id T cell"):
        resolve_labels(["hepatocyte (CL:0000084)", "B cell"])
