"""What `langcell explain` and `langcell audit` print, write and exit with."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny
from anndata import read_h5ad
from tiny_evidence import markers_of, typed_cells, typed_reference
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.cli.review.audit import _called


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Hub folder of the tiny model with typed reference cells, and a file of cells."""
    folder = tmp_path_factory.mktemp("review")
    processor = tiny.tiny_processor()
    processor.feature_extractor.reference_cells = typed_reference()
    tiny.tiny_model().save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    typed_cells(40).write_h5ad(folder / "cells.h5ad")
    return folder


@pytest.fixture
def run(folder):
    def run(command, *words, code=0):
        given = [command, str(folder / "cells.h5ad"), "--model", str(folder / "model"), "--device", "cpu", *words]
        result = CliRunner().invoke(app, list(map(str, given)), catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return run


def test_explain_prints_a_line_of_genes_per_label(run):
    printed = run("explain", "--label-column", "label").stdout
    for label in ("B cell", "natural killer cell"):
        assert f"{label}, 40 cells" in printed
        assert all(gene in printed for gene in markers_of(label))


def test_explain_writes_a_table_a_plot_and_json(run, tmp_path):
    csv, png = tmp_path / "evidence.csv", tmp_path / "dots.png"
    result = run("explain", "--label-column", "label", "--json", "-o", csv, "--plot", png)
    record, table = json.loads(result.stdout), pd.read_csv(csv)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert set(table["group"]) == {group["group"] for group in record["groups"]}
    first = record["groups"][0]["supporting"][0]
    assert table.iloc[0]["gene"] == first["gene"]
    assert f"Wrote {csv}" in result.stderr


def test_explain_of_one_label_between_two_and_of_a_cell(run):
    column = ("--label-column", "label")
    assert "supporting genes" in run("explain", *column, "--label", "NK").stdout
    assert "What would make" in run("explain", *column, "--label", "NK", "--against", "B cell").stdout
    assert "cell3: B cell" in run("explain", *column, "--cell", "cell3").stdout


def test_a_table_of_genes_has_whole_headings_in_80_columns(run):
    lines = run("explain", "--label-column", "label", "--label", "NK").stdout.splitlines()
    printed = " ".join(lines).split()
    assert {"strength", "effect", "log2", "fold", "here", "elsewhere", "rank", "profile"} <= set(printed)
    assert max(map(len, lines)) <= 80
    assert any(line.endswith("no conflicting genes") for line in lines)


def test_files_that_cannot_be_written_are_refused_before_the_work(run, tmp_path):
    assert "name a .csv file" in run("explain", "-o", tmp_path / "a.txt", code=2).stderr
    assert "Cannot draw" in run("explain", "--plot", tmp_path / "a.gif", code=2).stderr
    (tmp_path / "audit").write_text("")
    assert "is a file" in run("audit", "--label-column", "label", "-o", tmp_path / "audit", code=2).stderr


def test_audit_prints_a_table_and_writes_a_folder(run, tmp_path):
    printed = run("audit", "--label-column", "label", "-o", tmp_path / "audit").stdout
    assert "labels have something to correct" in printed
    assert sorted(path.name for path in (tmp_path / "audit").iterdir()) == ["audit.csv", "audit.html", "audit.json"]


def test_audit_is_a_gate_where_it_is_strict(run, folder, tmp_path):
    cells = typed_cells(40)
    cells.obs["cl_id"] = "CL:0000236"  # wrong for two of three labels
    cells.write_h5ad(tmp_path / "cells.h5ad")
    words = ["audit", str(tmp_path / "cells.h5ad"), "--model", str(folder / "model"), "--label-column", "label"]
    for strict, code in ((["--strict"], 3), ([], 0)):
        result = CliRunner().invoke(app, [*words, *strict, "--json"], catch_exceptions=False)
        assert result.exit_code == code, result.output
        assert json.loads(result.stdout)["wrong"] >= 2


def test_a_result_replaces_neither_the_markers_nor_a_folder(run, tmp_path):
    markers, folder = tmp_path / "markers.csv", tmp_path / "dots.png"
    markers.write_text("label,gene\nB cell,MS4A1\n")
    folder.mkdir()
    words = ("--label-column", "label", "--markers", markers)
    assert "is the input, which would be replaced" in run("explain", *words, "-o", markers, code=2).stderr
    assert "it is a folder; name a file" in run("explain", *words, "--plot", folder, code=2).stderr
    assert markers.read_text().startswith("label,gene")


def test_markers_that_the_file_has_not_are_said(run, tmp_path):
    markers = tmp_path / "markers.csv"
    markers.write_text("label,gene\nB cell,BANANA\n")
    words = ("--label-column", "label", "--markers", markers)
    assert "the file has none of its genes (BANANA)" in run("explain", *words, code=2).stderr


def test_a_cluster_without_a_column_asks_for_it(tmp_path, folder):
    cells = tmp_path / "cells.h5ad"
    typed_cells(10).write_h5ad(cells)
    adata = read_h5ad(cells)
    del adata.obs["leiden"]
    adata.write_h5ad(cells)
    given = ["explain", str(cells), "--model", str(folder / "model"), "--label-column", "label", "--cluster", "7"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2
    assert "cluster is '7', but the file does not say in which column" in result.stderr


def test_a_column_of_numbers_is_no_column_of_types(run):
    assert "No label of the column names a type" in run("audit", "--label-column", "leiden", code=2).stderr


def test_a_row_of_the_audit_names_a_few_other_types_and_counts_the_rest():
    others = [SimpleNamespace(name=f"type {i}", share=0.1) for i in range(7)]
    verdict = SimpleNamespace(called="B cell", called_share=0.3, others=others)
    assert _called(verdict) == "B cell 30%, type 0 10%, type 1 10%, type 2 10% and 4 more"
    verdict.others = others[:3]
    assert _called(verdict) == "B cell 30%, type 0 10%, type 1 10%, type 2 10%"
