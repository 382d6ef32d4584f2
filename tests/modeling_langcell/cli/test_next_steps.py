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


def test_clusters_that_stand_out_are_named():
    table = {"cluster": np.array(["0", "1", "2"]), "mixed": [False, True, False], "unknown": [False, False, True]}
    assert "clusters 1, 2 are mixed or fit no label" in what_to_look_at(summary(clusters=table), Path("x"), None)[1]
    table["mixed"] = [False] * 3
    assert "cluster 2 is mixed or fits no label" in what_to_look_at(summary(clusters=table), Path("x"), None)[1]
    table["unknown"] = [False] * 3
    assert "no cluster is mixed" in what_to_look_at(summary(clusters=table), Path("x"), None)[1]


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
