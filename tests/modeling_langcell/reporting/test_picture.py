import numpy as np
import pandas as pd
import pytest
from tiny_named import named_cells

from langcell.reporting.contents import read_named
from langcell.reporting.picture import MOST_BARS, draw_picture, picture
from langcell.reporting.styles import styles_of


@pytest.fixture(scope="module")
def named():
    return read_named(named_cells(80))


def test_the_names_stand_at_the_bars_and_nothing_lies_over_the_cells(named):
    left, right = picture(named).axes
    assert left.get_legend() is None
    assert sum(len(points.get_offsets()) for points in left.collections) == named.n_cells
    labels = list(styles_of(list(named.drawn.spans)))
    assert [text.get_text() for text in right.get_yticklabels()] == labels
    assert sum(bar.get_width() for bar in right.patches) == named.n_cells
    assert left.get_position().x1 <= right.get_position().x0


def test_cells_and_bars_of_a_label_have_one_colour(named):
    left, right = picture(named).axes
    colours = {tuple(points.get_facecolor()[0]) for points in left.collections}
    assert colours == {tuple(bar.get_facecolor()) for bar in right.patches}


def test_rare_types_share_the_last_bar():
    labels = ["B cell", "T cell", *(f"type {i:02}" for i in range(60))]
    _, right = picture(read_named(named_cells(600, labels, seed=1))).axes
    assert len(right.patches) <= MOST_BARS + 1
    assert sum(bar.get_width() for bar in right.patches) == 600


def test_genes_stand_in_the_rows_of_the_bars_and_repeat_no_name(named):
    labels = sorted(named.drawn.spans)[:3]
    genes = {label: [f"GENE{i}"] for i, label in enumerate(labels)}
    flat = [gene for of in genes.values() for gene in of]
    mean = pd.DataFrame(np.eye(3), index=labels, columns=flat)
    _, bars, dots, *_ = picture(named, dots=(genes, mean, mean)).axes
    rows = [text.get_text() for text in bars.get_yticklabels()]
    order = [gene for label in rows for gene in genes.get(label, ())]
    assert [text.get_text() for text in dots.get_xticklabels()] == order
    assert dots.get_ylim() == bars.get_ylim()
    assert not dots.get_yticklabels()
    points = dots.collections[0]
    drawn = {
        (rows[int(y)], order[int(x)])
        for (x, y), value in zip(points.get_offsets(), points.get_array(), strict=True)
        if value
    }
    assert drawn == {(label, gene) for label, of in genes.items() for gene in of}


def test_the_suffix_says_what_is_written(named, tmp_path):
    draw_picture(named, tmp_path / "cells.png", tmp_path / "cells.svg")
    assert (tmp_path / "cells.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "cells.svg").read_text(encoding="utf-8")
    assert np.isfinite(named.drawn.places).all()
