import numpy as np
import pytest

from langcell.training.evaluation.metrics.metrics import score_predictions
from langcell.training.evaluation.reports.plots import (
    draw_bars,
    draw_confusion,
    draw_curves,
    draw_embeddings,
    draw_per_type,
)

NAMES = ["B cell", "T cell", "empty"]


@pytest.fixture
def report():
    truth = np.array([0, 0, 0, 1])
    methods = {
        "LangCell": score_predictions(truth, np.array([0, 0, 3, 1]), NAMES, seed=0),
        "nearest profile": score_predictions(truth, np.array([0, 1, 1, 1]), NAMES, seed=0),
    }
    model, data = {"id": "org/tiny"}, {"file": "pbmc.h5ad"}
    return {"model": model, "data": data, "labels": [{"name": name} for name in NAMES], "methods": methods}


def test_confusion_has_a_column_for_unassigned_cells_only_where_there_are_some(report):
    (axis,) = draw_confusion(report).axes
    assert [text.get_text() for text in axis.get_xticklabels()] == [*NAMES, "unassigned"]
    assert [text.get_text() for text in axis.get_yticklabels()] == NAMES
    report["methods"] = {"other": report["methods"]["nearest profile"]}
    (axis,) = draw_confusion(report).axes
    assert [text.get_text() for text in axis.get_xticklabels()] == NAMES


def test_types_are_drawn_best_first_beside_the_baseline(report):
    (axis,) = draw_per_type(report).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["T cell (1)", "B cell (3)"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(report["methods"])


def test_a_curve_has_a_point_and_a_spread_for_each_number():
    points = {"1": {"f1": 0.2, "f1_sd": 0.1}, "5": {"f1": 0.6, "f1_sd": 0.05}}
    (axis,) = draw_curves({"a": points}, "f1", xlabel="cells", ylabel="F1", title="t").axes
    (line,) = [line for line in axis.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"]
    assert line.get_xdata().tolist() == [1, 5]
    assert line.get_ydata().tolist() == [0.2, 0.6]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "5"]


def test_bars_have_one_group_a_measure_and_leave_out_what_a_method_lacks():
    methods = {"a": {"x": 0.5, "x_sd": 0.1, "y": 0.2}, "b": {"x": None}}
    (axis,) = draw_bars(methods, {"x": "X", "y": "long name"}, title="t").axes
    assert [bar.get_height() for bar in axis.patches] == [0.5, 0.2, 0.0, 0.0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["X", "long\nname"]


def test_one_repeat_is_drawn_without_a_spread():
    (axis,) = draw_bars({"a": {"x": 0.5, "x_sd": None}}, {"x": "X"}, title="t").axes
    assert axis.patches[0].get_height() == 0.5
    points = {"1": {"f1": 0.2, "f1_sd": None}}
    draw_curves({"a": points}, "f1", xlabel="cells", ylabel="F1", title="t")


def test_texts_are_stars_in_the_colour_of_their_cells():
    cells, groups = np.array([[0, 0], [1, 1], [0, 1]]), ["B cell", "T cell", "B cell"]
    figure = draw_embeddings(cells, groups, np.array([[0.0, 0.5], [1, 0]]), ["B cell", "other"], title="t")
    (axis,) = figure.axes
    of_b, of_t, star, other = axis.collections
    assert star.get_facecolor().tolist() == of_b.get_facecolor().tolist() != of_t.get_facecolor().tolist()
    assert other.get_facecolor()[0, 0] == pytest.approx(211 / 255)
    assert {text.get_text() for text in axis.texts} == {"B cell", "other"}
