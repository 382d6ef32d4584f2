import subprocess
import sys

import pytest
import tiny_evaluation
from warm_python import warm_python

from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.inputs.inputs import EvaluationInputs


def test_a_context_of_inputs_is_about_the_same(tmp_path, tiny_model_dir):
    cells = tiny_evaluation.save_cells(tmp_path / "cells.h5ad")
    options = {"model": tiny_model_dir, "label_column": "cell_type", "max_cells": 9, "seed": 3, "device": "cpu"}
    inputs = EvaluationInputs(cells, progress=False, **options)
    digests = inputs.data_digest, inputs.model_digest
    context = EvaluationContext.of(inputs)
    assert (context.data_digest, context.model_digest) == digests
    assert context.cells.n_obs == 9
    assert context.labelled.names == list(tiny_evaluation.TYPES)
    assert context.reading["progress"] is False


def test_other_labels_leave_the_inputs_as_they_are():
    inputs = EvaluationInputs("cells.h5ad", label_column="a")
    other = inputs.with_labels(label_column="b", label_ids_column="c", labels_file=None)
    assert (inputs.label_column, other.label_column, other.label_ids_column) == ("a", "b", "c")
    assert other.data == inputs.data


def test_the_bundled_model_is_taken_where_none_is_named():
    assert EvaluationInputs("cells.h5ad").model == "langcell-mini"
    assert EvaluationInputs("cells.h5ad", model="org/langcell", adapter="org/adapter").model == "org/langcell"


def test_no_file_and_too_few_cells_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; give an h5ad file"):
        EvaluationInputs(tmp_path / "absent.h5ad").data_digest  # noqa: B018
    with pytest.raises(ValueError, match="max_cells is 1; give at least 2"):
        EvaluationInputs(tmp_path / "absent.h5ad", max_cells=1)


def test_a_kept_result_is_found_without_torch(tmp_path, tiny_model_dir):
    cells = tiny_evaluation.save_cells(tmp_path / "cells.h5ad")
    arguments = [
        "langcell", "evaluate", "zero-shot", str(cells), "--label-column", "cell_type", "--model", str(tiny_model_dir),
        "--device", "cpu", "-o", str(tmp_path / "results"),
    ]  # fmt: skip
    code = (
        "import sys\n"
        f"sys.argv = {arguments!r}\n"
        "from langcell.cli.commands import app\n"
        "app(standalone_mode=False)\n"
        "print('torch' in sys.modules)\n"
    )
    first, second = (
        subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
        for python in (warm_python(), sys.executable)
    )
    assert first.endswith("True\n")
    assert "the same question was asked before" in second
    assert second.endswith("False\n")
