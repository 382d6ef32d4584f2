"""Cells that fit no label stand out, and a confidence of 0.8 is right in about eight of ten cells."""

from types import SimpleNamespace

import numpy as np
import pytest
from simulated_files import simulate
from sklearn.metrics import roc_auc_score

from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.confidence import (
    REFINED,
    Calibration,
    NameConfidence,
    alone_confidence,
    alone_evidence,
    fit_calibration,
    refined_confidence,
    refined_evidence,
)
from langcell.inference.refinement.novelty import Novelty, is_unknown, sentence

FILE = simulate((120, 80, 60))
COMPONENTS = CellComponents.fit([FILE.counts]).transform(FILE.counts)


def novelty_without(label, components=COMPONENTS, less=4.0):
    """The cells' novelty when this label is not among the candidates, to which its cells are less similar."""
    similarity = np.delete(FILE.similarity, label, axis=1) - less * (FILE.truth == label)[:, None]
    return Novelty.fit(similarity, components).score(similarity, components)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_cells_of_a_type_that_was_left_out_stand_out(label):
    assert roc_auc_score(FILE.truth == label, novelty_without(label)) > 0.95


def test_neighbours_make_it_clearer():
    truth = FILE.truth == 2
    alone, together = novelty_without(2, None, less=1.0), novelty_without(2, less=1.0)
    assert roc_auc_score(truth, together) > roc_auc_score(truth, alone) + 0.02


def test_more_similarity_is_less_novelty():
    novelty = Novelty.fit(FILE.similarity)
    raised = FILE.similarity + np.linspace(0, 5, len(FILE.truth))[:, None]
    before, after = novelty.score(FILE.similarity), novelty.score(raised)
    assert (after <= before).all()
    assert (before >= 0).all()
    assert (before <= 1).all()


def test_novelty_does_not_depend_on_the_block():
    novelty = Novelty.fit(FILE.similarity, COMPONENTS)
    whole = novelty.score(FILE.similarity, COMPONENTS)
    parts = [novelty.score(FILE.similarity[i : i + 50], COMPONENTS[i : i + 50]) for i in range(0, 260, 50)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-12)


def test_a_cell_without_similarities_is_new_and_one_without_components_stands_alone():
    similarity, components = FILE.similarity.copy(), COMPONENTS.copy()
    similarity[0], components[1] = np.nan, np.nan
    found = Novelty.fit(similarity, components).score(similarity, components)
    assert found[0] == 1
    assert 0 < found[1] < 1


def test_cells_that_are_nearer_to_another_type_are_newer():
    margin = np.where(FILE.truth == 2, -9.0, 9.0)
    novelty = Novelty.fit(FILE.similarity, COMPONENTS, margin)
    found = novelty.score(FILE.similarity, COMPONENTS, margin)
    assert found[FILE.truth == 2].min() > found[FILE.truth != 2].max()
    with pytest.raises(ValueError, match="a margin for all, or none"):
        novelty.score(FILE.similarity, COMPONENTS)


def test_what_novelty_refuses():
    with pytest.raises(ValueError, match="do not fit"):
        Novelty.fit(FILE.similarity, COMPONENTS[:3])
    with pytest.raises(ValueError, match="No cell has similarities"):
        Novelty.fit(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="above is 2"):
        is_unknown(np.ones(2), 2)


def test_the_sentence_counts_cells():
    assert sentence(np.full(1500, 0.99)) == "1,500 of 1,500 cells fit none of these labels"


def calibration_error(confidence, right, bins=10):
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    sizes = np.bincount(bin_of, minlength=bins) / len(right)
    gaps = [abs(confidence[bin_of == b].mean() - right[bin_of == b].mean()) if sizes[b] else 0.0 for b in range(bins)]
    return float(sizes @ gaps)


def test_a_calibration_that_was_fitted_on_one_file_holds_on_another():
    first, second = simulate((300, 200), seed=1), simulate((300, 200), seed=2)
    named = first.similarity.argmax(axis=1), second.similarity.argmax(axis=1)
    calibration = fit_calibration(alone_evidence(first.similarity, named[0]), named[0] == first.truth)
    confidence = alone_confidence(second.similarity, named[1], calibration)
    assert calibration_error(confidence, named[1] == second.truth) < 0.05


def test_more_evidence_is_never_less_confidence():
    rising = np.stack([np.linspace(0, 1, 50), np.linspace(1, 0, 50)], axis=1)
    similarity = np.stack([np.linspace(0, 8, 50), np.full(50, 4.0)], axis=1)
    assert (np.diff(refined_confidence(rising, np.zeros(50, dtype=int))) > 0).all()
    assert (np.diff(alone_confidence(similarity, np.zeros(50, dtype=int))) >= 0).all()


def test_a_cell_without_name_or_similarities_has_no_confidence():
    similarity = np.array([[5.0, 1.0], [np.nan, np.nan]])
    assert alone_confidence(similarity, np.array([-1, 0])).tolist() == [0, 0]
    assert refined_confidence(np.array([[0.9, 0.1], [0.0, 0.0]]), np.array([-1, 0])).tolist() == [0, 0]


def test_cells_that_count_more_say_more_of_a_calibration():
    agreement, named = np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5]]), np.zeros(4, dtype=int)
    evidence, right = refined_evidence(agreement, named), np.array([True, True, True, False])
    plain, weighted = (fit_calibration(evidence, right, given) for given in (None, np.array([1.0, 1.0, 1.0, 9.0])))
    at = [refined_confidence(agreement[2:3], named[:1], fit)[0] for fit in (plain, weighted)]
    assert at[1] < at[0] - 0.1


def test_a_folder_of_before_has_the_bundled_calibration():
    older = SimpleNamespace(confidence={"refined": [3.36, 2.48], "alone": [0.88, 0.63]})
    newer = SimpleNamespace(confidence={"agreement": [0.5, 0.1], "alone": [0.88, 0.63]})
    assert NameConfidence.of(older).of_refined == REFINED
    assert NameConfidence.of(newer).of_refined == Calibration(0.5, 0.1)
    assert NameConfidence.of(SimpleNamespace()) is None


def test_what_confidence_refuses():
    with pytest.raises(ValueError, match="slope"):
        Calibration(-1.0, 0.0)
    with pytest.raises(ValueError, match="right and wrong"):
        fit_calibration(np.ones(3), np.zeros(3, dtype=bool))
