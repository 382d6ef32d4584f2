"""Labels with commas in their names, split at the right ones."""

import pytest

from langcell.processing.labels.splitting import split_labels
from langcell.processing.ontology.terms import Ontology

OBO = """format-version: 1.2

[Term]
id: LAB:01
name: red cell

[Term]
id: LAB:02
name: cell, blue
"""


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.cellxgene()


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param("B cell,NK cell", ["B cell", "NK cell"], id="plain"),
        pytest.param(" B cell , odd one ", ["B cell", "odd one"], id="blanks"),
        pytest.param("CL:0000236,CL:0000623", ["CL:0000236", "CL:0000623"], id="ids"),
        pytest.param(
            "CD4-positive,alpha-beta T cell,B cell", ["CD4-positive, alpha-beta T cell", "B cell"], id="one_comma"
        ),
        pytest.param(
            "odd, CD4-positive, CXCR3-negative, CCR6-negative, alpha-beta T cell, odd 2",
            ["odd", "CD4-positive, CXCR3-negative, CCR6-negative, alpha-beta T cell", "odd 2"],
            id="three_commas",
        ),
        pytest.param("B cell, CD19-positive", ["B cell, CD19-positive"], id="longest_run_wins"),
        pytest.param('B cell, "CD19-positive"', ["B cell", "CD19-positive"], id="quotes_keep_apart"),
        pytest.param('"B cell", CD19-positive', ["B cell", "CD19-positive"], id="quotes_keep_apart_left"),
        pytest.param('"odd, but one",B cell', ["odd, but one", "B cell"], id="quotes_keep_together"),
        pytest.param('"a ""b"" c",d', ['a "b" c', "d"], id="doubled_quote"),
        pytest.param('5" cell,d', ['5" cell', "d"], id="quote_inside"),
        pytest.param("B cell\n", ["B cell"], id="one"),
    ],
)
def test_split(ontology, text, labels):
    assert split_labels(text, ontology=ontology) == labels


def test_all_names_with_commas_survive_side_by_side(ontology):
    types = sorted(ontology.descendants("CL:0000084"))
    names = [name for name in (ontology.term(term_id).name for term_id in types) if "," in name]
    assert len(names) > 50
    assert split_labels(",".join(f'"{name}"' for name in names), ontology=ontology) == names
    assert split_labels(", odd,".join(names), ontology=ontology)[::2] == names


def test_own_ontology(tmp_path):
    (tmp_path / "lab.obo").write_text(OBO)
    lab = Ontology.from_file(tmp_path / "lab.obo")
    assert split_labels("red cell,cell, blue", ontology=lab) == ["red cell", "cell, blue"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "label 1 is empty", id="empty"),
        pytest.param("B cell,,NK cell", "label 2 is empty", id="double_comma"),
        pytest.param("B cell,", "label 2 is empty", id="comma_at_the_end"),
        pytest.param('B cell,""', "label 2 is empty", id="empty_quotes"),
        pytest.param('B cell,"NK cell', "quote is not closed", id="open_quote"),
        pytest.param('"B cell" x,NK cell', "quote is not closed before a comma", id="text_after_quote"),
    ],
)
def test_errors(text, message):
    with pytest.raises(ValueError, match=message):
        split_labels(text)


def test_shorthands_are_not_joined(ontology):
    assert split_labels("CD4, T, B", ontology=ontology) == ["CD4", "T", "B"]
