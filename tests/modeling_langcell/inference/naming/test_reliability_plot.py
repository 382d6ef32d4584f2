import numpy as np

from langcell.inference.naming.reliability_plot import draw_reliability


def panels(figure):
    """The two panels, once it is certain that the legend covers neither and that they have none of their own."""
    (legend,) = figure.legends
    assert not any(axis.get_legend() for axis in figure.axes)
    figure.draw_without_rendering()
    for axis in figure.axes:
        assert not legend.get_window_extent().overlaps(axis.get_window_extent())
    return figure.axes


def thick_lines(axis):
    return [line for line in axis.lines if line.get_linewidth() == 2]


def test_a_series_has_one_colour_in_both_panels_and_the_legend_covers_neither():
    rng = np.random.default_rng(0)
    confidence = rng.random((2, 2000))
    right = rng.random((2, 2000)) < confidence
    runs = {
        "calibrated": list(zip(confidence, right, strict=True)),
        "raw": list(zip(confidence / 4, right, strict=True)),
    }
    figure = draw_reliability(runs, threshold=0.5, title="t")
    thick = [thick_lines(axis) for axis in panels(figure)]
    assert [line.get_color() for line in thick[0]] == [line.get_color() for line in thick[1]] == ["C0", "C1"]
    # The lines of the repeats have the colour of their mean.
    assert [sum(line.get_color() == "C1" for line in axis.lines) for axis in figure.axes] == [3, 3]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["calibrated", "raw", "threshold 0.500, first split"]
    # Of a calibrated confidence as many are right as it says.
    x, y = thick[1][0].get_data()
    np.testing.assert_allclose(x, y, atol=0.15)


def test_one_repeat_is_the_curve_itself():
    confidence, right = np.array([0.9, 0.5, 0.7, 0.4]), np.array([True, False, True, True])
    figure = draw_reliability({"calibrated": [(confidence, right)]}, threshold=0.5, title="t")
    risks, shares = panels(figure)
    (curve,) = thick_lines(risks)
    assert curve.get_xdata().tolist() == [0.25, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(curve.get_ydata(), [0, 0, 1 / 3, 1 / 4])
    assert len(thick_lines(shares)) == 1
    assert [line.get_color() for line in shares.lines].count("C0") == 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["calibrated", "threshold 0.500"]
