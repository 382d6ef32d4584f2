import sys

import numpy as np
import pytest

from langcell.reporting import cell_figures
from langcell.reporting.cell_figures import group_map, label_map, value_map
from langcell.reporting.drawn_cells import DrawnCells


def drawn(labels, **columns):
    n_cells = len(labels)
    return DrawnCells.grouped(
        [f"cell{i}" for i in range(n_cells)],
        np.arange(2 * n_cells).reshape(-1, 2),
        labels,
        np.linspace(0, 1, n_cells),
        np.array([[label, "<b>", ""] for label in labels], dtype=object),
        np.tile([0.5, 0.25, np.nan], (n_cells, 1)),
        **columns,
    )


def test_each_cell_is_drawn_once_with_its_own_text():
    cells = drawn(["b", "a", "c", "a", "unassigned", "a"])
    groups = np.array(["x", "y", "x", "y", "y", "x"], dtype=object)
    for figure in (label_map(cells), group_map(cells, groups), value_map(cells, cells.confidence, title="confidence")):
        text_at = {x: text for trace in figure.data for x, text in zip(trace.x, trace.text, strict=True)}
        assert text_at == dict(zip(cells.places[:, 0], cells.hover_texts(), strict=True))


def test_a_page_that_sets_the_texts_knows_where_each_cell_stands():
    cells = drawn(["b", "a", "c", "a"])
    groups = np.array(["x", "y", "x", "y"], dtype=object)
    for figure in (label_map(cells, hover=False), group_map(cells, groups, hover=False)):
        for trace in figure.data:
            assert trace.text is None
            at = trace.meta.get("at") or range(trace.meta["from"], trace.meta["to"])
            np.testing.assert_array_equal(trace.x, cells.places[list(at), 0])


def test_more_labels_than_colours_stay_distinguishable():
    labels = [f"label {i:02}" for i in range(45) for _ in range(46 - i)]
    figure = label_map(drawn(labels))
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 45
    assert all(trace.showlegend for trace in figure.data)


def test_grey_lies_below_the_colours_and_last_in_the_legend():
    figure = label_map(drawn(["unassigned", "unassigned", "B cell"]))
    assert [trace.name for trace in figure.data] == ["unassigned", "B cell"]
    assert figure.data[0].legendrank > figure.data[1].legendrank


def test_high_values_lie_above_low_ones_and_have_their_line():
    cells = drawn(["a"] * 3)
    (trace,) = value_map(cells, np.array([0.5, 0.9, 0.1]), title="fit", extra=["fit 5", "fit 9", "fit 1"]).data
    assert list(trace.marker.color) == [0.1, 0.5, 0.9]
    assert trace.text[2].endswith("<br>fit 9")


def test_many_points_use_webgl(monkeypatch):
    assert {trace.type for trace in label_map(drawn(["a", "b"])).data} == {"scatter"}
    monkeypatch.setattr(cell_figures, "MOST_SVG_POINTS", 1)
    assert {trace.type for trace in label_map(drawn(["a", "b"])).data} == {"scattergl"}


def test_without_plotly_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ValueError, match=r'pip install "langcell\[app\]"'):
        label_map(drawn(["a"]))
