import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from langcell.inference.hierarchy.label_tree import LabelTree
from langcell.inference.hierarchy.tree_answers import (
    LEAST_CONFIDENCE,
    answers_alone,
    answers_in_list,
    answers_together,
    label_alone,
)
from langcell.inference.hierarchy.tree_mixture import TreeMixture, TreeText
from langcell.inference.hierarchy.tree_voice import TreeVoice
from langcell.inference.refinement.confidence import Calibration, NameConfidence
from langcell.inference.refinement.file_refinement import FileVoice
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology

NAMES = [
    "lymphocyte", "T cell", "CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell", "B cell", "monocyte",
]  # fmt: skip
LABELS = resolve_labels(NAMES)
TREE = LabelTree.of(LABELS, Ontology.cellxgene())
TEXT = TreeText(TREE, np.ones(len(NAMES)))
LEAVES = [2, 3, 4, 5]
CALIBRATION = NameConfidence(Calibration(3.6, 2.5), Calibration(0.9, 0.6))


def grouped(n_cells: int = 200, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarities, places and true leaves of cells of four groups; inner labels are nearly as similar as leaves."""
    rng = np.random.default_rng(seed)
    truth = np.array(LEAVES)[np.arange(n_cells) % 4]
    similarity = rng.normal(0, 1.0, (n_cells, len(NAMES)))
    similarity[np.arange(n_cells), truth] += 3.0
    similarity[:, :2] += 2.5 * np.isin(truth, [2, 3, 4])[:, None]
    places = rng.normal(0, 1.0, (n_cells, 8))
    places[np.arange(n_cells), truth] += 8.0
    return similarity, places, truth


def test_leaves_are_found_where_their_parents_are_as_similar():
    similarity, places, truth = grouped()
    own = TreeMixture.fit(TEXT, similarity, places).posterior(similarity, places)
    assert_allclose(own.sum(axis=1), 1)
    assert np.mean(own.argmax(axis=1) == truth) > 0.95
    assert np.mean(similarity.argmax(axis=1) == truth) < 0.8


def test_a_label_and_its_only_child_do_not_outvote_another_by_being_two():
    """Each of three monocytes is as similar to a CD14 monocyte; one of them has two names among the candidates."""
    labels = resolve_labels(
        ["monocyte", "non-classical monocyte", "CD14-positive monocyte", "CD14-low, CD16-positive monocyte"]
    )
    tree = LabelTree.of(labels, Ontology.cellxgene())
    assert tree.parent.tolist() == [-1, 0, 0, 1]
    rng = np.random.default_rng(0)
    is_cd14 = np.arange(300) % 2 == 0
    similarity = 12 + rng.normal(0, 0.4, (300, 4))
    similarity[is_cd14, 2] += 0.3
    similarity[~is_cd14, 3] += 3
    places = rng.normal(0, 1.0, (300, 8))
    places[is_cd14, 0] += 8
    own = TreeMixture.fit(TreeText(tree, np.ones(4)), similarity, places).posterior(similarity, places)
    assert tree.mass(own)[is_cd14, 2].mean() > 0.9
    assert tree.mass(own)[~is_cd14, 1].mean() > 0.9


def test_blocks_change_nothing():
    similarity, places, _ = grouped()
    mixture = TreeMixture.fit(TEXT, similarity, places)
    whole = mixture.posterior(similarity, places)
    blocks = [mixture.posterior(similarity[i : i + 33], places[i : i + 33]) for i in range(0, 200, 33)]
    assert_array_equal(np.concatenate(blocks), whole)


def test_known_cells_keep_their_label_even_an_inner_one():
    similarity, places, truth = grouped()
    known = np.full(200, -1)
    known[:5], known[5] = truth[:5], 1
    mixture = TreeMixture.fit(TEXT, similarity, places, known=known)
    own = mixture.posterior(similarity, places, known=known)
    assert own[:6].argmax(axis=1).tolist() == known[:6].tolist()
    answers = answers_together(FileVoice(own, own), similarity, TEXT, CALIBRATION, known)
    assert answers.label[:6].tolist() == known[:6].tolist()


def test_a_cell_without_similarities_gets_no_label():
    similarity, places, _ = grouped()
    similarity[3] = np.nan
    own = TreeMixture.fit(TEXT, similarity, places).posterior(similarity, places)
    assert not own[3].any()
    answers = answers_together(FileVoice(own, own), similarity, TEXT, CALIBRATION)
    assert (answers.label[3], answers.fine[3], answers.confidence[3]) == (-1, -1, 0)
    assert answers_alone(similarity, TEXT, CALIBRATION).label[3] == -1


def test_few_cells_share_by_the_text():
    similarity, places, truth = grouped(24)
    own = TreeMixture.fit(TEXT, similarity, places).posterior(similarity, places)
    assert_allclose(own.sum(axis=1), 1)
    assert np.mean(own.argmax(axis=1) == truth) > 0.7


def test_types_of_many_tissues_need_less_evidence():
    similarity = np.zeros((1, len(NAMES)))
    prior = np.ones(len(NAMES))
    prior[3] = 5
    own = TreeText(TREE, prior).own(similarity)
    assert own[0, 3] > own[0, 2]


def test_a_single_child_shares_with_its_parent():
    tree = LabelTree.of(resolve_labels(["B cell", "naive B cell", "monocyte"]), Ontology.cellxgene())
    text = TreeText(tree, np.ones(3))
    similarity = np.array([[4.0, -6.0, 0.0], [4.0, 7.0, 0.0]])
    own = TreeMixture.fit(text, similarity, np.zeros((2, 2))).posterior(similarity, np.zeros((2, 2)))
    assert own.argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize("calibration", [None, CALIBRATION])
def test_confidence_never_falls_on_the_way_up(calibration):
    similarity, places, _ = grouped()
    own = TreeMixture.fit(TEXT, similarity, places).posterior(similarity, places)
    for answers in (
        answers_together(FileVoice(own, own), similarity, TEXT, calibration),
        answers_alone(similarity, TEXT, calibration),
    ):
        inner = answers.label != answers.fine
        top = TREE.parent[answers.label] < 0
        assert (answers.confidence[~top] >= LEAST_CONFIDENCE).all()
        assert (TREE.below[answers.label, answers.fine])[inner].all()


def test_a_list_answers_above_its_best_label_where_that_has_too_little_mass():
    own = np.array(
        [[0, 0.1, 0.4, 0.35, 0.1, 0.05], [0, 0, 0.9, 0, 0, 0.1], [0.1, 0.1, 0, 0, 0.2, 0.6], [0.2] * 5 + [0]]
    )
    text = TreeText(TREE, np.ones(len(NAMES)), lineage=0.0, prior_weight=0.0)
    answers = answers_in_list(FileVoice(own, own), np.zeros(own.shape), text, CALIBRATION)
    assert answers.label.tolist() == [1, 2, 5, 0]
    assert answers.fine.tolist() == [2, 2, 5, 2]


def test_a_list_keeps_a_label_that_nothing_above_it_supports():
    own = np.array([[0.05, 0.0, 0.3, 0.1, 0.0, 0.0]])
    text = TreeText(TREE, np.ones(len(NAMES)), lineage=0.0, prior_weight=0.0)
    assert answers_in_list(FileVoice(own, own), np.zeros(own.shape), text, None).label.tolist() == [2]


def test_cells_alone_keep_the_label_of_a_list_with_the_confidence_of_its_branch():
    similarity = np.array([[0.0, 3.0, 3.0, 3.1, -9, -9], [np.nan] * 6])
    text = TreeText(TREE, np.ones(len(NAMES)), lineage=0.0, prior_weight=0.0)
    inner, leaf = (label_alone(np.array([one, -1]), similarity, text, CALIBRATION) for one in (1, 3))
    assert inner.label.tolist() == [1, -1]
    assert inner.confidence[0] > leaf.confidence[0]
    assert inner.confidence[1] == 0


def test_only_labels_above_one_another_are_a_tree():
    assert TreeVoice.of(LABELS[4:], "branch") is None
    voice = TreeVoice.of(LABELS, "auto")
    assert voice is not None
    assert not voice.is_branch
    assert voice.fitting == {}
    branch = TreeVoice.of(LABELS, "branch", {"blood": ["CL:0000236"], "lung": ["CL:0000236"]})
    assert branch is not None
    assert branch.text.prior.tolist() == [1, 1, 1, 1, 2, 1]


def test_a_list_hears_the_similarities_as_they_are():
    voice = TreeVoice.of(LABELS, "list")
    assert voice is not None
    similarity = np.random.default_rng(0).normal(size=(4, len(NAMES)))
    assert_array_equal(voice.text.joined(similarity), similarity)
