from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from langcell.cli.next_steps import check_named_output, what_to_look_at


def summary(**uns: Any) -> Any:
    return SimpleNamespace(
        uns=uns, cells_of={"B cell": 900, "T cell": 40}, confidence_of={"B cell": 0.9, "T cell": 0.4}
    )


def test_three_lines_say_what_to_look_at():
    lines = what_to_look_at(summary(cells_that_fit_no_label=1200), Path("x.h5ad"), None)
    assert len(lines) == 3
    assert "40 cells called T cell, mean confidence 0.40" in lines[0]
    assert "1,200 cells fit none of these labels" in lines[1]
    assert "langcell report x.h5ad" in lines[2]


def test_a_report_that_was_written_is_named():
    assert "open page.html" in what_to_look_at(summary(), Path("x.h5ad"), Path("page.html"))[2]


@pytest.mark.parametrize(
    ("mixed", "unknown", "said", "explained"),
    [
        pytest.param([0, 0, 0], [0, 0, 0], "no cluster is mixed", "0", id="none"),
        pytest.param([0, 1, 0], [0, 0, 0], "cluster 1 is mixed", "1", id="mixed"),
        pytest.param([1, 1, 0], [0, 0, 1], "cluster 2 fits no label, clusters 0, 1 are mixed", "2", id="both"),
        pytest.param([1, 0, 0], [1, 0, 0], "cluster 0 fits no label;", "0", id="one_that_is_both"),
    ],
)
def test_clusters_that_stand_out_are_named_and_one_is_explained(mixed, unknown, said, explained):
    table = {"cluster": np.array(["0", "1", "2"]), "mixed": np.array(mixed, bool), "unknown": np.array(unknown, bool)}
    line = what_to_look_at(summary(clusters=table), Path("x.h5ad"), None)[1]
    assert f"2. {said}" in line
    assert line.endswith(f"langcell explain x.h5ad --cluster {explained}")


def test_the_table_of_clusters_is_named_where_there_is_one():
    table = {"cluster": np.array(["0", "1"]), "mixed": [False] * 2, "unknown": [False] * 2}
    found = summary(clusters=table)
    assert "stand in" not in what_to_look_at(found, Path("x"), None)[1]
    tables = {"clusters_csv": Path("names_clusters.csv")}
    assert "(all 2 stand in names_clusters.csv)" in what_to_look_at(found, Path("x"), None, **tables)[1]
    assert "(all 2 stand in page.html)" in what_to_look_at(found, Path("x"), Path("page.html"), **tables)[1]


def test_cells_that_are_called_unknown_are_counted_and_not_offered_again():
    found = summary(cells_that_fit_no_label=1200, unknown_above_novelty=0.9)
    found.cells_of["unknown"] = 1100
    line = what_to_look_at(found, Path("x"), None)[1]
    assert "1,100 cells are called unknown" in line
    assert "--unknown" not in line


def test_a_file_that_nobody_named_is_replaced_only_where_annotate_wrote_it(tmp_path):
    output = tmp_path / "cells_named.h5ad"
    check_named_output(output)
    AnnData(np.ones((2, 2))).write_h5ad(output)
    with pytest.raises(ValueError, match="annotate did not write it; name an output"):
        check_named_output(output)
    AnnData(np.ones((2, 2)), uns={"langcell": {"labels": ["B cell"]}}).write_h5ad(output)
    check_named_output(output)
