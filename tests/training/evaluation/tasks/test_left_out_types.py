from types import SimpleNamespace

import numpy as np
import pytest

from langcell.processing.labels.resolve import Label
from langcell.training.evaluation.tasks.left_out_types import left_out_aurocs, left_out_section
from langcell.training.labelled.labelled_cells import LabelledCells

LABELS = [Label(name, name) for name in ("B cell", "T cell", "monocyte", "hepatocyte")]


def scores(*, reference_cells=5, kin=0.0):
    """Ninety cells of three types, similar to their own label alone; `kin` is how similar T cells are to B cells."""
    truth, rng = np.repeat([0, 1, 2], 30), np.random.default_rng(0)
    similarity = 12.0 * np.eye(4)[truth] + rng.standard_normal((90, 4))
    similarity[truth == 1, 0] += kin
    places = 5.0 * np.eye(3)[truth] + rng.standard_normal((90, 3))
    scored = SimpleNamespace(
        similarity=similarity,
        known=np.ones(90, dtype=bool),
        places=places,
        reference_cells=reference_cells,
        with_types=None,
        types=(),
    )
    return scored, LabelledCells(LABELS, truth)


def test_cells_of_a_type_that_is_left_out_are_told_from_the_others():
    found = left_out_aurocs(*scores())
    assert list(found) == ["B cell", "T cell", "monocyte"]  # no cell is a hepatocyte
    assert min(found.values()) > 0.99


def test_a_type_with_a_close_relative_is_not_told():
    assert left_out_aurocs(*scores(kin=12.0))["T cell"] < 0.9


def test_similarities_that_cannot_be_compared_and_two_labels_have_no_auroc():
    assert left_out_aurocs(*scores(reference_cells=0)) == {}
    scored, labelled = scores()
    scored.similarity = scored.similarity[:, :2]
    assert left_out_aurocs(scored, LabelledCells(LABELS[:2], np.minimum(labelled.truth, 1))) == {}


def test_cells_without_a_label_are_not_judged():
    scored, labelled = scores()
    fewer = LabelledCells(LABELS, np.where(np.arange(90) % 2, labelled.truth, -1))
    scored.known[::2] = False  # the most novel of all
    assert left_out_aurocs(scored, fewer)["B cell"] == pytest.approx(1.0, abs=0.01)


def test_the_section_has_a_row_for_each_type():
    section = left_out_section({"B cell": 0.98765}, {"B cell": 1234})
    assert section.table.rows == [("B cell", "1,234", "0.988")]
