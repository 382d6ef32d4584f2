"""Known cells teach what the text does not know, and clusters get one name or say that they are mixed."""

import numpy as np
import pytest
from scipy.special import softmax
from simulated_files import simulate

from langcell.inference.refinement.clusters import name_clusters
from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.known_cells import DEFAULT_WEIGHTS, KnownCells
from langcell.inference.refinement.mixture import LabelMixture

LABELS = ["B cell", "T cell", "NK cell"]


def some_known(truth, per_type, seed=0):
    rng = np.random.default_rng(seed)
    known = np.full(len(truth), -1)
    for label in np.unique(truth):
        chosen = rng.choice(np.flatnonzero(truth == label), per_type, replace=False)
        known[chosen] = label
    return known


def accuracy_with(file, known):
    components = CellComponents.fit([file.counts]).transform(file.counts)
    taught = KnownCells.fit(file.similarity, components, known)
    similarity = taught.joined(file.similarity, components)
    mixture = LabelMixture.fit(similarity, components, known=known, settings=taught.settings)
    named = mixture.posterior(similarity, components, known).argmax(axis=1)
    assert (named[known >= 0] == known[known >= 0]).all()
    return np.mean(named[known < 0] == file.truth[known < 0])


@pytest.mark.parametrize("per_type", [1, 5, 20])
def test_known_cells_help_where_the_text_is_poor(per_type):
    file = simulate((100, 80, 60), noise=4.0)
    assert accuracy_with(file, some_known(file.truth, per_type)) > file.alone() + 0.1


def test_types_that_the_text_confuses_follow_the_known_cells():
    file = simulate((100, 80, 60))
    swapped = file.similarity[:, [1, 0, 2]]  # the text calls each of two types by the name of the other
    components = CellComponents.fit([file.counts]).transform(file.counts)
    known = some_known(file.truth, 20)
    taught = KnownCells.fit(swapped, components, known)
    assert taught.text_weight < 1
    similarity = taught.joined(swapped, components)
    named = LabelMixture.fit(similarity, components, known=known, settings=taught.settings).posterior(
        similarity, components, known
    )
    assert np.mean(named.argmax(axis=1) == file.truth) > 0.6 > np.mean(swapped.argmax(axis=1) == file.truth)


def test_few_known_cells_have_the_default_weights():
    file = simulate((60, 50))
    components = CellComponents.fit([file.counts]).transform(file.counts)
    taught = KnownCells.fit(file.similarity, components, some_known(file.truth, 2))
    assert (taught.text_weight, taught.label_weight) == DEFAULT_WEIGHTS


def test_known_cells_of_one_label_alone_leave_the_rest_to_the_text():
    file = simulate((60, 50))
    components = CellComponents.fit([file.counts]).transform(file.counts)
    known = np.where((file.truth == 0) & (np.arange(110) < 20), 0, -1)
    taught = KnownCells.fit(file.similarity, components, known)
    assert taught.label_weight == 0
    assert (taught.joined(file.similarity, components).argmax(axis=1) == file.similarity.argmax(axis=1)).all()


def test_no_known_cell_is_refused():
    file = simulate((60, 50))
    components = CellComponents.fit([file.counts]).transform(file.counts)
    with pytest.raises(ValueError, match="No cell with a known label"):
        KnownCells.fit(file.similarity, components, np.full(110, -1))


def posteriors(columns, confidence=0.9):
    found = np.full((len(columns), 3), (1 - confidence) / 2)
    found[np.arange(len(columns)), columns] = confidence
    return found


def test_a_cluster_has_the_name_of_its_cells_and_its_runner_up():
    named = name_clusters(posteriors([0] * 9 + [1]), ["7"] * 10, LABELS)
    row = named.table.iloc[0]
    assert (row["label"], row["runner_up"], row["cells"]) == ("B cell", "T cell", 10)
    assert row["share"] == pytest.approx(0.9)
    assert not row["mixed"]
    assert named.column.tolist() == [0] * 10


def test_a_cluster_of_two_types_is_mixed():
    assert name_clusters(posteriors([0] * 6 + [2] * 4), ["7"] * 10, LABELS).table["mixed"].tolist() == [True]


def test_a_cluster_of_doublets_is_mixed():
    between = np.tile([0.52, 0.46, 0.02], (10, 1))
    assert name_clusters(between, ["7"] * 10, LABELS).table["mixed"].tolist() == [True]


def test_a_cluster_that_fits_no_label_is_unknown():
    novelty = np.repeat([0.99, 0.1], 5)
    table = name_clusters(posteriors([0] * 10), np.repeat(["new", "old"], 5), LABELS, novelty).table
    assert dict(zip(table["cluster"], table["unknown"], strict=True)) == {"new": True, "old": False}


def test_a_cluster_without_probabilities_has_no_name():
    named = name_clusters(np.zeros((2, 3)), [1, 1], LABELS)
    assert named.table["label"].tolist() == [None]
    assert named.column.tolist() == [-1, -1]


def test_clusters_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        name_clusters(posteriors([0, 1]), ["a"], LABELS)
    with pytest.raises(ValueError, match="novelty has 1"):
        name_clusters(posteriors([0, 1]), ["a", "a"], LABELS, np.ones(1))


def test_labels_without_a_known_cell_keep_what_the_text_gives_them():
    file = simulate((100, 80, 60))
    components = CellComponents.fit([file.counts]).transform(file.counts)
    known = np.where(np.isin(file.truth, [0, 1]), some_known(file.truth, 10), -1)
    joined = KnownCells.fit(file.similarity, components, known).joined(file.similarity, components)
    temperature = KnownCells.fit(file.similarity, components, known).settings.temperature
    expected = softmax(file.similarity / temperature, axis=1)[:, 2]
    np.testing.assert_allclose(softmax(joined / temperature, axis=1)[:, 2], expected, atol=1e-9)
