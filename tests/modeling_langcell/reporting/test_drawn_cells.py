import numpy as np

from langcell.reporting.drawn_cells import DrawnCells

LABELS = ["b", "a", "c", "a", "b", "a"]


def drawn(**columns):
    return DrawnCells.grouped(
        [f"cell{i}" for i in range(6)],
        np.arange(12).reshape(-1, 2),
        LABELS,
        np.linspace(0, 1, 6),
        np.array([[label, "<b>", ""] for label in LABELS], dtype=object),
        np.tile([0.5, 0.25, np.nan], (6, 1)),
        **columns,
    )


def test_cells_of_a_label_stand_together_the_frequent_first():
    cells = drawn(novelty=np.arange(6) / 10)
    assert list(cells.spans) == ["a", "b", "c"]
    assert cells.names == ["cell1", "cell3", "cell5", "cell0", "cell4", "cell2"]
    assert cells.rows.tolist() == [1, 3, 5, 0, 4, 2]
    assert cells.spans["b"] == slice(3, 5)
    np.testing.assert_array_equal(cells.places[0], [2, 3])
    np.testing.assert_allclose(cells.novelty, [0.1, 0.3, 0.5, 0.0, 0.4, 0.2])


def test_the_text_beside_the_pointer_has_the_three_best_labels_and_no_markup_of_the_file():
    assert drawn().hover_texts()[0] == (
        "<b>a</b><br>confidence 0.20<br>cell1<br>a  <b>0.500</b><br>&lt;b&gt;  <b>0.250</b>"
    )


def test_the_text_says_what_the_file_adds():
    cells = drawn(
        alone=np.array(["b", "<x>", "c", "a", "b", "a"], dtype=object),
        novelty=np.full(6, 0.25),
        clusters=np.array(list("012345"), dtype=object),
    )
    first = cells.hover_texts()[0]
    assert "confidence 0.20 · novelty 0.25 · cluster 1" in first
    assert "by itself: &lt;x&gt;" in first
    assert "by itself" not in cells.hover_texts()[1]  # it gets the same label alone
