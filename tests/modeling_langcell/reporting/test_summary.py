import pytest
from anndata import AnnData
from tiny_named import named_cells, refined_cells

import langcell


def test_a_summary_counts_the_cells_and_says_what_a_confidence_is():
    cells = refined_cells(60)
    found = langcell.summary(cells)
    counts = cells.obs["langcell_label"].astype(str).value_counts()
    assert found.table["cells"].to_dict() == counts.to_dict()
    assert found.table["cells"].is_monotonic_decreasing
    text = str(found)
    assert text.splitlines()[0].split() == ["cell", "type", "cells", "share", "confidence"]
    assert "2 of 60 cells fit none of these labels." in text
    assert "2 clusters were named; 1 of them is mixed." in text
    assert "about eight have the right one" in text


def test_a_score_is_not_called_a_probability():
    assert "no probability" in str(langcell.summary(named_cells(20)))


def test_a_notebook_shows_a_table_without_markup_of_the_file():
    shown = langcell.summary(named_cells(200))._repr_html_()
    assert shown.startswith("<table>")
    assert "my odd cells &lt;i&gt;" in shown
    assert "<i>" not in shown


def test_many_types_are_cut_and_counted():
    found = langcell.summary(named_cells(2000, ["B cell", "T cell", *(f"type {i}" for i in range(40))], seed=2))
    assert len(str(found).splitlines()) < 27
    assert f"and {len(found.table) - 20} other types with fewer cells" in str(found)


def test_cells_without_names_are_refused():
    with pytest.raises(ValueError, match="name its cells first"):
        langcell.summary(AnnData())


def test_cells_without_a_name_are_counted_apart():
    cells = named_cells(20)
    cells.obs["langcell_label"] = cells.obs["langcell_label"].where([False] * 3 + [True] * 17)
    found = langcell.summary(cells)
    assert found.lines[0] == "3 cells have no name."
    assert found.table["cells"].sum() == 17
    del cells.obs["langcell_confidence"]
    with pytest.raises(ValueError, match="has no langcell_confidence; name its cells first"):
        langcell.summary(cells)
