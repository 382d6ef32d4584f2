import numpy as np

from langcell.app.messages import Genes, NamedFile
from langcell.app.tables import cluster_table, error_line, found_table, label_table, status_of
from langcell.reporting.drawn_cells import DrawnCells

EMPTY = DrawnCells([], np.zeros((0, 2)), *[np.zeros(0)] * 5)


def named(**facts) -> NamedFile:
    table = [("<b>odd</b>", 3, 0.75, 0.9), ("B cell", 1, 0.25, 0.5)]
    return NamedFile("x.h5ad", 4, "Named 4 cells.", table, EMPTY, **facts)


def test_a_table_is_read_aloud_with_its_title_and_headings_and_has_no_markup_of_the_file():
    html = label_table(named())
    assert "<caption>Cell types in this file</caption>" in html
    assert html.count('scope="col"') == 4
    assert "&lt;b&gt;odd&lt;/b&gt;" in html
    assert "75.0%" in html
    assert "<b>" not in html


def test_a_label_opens_the_genes_that_speak_for_it_and_against_it():
    html = label_table(named(genes={"B cell": Genes(["CD79A", "MS4A1"], [("CD3D", "T cell")])}))
    assert "<summary>B cell</summary><p>Genes that speak for it: CD79A, MS4A1.</p>" in html
    assert "Against it: CD3D (T cell)." in html
    assert html.count("<details") == 1


def test_clusters_come_by_number_and_say_what_is_wrong_with_them():
    facts = {"cells": 2, "share": 0.5, "unknown": False}
    rows = [
        {"cluster": "10", "label": "B cell", "mixed": True, **facts},
        {"cluster": "2", "label": "", "mixed": False, **facts},
    ]
    html = cluster_table(rows, "leiden")
    assert html.index("<td>2</td>") < html.index("<td>10</td>")
    assert 'B cell <span class="mark">mixed</span>' in html
    assert "none" in html
    assert cluster_table([], "") == ""


def test_a_cluster_opens_the_genes_behind_its_name():
    rows = [{"cluster": 3, "label": "B cell", "mixed": True, "unknown": False, "cells": 2, "share": 0.5}]
    html = cluster_table(rows, "leiden", {"3": Genes(["MS4A1"], [("CD3D", "T cell")])})
    assert '<summary>B cell <span class="mark">mixed</span></summary>' in html
    assert "Genes that speak for it: MS4A1." in html
    assert "Against it: CD3D (T cell)." in html


def test_cells_of_a_search():
    assert "0.750" in found_table([("cell<1>", "B cell", 0.5, 0.75)])
    assert "cell&lt;1&gt;" in found_table([("cell<1>", "B cell", 0.5, 0.75)])
    assert found_table([]) == ""


def test_the_status_says_first_what_matters_and_hides_the_details():
    html = status_of("Named 4 cells.", named(warning="2 of 4 cells fit none.", notes=["note"], details=["bfloat16"]))
    assert html.index("Named 4") < html.index("fit none") < html.index("note") < html.index("<details>")
    assert html.index("<details>") < html.index("bfloat16")


def test_an_error_is_announced_in_the_words_of_the_page():
    html = error_line(ValueError("x.h5ad: say what they are (--x-is)"))
    assert 'role="alert"' in html
    assert "Values in the file" in html
    assert "--" not in html
