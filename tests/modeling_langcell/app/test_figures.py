import numpy as np
import pytest

from langcell.app.figures import (
    BY_ALONE,
    BY_CLUSTER,
    BY_CONFIDENCE,
    BY_LABEL,
    BY_NOVELTY,
    BY_SENTENCE,
    cell_map,
    colourings,
)
from langcell.app.messages import FoundCells, NamedFile
from langcell.reporting.drawn_cells import DrawnCells
from langcell.reporting.styles import PALETTE

LABELS = ["T cell", "B cell", "B cell", "unassigned"]


def drawn(**columns) -> DrawnCells:
    n_cells = len(LABELS)
    return DrawnCells.grouped(
        [f"cell{i}" for i in range(n_cells)],
        np.arange(2 * n_cells).reshape(-1, 2),
        LABELS,
        np.linspace(0.9, 0.1, n_cells),
        np.array([[label, "", ""] for label in LABELS], dtype=object),
        np.tile([0.5, np.nan, np.nan], (n_cells, 1)),
        **columns,
    )


@pytest.fixture
def whole():
    return drawn(
        alone=np.array(["B cell"] * 4, dtype=object),
        novelty=np.array([0.1, 0.2, 0.3, 0.9]),
        clusters=np.array(["0", "1", "1", "2"], dtype=object),
    )


@pytest.fixture
def found():
    return FoundCells("a sentence", np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32), [])


def test_only_what_is_known_can_be_shown(whole, found):
    assert colourings(drawn(), None) == [BY_LABEL, BY_CONFIDENCE]
    assert colourings(whole, found) == [BY_LABEL, BY_ALONE, BY_CONFIDENCE, BY_NOVELTY, BY_CLUSTER, BY_SENTENCE]


def test_each_layer_has_its_own_names_or_numbers(whole, found):
    names = {colour: [trace.name for trace in cell_map(whole, found, colour).data] for colour in (BY_ALONE, BY_CLUSTER)}
    assert names == {BY_ALONE: ["B cell"], BY_CLUSTER: ["1", "0", "2"]}
    (novelty,) = cell_map(whole, found, BY_NOVELTY).data
    assert sorted(novelty.marker.color) == sorted(whole.novelty)
    assert (novelty.marker.cmin, novelty.marker.cmax) == (0, 1)  # comparable between files
    (similarity,) = cell_map(whole, found, BY_SENTENCE).data
    assert similarity.text[-1].endswith("<br>similarity 0.400")


def test_the_map_looks_as_the_table_says_whatever_cells_are_drawn(whole):
    named = NamedFile(
        "x", 9, "", [("T cell", 5, 0.5, 0.9), ("B cell", 2, 0.2, 0.9), ("unassigned", 2, 0.2, 0.0)], whole
    )
    for colour in (BY_LABEL, BY_ALONE):
        colours = {trace.name: trace.marker.color for trace in cell_map(whole, None, colour, named.styles).data}
        assert colours["B cell"] == named.styles["B cell"].colour
    assert named.styles["T cell"].colour == PALETTE[0]  # the most frequent of the file, not of the map


def test_what_is_not_there_is_shown_by_label():
    for colour in (BY_ALONE, BY_NOVELTY, BY_CLUSTER, BY_SENTENCE):
        assert {trace.name for trace in cell_map(drawn(), None, colour).data} == set(LABELS)


@pytest.mark.parametrize("colour", [BY_LABEL, BY_CONFIDENCE])
def test_the_map_stands_on_light_and_dark_and_its_legend_below(whole, colour):
    layout = cell_map(whole, None, colour).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.legend.orientation == "h"
    assert layout.legend.y < 0
