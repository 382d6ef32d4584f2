"""The mixture names cells at least as well as each cell alone, and does not depend on order or blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_files import SimulatedFile, continuum, doublets, simulate

from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.mixture import LabelMixture

NEVER_WORSE_THAN = 0.01


def refined(file: SimulatedFile) -> tuple[float, LabelMixture]:
    components = CellComponents.fit([file.counts]).transform(file.counts)
    mixture = LabelMixture.fit(file.similarity, components)
    return float(np.mean(mixture.posterior(file.similarity, components).argmax(axis=1) == file.truth)), mixture


def test_cells_of_one_type_get_names_from_each_other():
    file = simulate((120, 80, 50, 20), noise=2.0)
    accuracy, _ = refined(file)
    assert file.alone() < 0.85
    assert accuracy > file.alone() + 0.1


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(simulate((100, 60, 40), n_labels=12), id="absent_types"),
        pytest.param(simulate((150,), n_labels=6), id="one_type"),
        pytest.param(simulate((100, 50)), id="two_types"),
        pytest.param(simulate((100, 50), n_labels=10), id="two_types_of_ten"),
        pytest.param(simulate((300, 8), n_labels=4), id="a_rare_type"),
        pytest.param(doublets(simulate((100, 80, 60)), 0.15), id="doublets"),
        pytest.param(continuum(300), id="continuum"),
    ],
)
def test_names_are_never_worse_than_alone(file):
    accuracy, _ = refined(file)
    assert accuracy >= file.alone() - NEVER_WORSE_THAN


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), types=st.integers(1, 4), absent=st.integers(1, 8))
def test_names_are_never_worse_than_alone_whatever_is_there(seed, types, absent):
    sizes = tuple((np.random.default_rng(seed).integers(30, 120, types) + 100 // types).tolist())
    file = simulate(sizes, n_labels=types + absent, seed=seed)
    accuracy, _ = refined(file)
    assert accuracy >= file.alone() - NEVER_WORSE_THAN


def test_labels_without_cells_vanish_and_those_with_cells_stay():
    _, mixture = refined(simulate((100, 60, 40), n_labels=12))
    assert mixture.present[:3].all()
    shares = np.where(mixture.present, np.exp(mixture.log_shares), 0.0)
    assert shares[3:].sum() < 0.01


def test_diversity_tells_one_type_from_many():
    assert refined(simulate((150,), n_labels=4))[1].diversity < 0.3
    assert refined(simulate((50, 50, 50, 50)))[1].diversity > 0.5


def test_posteriors_do_not_depend_on_the_block():
    file = simulate((60, 40, 30))
    components = CellComponents.fit([file.counts]).transform(file.counts)
    mixture = LabelMixture.fit(file.similarity, components)
    whole = mixture.posterior(file.similarity, components)
    for size in (1, 7, 64):
        parts = [
            mixture.posterior(file.similarity[start : start + size], components[start : start + size])
            for start in range(0, len(whole), size)
        ]
        assert (np.vstack(parts) == whole).all()
    assert np.allclose(whole.sum(axis=1), 1)


def test_names_do_not_depend_on_the_order_of_cells_or_labels():
    file = simulate((60, 40, 30), n_labels=6)
    components = CellComponents.fit([file.counts]).transform(file.counts)
    named = LabelMixture.fit(file.similarity, components).posterior(file.similarity, components).argmax(axis=1)
    cells, labels = np.random.default_rng(3).permutation(len(named)), np.array([3, 5, 0, 1, 4, 2])
    mixed = file.similarity[cells][:, labels]
    again = LabelMixture.fit(mixed, components[cells]).posterior(mixed, components[cells])
    assert (labels[again.argmax(axis=1)] == named[cells]).all()


def test_names_do_not_depend_on_the_scale_of_components():
    file = simulate((60, 40, 30))
    components = CellComponents.fit([file.counts]).transform(file.counts)
    plain = LabelMixture.fit(file.similarity, components).posterior(file.similarity, components)
    scaled = LabelMixture.fit(file.similarity, 1e3 * components).posterior(file.similarity, 1e3 * components)
    assert (plain.argmax(axis=1) == scaled.argmax(axis=1)).all()


def test_known_cells_keep_their_label_and_keep_it_present():
    file = simulate((60, 40), n_labels=4)
    components = CellComponents.fit([file.counts]).transform(file.counts)
    known = np.full(100, -1)
    known[:3] = 3
    mixture = LabelMixture.fit(file.similarity, components, known=known)
    assert mixture.present[3]
    assert (mixture.posterior(file.similarity, components, known)[:3] == [0, 0, 0, 1]).all()


def test_cells_without_values_have_what_is_left_of_them():
    file = simulate((60, 40))
    components = CellComponents.fit([file.counts]).transform(file.counts)
    similarity = file.similarity.copy()
    similarity[0], components[1] = np.nan, np.nan
    mixture = LabelMixture.fit(similarity, components)
    found = mixture.posterior(similarity, components)
    assert (found[0] == 0).all()
    assert found[1].argmax() == similarity[1].argmax()
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("similarity", "components", "said"),
    [
        pytest.param(np.ones((3, 2)), np.ones((2, 2)), "do not fit", id="rows"),
        pytest.param(np.ones((3, 1)), np.ones((3, 2)), "two labels or more", id="one_label"),
        pytest.param(np.full((3, 2), np.nan), np.ones((3, 2)), "at least 2", id="no_cells"),
    ],
)
def test_what_cannot_be_refined_is_refused(similarity, components, said):
    with pytest.raises(ValueError, match=said):
        LabelMixture.fit(similarity, components)
