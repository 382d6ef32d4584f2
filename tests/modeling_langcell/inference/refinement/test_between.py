"""Clusters of doublets lie between two labels; clusters of one type, and steps of a continuum, do not."""

import numpy as np
import pytest

from langcell.inference.naming.cluster_names import named_clusters
from langcell.inference.refinement.between import ClusterPlaces

LABELS = ["B cell", "T cell", "monocyte"]
N_CELLS, N_COMPONENTS = 80, 12
CENTRES = 14.0 * np.eye(3, N_COMPONENTS)


def cells(centres: np.ndarray, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([centre + rng.normal(size=(N_CELLS, N_COMPONENTS)) for centre in centres])


def file_with(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, most probable labels and clusters of three types and a further cluster, which the text calls B cells."""
    places = cells(np.concatenate([CENTRES, centre[None]]))
    label = np.repeat([0, 1, 2, 0], N_CELLS)
    return places, label, np.repeat(["b", "t", "m", "odd"], N_CELLS)


def between(places: np.ndarray, label: np.ndarray, clusters: np.ndarray, rows: int = 1000) -> dict:
    blocks = [(places[start : start + rows], label[start : start + rows]) for start in range(0, len(label), rows)]
    return ClusterPlaces.of(blocks, clusters, 3).between()


@pytest.mark.parametrize("share", [0.35, 0.5, 0.65])
def test_a_cluster_of_doublets_lies_between_its_types(share):
    found = between(*file_with((1 - share) * CENTRES[0] + share * CENTRES[2]))
    assert list(found) == ["odd"]
    assert set(found["odd"]) == {0, 2}
    assert found["odd"][0] == (0 if share < 0.5 else found["odd"][0])


def test_more_cells_of_a_type_and_another_type_lie_between_none():
    assert between(*file_with(CENTRES[0] + 0.5)) == {}
    assert between(*file_with(14.0 * np.eye(N_COMPONENTS)[5])) == {}


def test_the_middle_of_a_continuum_is_no_doublet():
    places = cells(np.linspace(0, 3, 5)[:, None] * np.eye(1, N_COMPONENTS))
    label, clusters = np.repeat([0, 0, 0, 1, 1], N_CELLS), np.repeat(["1", "2", "3", "4", "5"], N_CELLS)
    assert between(places, label, clusters) == {}


def test_blocks_order_and_cells_without_a_place_change_nothing():
    places, label, clusters = file_with((CENTRES[0] + CENTRES[1]) / 2)
    expected = between(places, label, clusters)
    order = np.random.default_rng(1).permutation(len(label))
    assert between(places[order], label[order], clusters[order], rows=7) == expected
    lost = np.concatenate([places, np.full((2, N_COMPONENTS), np.nan), places[:1]])
    more = np.concatenate([label, [0, 1, -1]]), np.concatenate([clusters, ["odd", "b", "b"]])
    assert between(lost, *more) == expected
    assert ClusterPlaces.of([], clusters, 3) is None


def test_a_cluster_of_doublets_that_all_have_one_name_is_mixed():
    places, label, clusters = file_with((CENTRES[0] + CENTRES[2]) / 2)
    own = np.eye(3, dtype=np.float32)[label]
    table = named_clusters(own, [places], clusters, LABELS, [""] * 3).table.set_index("cluster")
    assert table["mixed"].to_dict() == {"b": False, "m": False, "odd": True, "t": False}
    assert (table.loc["odd", "label"], table.loc["odd", "runner_up"]) == ("B cell", "monocyte")
    unplaced = named_clusters(own, [None], clusters, LABELS, [""] * 3).table
    assert not unplaced["mixed"].any()
