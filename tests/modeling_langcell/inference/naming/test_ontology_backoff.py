import numpy as np
import pytest

from langcell.inference.naming.ontology_backoff import back_off, common_parent
from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.processing.ontology.terms import Ontology

CD4, CD8, T, B, NK = "CL:0000624", "CL:0000625", "CL:0000084", "CL:0000236", "CL:0000623"
LABELS = [*resolve_labels([CD4, CD8, T, B, NK]), Label("my odd cells", "odd")]

DIAMOND = """format-version: 1.2

[Term]
id: X:01
name: root

[Term]
id: X:02
name: left
is_a: X:01

[Term]
id: X:03
name: right
is_a: X:01

[Term]
id: X:04
name: one
is_a: X:02
is_a: X:03

[Term]
id: X:05
name: between
is_a: X:02

[Term]
id: X:06
name: other
is_a: X:05
is_a: X:03

[Term]
id: X:07
name: deep
is_a: X:05

[Term]
id: X:08
name: deeper
is_a: X:07
"""


@pytest.fixture(scope="module")
def ontology():
    return Ontology.cellxgene()


@pytest.fixture(scope="module")
def diamond(tmp_path_factory):
    path = tmp_path_factory.mktemp("ontology") / "diamond.obo"
    path.write_text(DIAMOND)
    return Ontology.from_file(path)


def named(row, margin, ontology):
    names, ids = back_off(np.array([row]), LABELS, margin=margin, ontology=ontology)
    return names[0], ids[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param([0.4, 0.39, 0.1, 0.1, 0, 0], ("mature alpha-beta T cell", "CL:0000791"), id="close_siblings"),
        pytest.param([0.39, 0.4, 0.1, 0.1, 0, 0], ("mature alpha-beta T cell", "CL:0000791"), id="in_either_order"),
        pytest.param([0.5, 0.3, 0.1, 0.1, 0, 0], ("CD4-positive, alpha-beta T cell", CD4), id="far_apart"),
        pytest.param([0.4, 0.1, 0.39, 0.1, 0, 0], ("CD4-positive, alpha-beta T cell", CD4), id="child_and_parent"),
        pytest.param([0.1, 0.1, 0.39, 0.4, 0, 0], ("lymphocyte", "CL:0000542"), id="one_and_two_steps"),
        pytest.param([0.1, 0.1, 0.4, 0.1, 0.39, 0], ("T cell", T), id="too_many_steps"),
        pytest.param([0.1, 0.1, 0.1, 0.1, 0.39, 0.4], ("my odd cells", ""), id="label_without_term"),
        pytest.param([0.4, np.nan, np.nan, np.nan, np.nan, np.nan], (LABELS[0].name, CD4), id="nothing_else_known"),
        pytest.param([np.nan, 0.2, np.nan, np.nan, np.nan, 0.1], (LABELS[1].name, CD8), id="nan_is_lowest"),
        pytest.param([np.nan] * 6, ("", ""), id="no_score"),
    ],
)
def test_the_name_of_a_cell(ontology, row, expected):
    assert named(row, 0.05, ontology) == expected


def test_margin_zero_is_for_ties_only(ontology):
    assert named([0.4, 0.4, 0.1, 0, 0, 0], 0.0, ontology)[0] == "mature alpha-beta T cell"
    assert named([0.4, 0.399, 0.1, 0, 0, 0], 0.0, ontology)[0] == "CD4-positive, alpha-beta T cell"


def test_many_cells_at_once_are_the_cells_one_by_one(ontology):
    scores = np.random.default_rng(0).dirichlet(np.ones(6), 50)
    names, ids = back_off(scores, LABELS, margin=0.1, ontology=ontology)
    assert list(zip(names, ids, strict=True)) == [named(row, 0.1, ontology) for row in scores]
    assert len(set(names) - {label.name for label in LABELS}) > 0
    assert back_off(scores[:0], LABELS, margin=0.1, ontology=ontology) == ([], [])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # left takes 1 + 2 steps, right 1 + 1.
        pytest.param("X:04", "X:06", "X:03", id="of_several_the_nearest"),
        pytest.param("X:06", "X:07", "X:05", id="the_lowest"),
        pytest.param("X:02", "X:03", None, id="only_the_root"),
        pytest.param("X:04", "X:08", None, id="three_steps"),
        pytest.param("X:05", "X:08", None, id="ancestor"),
        pytest.param("X:05", "X:05", None, id="itself"),
        pytest.param("X:05", "X:99", None, id="unknown_id"),
    ],
)
def test_siblings_and_their_lowest_common_ancestor(diamond, one, other, expected):
    for pair in ((one, other), (other, one)):
        term = common_parent(*pair, ontology=diamond)
        assert (term and term.id) == expected


@pytest.mark.parametrize(
    ("shape", "margin", "message"),
    [
        pytest.param((1, 6), 1.5, "margin is 1.5", id="margin"),
        pytest.param((1, 6), float("nan"), "margin is nan", id="margin_nan"),
        pytest.param((1, 5), 0.1, r"shape \(1, 5\), but there are 6 labels", id="columns"),
    ],
)
def test_mistakes_are_refused(ontology, shape, margin, message):
    with pytest.raises(ValueError, match=message):
        back_off(np.zeros(shape), LABELS, margin=margin, ontology=ontology)
