import json

import anndata
import pandas as pd
import pytest
import tiny
from typer.testing import CliRunner

from langcell.cli import app


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    obs = pd.DataFrame({"type": ["B cell", "T cell", "B cell"]}, index=["a", "b", "c"])
    adata = anndata.AnnData(tiny.tiny_counts(3), obs=obs, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    adata.write_h5ad(path := tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return path


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", "zero-shot", *map(str, arguments)])


def options(model, output):
    return ("--label-column", "type", "--model", model, "--device", "cpu", "-o", output)


def test_zero_shot_writes_the_report_and_meets_an_expectation(cells, tiny_model_dir, tmp_path):
    first = evaluate(cells, *options(tiny_model_dir, tmp_path))
    assert first.exit_code == 0, first.output
    assert "| majority class | 0.6667" in first.stdout
    accuracy = json.loads((tmp_path / "zero-shot.json").read_text())["methods"]["LangCell"]["accuracy"]
    again = evaluate(cells, *options(tiny_model_dir, tmp_path), "--expect-accuracy", accuracy)
    assert again.exit_code == 0
    assert "pass: accuracy" in again.stdout


def test_another_accuracy_is_one_line_and_exit_code_2(cells, tiny_model_dir, tmp_path):
    # Three cells cannot give it.
    result = evaluate(cells, *options(tiny_model_dir, tmp_path), "--expect-accuracy", 0.5, "--tolerance", 0.01)
    assert result.exit_code == 2
    assert "langcell: fail: accuracy" in result.stderr
    assert (tmp_path / "zero-shot.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--label-column", "nope"), "unknown column 'nope'", id="no_such_column"),
        pytest.param(("--label-column", "type", "--alpha", 2), "alpha is 2.0", id="alpha"),
        pytest.param(("--label-column", "type", "--x-is", "odd"), "unknown kind of values 'odd'", id="x_is"),
        pytest.param(("--label-column", "type", "--expect-accuracy", 91), "give a share", id="expectation"),
        pytest.param(("--label-column", "type", "--model", "./absent"), "no model folder", id="model"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(cells, tmp_path, arguments, message):
    result = evaluate(cells, *arguments, "-o", tmp_path / "results")
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("langcell:")]
    assert message in line
    assert not (tmp_path / "results").exists()


def test_an_output_that_is_a_file_is_refused(cells, tmp_path):
    (tmp_path / "results").write_text("")
    result = evaluate(cells, "--label-column", "type", "-o", tmp_path / "results")
    assert result.exit_code == 2
    assert "is a file; name a folder" in result.stderr


def test_the_tasks_are_listed():
    assert "zero-shot" in CliRunner().invoke(app, ["evaluate", "--help"]).stdout
