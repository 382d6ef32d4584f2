import numpy as np
import plotly.graph_objects as go
import pytest

from langcell.app.figures import map_by_label, map_by_value
from langcell.app.messages import CellMap


def cell_map(labels: list[str]) -> CellMap:
    n = len(labels)
    places = np.stack([np.arange(n), -np.arange(n)], axis=1).astype(np.float32)
    confidence = np.linspace(0.9, 0.1, n).astype(np.float32)
    return CellMap(np.arange(n), places, [f"cell<{i}>" for i in range(n)], labels, confidence)


def test_a_colour_a_label_and_the_most_frequent_first():
    figure = map_by_label(cell_map(["T cell", "B cell", "B cell", "unassigned"]))
    assert [trace.name for trace in figure.data] == ["B cell", "T cell", "unassigned"]
    assert len({trace.marker.color for trace in figure.data}) == 3
    assert list(figure.data[0].x) == [1, 2]
    assert list(figure.data[0].y) == [-1, -2]


def test_what_the_pointer_shows_is_text_and_no_markup_of_the_file():
    (trace,) = map_by_label(cell_map(["<b>odd</b>", "<b>odd</b>"])).data
    assert trace.text[0] == "<b>&lt;b&gt;odd&lt;/b&gt;</b><br>cell&lt;0&gt;<br>confidence 0.900"
    assert trace.name == "&lt;b&gt;odd&lt;/b&gt;"


def test_high_values_lie_above_low_ones():
    (trace,) = map_by_value(cell_map(["a"] * 3), np.array([0.5, 0.9, 0.1]), title="similarity").data
    assert list(trace.marker.color) == [0.1, 0.5, 0.9]
    assert list(trace.x) == [2, 0, 1]
    assert trace.text[2].endswith("<br>similarity 0.900")


@pytest.mark.parametrize(("n_cells", "kind"), [(100, go.Scatter), (4000, go.Scattergl)])
def test_many_cells_are_drawn_by_the_graphics_card(n_cells, kind):
    assert {type(trace) for trace in map_by_label(cell_map(["a"] * n_cells)).data} == {kind}
