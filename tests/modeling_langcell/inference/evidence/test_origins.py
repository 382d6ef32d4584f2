import numpy as np
import pytest

from langcell.inference.evidence.groups import CellGroups
from langcell.inference.evidence.origins import origins_of

CLUSTERS = CellGroups("leiden", np.array([0] * 6 + [1] * 3, dtype=np.int32), ["0", "1"])
LABELS = CellGroups("label", np.array([2, 2, 2, 0, 1, 3, -1, -1, 2], dtype=np.int32), ["A", "B", "C", "D"])


def table(**changed):
    """The table of clusters, as uns["langcell"] holds it."""
    columns = {
        "cluster": ["0", "1"], "label": ["C", "C"], "probability": [0.61, 0.9], "runner_up": ["A", ""],
        "runner_up_share": [0.17, 0.0], "novelty": [0.1, 0.93], "mixed": [True, False], "unknown": [False, True],
    }  # fmt: skip
    return {"cluster_column": "leiden", "clusters": {name: np.array(each) for name, each in columns.items()}} | changed


def test_cells_are_counted_by_name_and_the_rest_together():
    first, second = origins_of(CLUSTERS, LABELS, {})
    assert first == ("Its 6 cells are called: 3 C, 1 A, 1 B, 1 of 1 other name.",)
    assert second == ("Its 3 cells are called: 1 C, 2 without a label.",)


def test_what_the_name_goes_by_is_said():
    (_, first), (_, second) = origins_of(CLUSTERS, LABELS, table())
    assert first == "C has the greatest mean probability, 0.61; the runner-up is A with 17% of the cells; it is mixed."
    assert second == "More than half of them fit none of the labels (novelty 0.93); C is the nearest."


@pytest.mark.parametrize("settings", [{}, table(cluster_column="louvain")])
def test_clusters_that_were_not_named_are_counted_alone(settings):
    assert [len(each) for each in origins_of(CLUSTERS, LABELS, settings)] == [1, 1]


def test_without_labels_there_is_nothing_to_count():
    assert origins_of(CLUSTERS, None, {}) == [(), ()]
