"""In a file of few types names change between labels that lie apart, and the file is no worse than cells alone."""

import numpy as np
import pytest
from simulated_files import SimulatedFile, continuum, doublets, one_type_of_two_ends, simulate

from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.file_refinement import FileRefinement
from langcell.inference.refinement.mixture import LabelMixture
from langcell.inference.refinement.placing import Block, CellsInFile
from langcell.inference.refinement.separation import FEW_TYPES_BELOW, Separation

NEVER_WORSE_THAN = 0.01


class _Sampled:
    def __init__(self, block: Block) -> None:
        self.sample = block


def _block(file: SimulatedFile) -> Block:
    places = CellComponents.fit([file.counts]).transform(file.counts)
    return Block(file.similarity, places, CellsInFile(known=np.full(len(file.truth), -1)))


def _accuracy(file: SimulatedFile) -> tuple[float, float]:
    """Of the mixture by itself and of what `annotate` makes of it."""
    block = _block(file)
    mixture = LabelMixture.fit(block.similarity, block.places)
    by_mixture = mixture.posterior(block.similarity, block.places).argmax(axis=1)
    named = FileRefinement(_Sampled(block)).posterior(block).argmax(axis=1)
    return float(np.mean(by_mixture == file.truth)), float(np.mean(named == file.truth))


@pytest.mark.parametrize("seed", [0, 5, 6, 7])
def test_one_type_whose_text_wavers_along_a_gradient_keeps_what_cells_say_alone(seed):
    file = one_type_of_two_ends(300, seed=seed)
    by_mixture, named = _accuracy(file)
    assert by_mixture < file.alone() - 0.02  # the second name grows at one end
    assert named >= file.alone() - NEVER_WORSE_THAN


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(simulate((150,), n_labels=6), id="one_type"),
        pytest.param(simulate((150,), n_labels=40), id="one_type_of_forty"),
        pytest.param(simulate((100, 50), n_labels=10), id="two_types_of_ten"),
        pytest.param(simulate((80, 70), n_labels=30, noise=2.0), id="two_types_of_thirty"),
        pytest.param(doublets(simulate((100, 80, 60)), 0.15), id="doublets"),
        pytest.param(continuum(300), id="continuum"),
    ],
)
def test_names_are_never_worse_than_alone(file):
    assert _accuracy(file)[1] >= file.alone() - NEVER_WORSE_THAN


def test_two_types_that_lie_apart_still_gain_from_each_other():
    file = simulate((120, 80), noise=2.5)
    assert _accuracy(file)[1] > file.alone() + 0.1


def test_a_file_of_many_types_asks_for_no_separation():
    block = _block(simulate((60, 60, 60, 60, 60)))
    mixture = LabelMixture.fit(block.similarity, block.places)
    assert mixture.diversity > FEW_TYPES_BELOW
    posterior = mixture.posterior(block.similarity, block.places)
    assert Separation.fit(block.similarity, block.places, mixture, posterior) is None


def test_what_two_labels_have_together_is_shared_as_the_text_says_and_blocks_change_nothing():
    separation = Separation(np.array([[True, False, True], [False, True, True], [True, True, True]]))
    similarity = np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [np.nan] * 3, [0.0, 2.0, 1.0]])
    posterior = np.array([[0.3, 0.6, 0.1], [0.3, 0.1, 0.6], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    heard = separation.heard(similarity, posterior)
    assert heard[0].tolist() == pytest.approx([0.9 / (1 + np.exp(-1)), 0.9 / (1 + np.exp(1)), 0.1])
    np.testing.assert_array_equal(heard[1:], posterior[1:])  # apart from the label that the cell has alone, or unheard
    parts = [separation.heard(similarity[[row]], posterior[[row]]) for row in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts), heard)
