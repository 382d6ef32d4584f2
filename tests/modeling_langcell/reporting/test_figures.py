import sys

import numpy as np
import pandas as pd
import pytest

from langcell.reporting import figures
from langcell.reporting.figures import (
    MOST_COLOURS,
    MOST_SAMPLES,
    DrawnCells,
    by_frequency,
    colours_of,
    composition,
    confidence_histogram,
    confidence_map,
    label_map,
    shortened,
)


def drawn(labels):
    n_cells = len(labels)
    return DrawnCells.grouped(
        [f"cell{i}" for i in range(n_cells)],
        np.arange(2 * n_cells).reshape(-1, 2),
        labels,
        np.linspace(0, 1, n_cells),
        np.array([[label, "<b>", ""] for label in labels], dtype=object),
        np.tile([0.5, 0.25, np.nan], (n_cells, 1)),
    )


def test_cells_of_a_label_stand_together_the_frequent_first():
    cells = drawn(["b", "a", "c", "a", "b", "a"])
    assert list(cells.spans) == ["a", "b", "c"]
    assert cells.names == ["cell1", "cell3", "cell5", "cell0", "cell4", "cell2"]
    assert cells.spans["b"] == slice(3, 5)
    np.testing.assert_array_equal(cells.places[0], [2, 3])
    assert cells.hover_texts()[0] == "<b>cell1</b><br>a  <b>0.500</b><br>&lt;b&gt;  <b>0.250</b>"


def test_each_cell_is_drawn_once_with_its_own_text():
    cells = drawn(["b", "a", "c", "a", "unassigned", "a"])
    for figure in (label_map(cells), confidence_map(cells)):
        texts = [text for trace in figure.data for text in trace.text]
        assert sorted(texts) == sorted(cells.hover_texts())
        for trace in figure.data:
            np.testing.assert_array_equal(trace.x, cells.places[trace.meta["from"] : trace.meta["to"], 0])
    assert label_map(cells, hover=False).data[0].text is None


def test_more_labels_than_colours_share_one_grey_entry_below_the_others():
    labels = [f"label {i:02}" for i in range(MOST_COLOURS + 5) for _ in range(30 - i)]
    figure = label_map(drawn(labels))
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert len(shown) == MOST_COLOURS + 1
    assert shown[0] == "other labels"  # drawn first, so that colours lie above
    assert figure.data[0].legendrank > figure.data[-1].legendrank
    colours = colours_of(by_frequency(labels))
    assert len(set(colours.values())) == MOST_COLOURS + 1


def test_many_points_use_webgl(monkeypatch):
    assert {trace.type for trace in label_map(drawn(["a", "b"])).data} == {"scatter"}
    monkeypatch.setattr(figures, "MOST_SVG_POINTS", 1)
    assert {trace.type for trace in label_map(drawn(["a", "b"])).data} == {"scattergl"}


def test_shares_of_a_sample_sum_to_one_and_large_samples_come_first():
    names = [*(f"label {i}" for i in range(MOST_COLOURS + 3)), "unassigned"]
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(rng.integers(1, 9, size=(MOST_SAMPLES + 7, len(names))), columns=names)
    counts.iloc[3] *= 10
    figure = composition(counts, colours_of(names))
    assert len(figure.data) == MOST_COLOURS + 2  # with "other labels" and "unassigned"
    np.testing.assert_allclose(sum(np.asarray(bar.x) for bar in figure.data), np.ones(MOST_SAMPLES))
    assert figure.data[0].y[0] == f"3 ({counts.iloc[3].sum():,})"


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_histogram_has_every_cell(threshold):
    confidence = np.r_[np.random.default_rng(0).uniform(0, 0.8, 500), 0.0, 1.0]
    figure = confidence_histogram(confidence, threshold=threshold)
    assert sum(figure.data[0].y) == len(confidence)
    said = [note.text for note in figure.layout.annotations]
    assert said == [f"median {np.median(confidence):.2f}", *(["unknown below 0.30"] if threshold else [])]


def test_long_names_keep_both_ends():
    assert shortened("naive thymus-derived CD4-positive, alpha-beta T cell") == "naive thymus-derived CD4…a-beta T cell"
    assert shortened("a <b>") == "a &lt;b&gt;"


def test_without_plotly_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ValueError, match=r'pip install "langcell\[app\]"'):
        label_map(drawn(["a"]))
