"""Agreement with the neighbours tells right names from wrong ones; a name that the text is sure of is kept."""

from dataclasses import replace

import numpy as np
import pytest
from simulated_files import simulate
from sklearn.metrics import roc_auc_score

from langcell.inference.refinement.agreement import Agreement
from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.file_refinement import FileRefinement, FileVoice
from langcell.inference.refinement.kept_names import KEPT_ABOVE, with_kept_names
from langcell.inference.refinement.mixture import LabelMixture
from langcell.inference.refinement.placing import Block, CellsInFile


class _Sampled:
    def __init__(self, block: Block) -> None:
        self.sample = block


def _block(counts, similarity) -> Block:
    return Block(similarity, CellComponents.fit([counts]).transform(counts), CellsInFile())


@pytest.fixture(scope="module")
def wavering():
    """Three types; the last has two names, and nothing but chance says which is right."""
    file, rng = simulate((120, 80, 120), n_labels=4, noise=2.0), np.random.default_rng(1)
    similarity, truth = file.similarity.copy(), file.truth.copy()
    last = np.flatnonzero(truth == 2)
    similarity[last, 2:] = 10.0 + rng.normal(0, 1.0, (120, 2))
    truth[last] = rng.integers(2, 4, 120)
    return truth, _block(file.counts, similarity)


@pytest.fixture(scope="module")
def heard(wavering) -> FileVoice:
    return FileRefinement(_Sampled(wavering[1])).heard(wavering[1])


def test_cells_that_agree_are_right_more_often_than_those_the_posterior_is_sure_of(wavering, heard):
    truth, _ = wavering
    named = heard.posterior.argmax(axis=1)
    right, rows = named == truth, np.arange(len(truth))
    assert 0.05 < np.mean(~right) < 0.5
    by_agreement = roc_auc_score(right, heard.agreement[rows, named])
    assert by_agreement > 0.8
    assert by_agreement > roc_auc_score(right, heard.posterior[rows, named]) + 0.05


def test_agreement_is_shared_out_over_the_labels_whatever_the_block(wavering, heard):
    _, block = wavering
    np.testing.assert_allclose(heard.agreement.sum(axis=1), 1, rtol=1e-6)
    refinement = FileRefinement(_Sampled(block))
    order = np.random.default_rng(0).permutation(len(block.similarity))
    parts = [refinement.heard(block.rows(rows)) for rows in np.array_split(order, 7)]
    np.testing.assert_array_equal(np.concatenate([part.agreement for part in parts]), heard.agreement[order])
    np.testing.assert_array_equal(np.concatenate([part.posterior for part in parts]), heard.posterior[order])
    np.testing.assert_array_equal(refinement.posterior(block), heard.posterior)


def test_a_cell_without_a_place_stands_for_itself_and_one_without_similarities_for_nothing(wavering):
    _, block = wavering
    similarity, places = block.similarity.copy(), block.places.copy()
    similarity[0], places[1] = np.nan, np.nan
    changed = Block(similarity, places, CellsInFile())
    found = FileRefinement(_Sampled(changed)).heard(changed)
    assert not found.agreement[0].any()
    votes = found.posterior[1] / 2 + np.eye(4)[similarity[1].argmax()] / 2
    np.testing.assert_allclose(found.agreement[1], votes)


def test_the_name_alone_is_that_of_the_text_that_is_given():
    similarity, posterior = np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]])
    turned = Agreement.fit(similarity, posterior, np.negative)
    nowhere = np.empty(0, dtype=int), np.empty((0, 0), dtype=int)
    assert turned.around(similarity, posterior, *nowhere).tolist() == [[0.75, 0.25]]


def test_a_name_is_kept_from_a_difference_on_and_the_rest_stays():
    similarity = np.array([[KEPT_ABOVE + 1, 0.0, -3.0], [KEPT_ABOVE - 1, 0.0, -3.0], [np.nan] * 3])
    posterior = np.array([[0.1, 0.7, 0.2], [0.1, 0.7, 0.2], [0.0, 0.0, 0.0]])
    found = with_kept_names(similarity, posterior)
    assert found[0].argmax() == 0
    np.testing.assert_allclose([found[0, 2], found[0].sum()], [0.2, 1.0])
    np.testing.assert_array_equal(found[1:], posterior[1:])


def test_the_cells_of_a_label_that_vanished_keep_its_name_where_the_text_is_sure():
    """As the platelets of PBMC 3k do with B cells left out of the candidates."""
    file = simulate((150, 100, 14), noise=1.0)
    rare, similarity = np.flatnonzero(file.truth == 2), file.similarity.copy()
    similarity[rare, 2] = 24.0
    similarity[rare[:2]] = [9.0, 5.0, 10.0]
    block = _block(file.counts, similarity)

    def without_the_rare(*given, **options):
        return replace(LabelMixture.fit(*given, **options), present=np.array([True, True, False]))

    refinement = FileRefinement(_Sampled(block), fit=without_the_rare)
    named = refinement.posterior(block).argmax(axis=1)
    assert (named[rare[2:]] == 2).all()
    assert (named[rare[:2]] != 2).all()
    assert (named[file.truth != 2] == file.truth[file.truth != 2]).mean() > 0.95
    assert not refinement.settings(["first", "second", "rare"])["labels_without_evidence"]
