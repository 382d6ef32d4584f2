import json

import pytest
import tiny_evaluation

from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.tasks import classification


@pytest.fixture(scope="module")
def result(tmp_path_factory, tiny_model_dir):
    path = tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    context = EvaluationContext(path, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)
    return classification.run(context, repeats=2, steps=3)


def test_the_model_stands_beside_random_weights_and_regressions(result):
    json.dumps(result.report, allow_nan=False)
    assert list(result.report["methods"]) == [
        "LangCell-CE", "the same encoder from random weights", "logistic regression on frozen embeddings",
        "logistic regression on PCA",
    ]  # fmt: skip
    assert all(scores["runs"] == 2 for scores in result.report["methods"].values())
    assert result.report["methods"]["logistic regression on PCA"]["accuracy"] > 0.9


def test_a_third_of_the_cells_of_every_type_is_tested_in_every_split(result):
    per_type = result.report["methods"]["LangCell-CE"]["per_type"]
    assert {row["support"] for row in per_type.values()} == {2 * tiny_evaluation.CELLS_PER_TYPE // 3}
    confusion = result.report["methods"]["LangCell-CE"]["confusion"]
    assert sum(map(sum, confusion)) == 24


def test_page_and_plots(result):
    assert set(result.figures) == {"methods", "confusion"}
    assert "two thirds of each type" in result.sections[0].text
    assert len(result.sections[1].table.rows) == 3


def test_types_have_a_mean_and_a_spread_over_the_splits(result):
    per_type = result.report["methods"]["LangCell-CE"]["per_type"]
    assert all(row["runs"] == 2 and row["f1_sd"] is not None for row in per_type.values())
    mean = sum(row["f1"] for row in per_type.values()) / len(per_type)
    assert mean == pytest.approx(result.report["methods"]["LangCell-CE"]["macro_f1"])
    assert all("±" in cell for row in result.sections[1].table.rows for cell in row[2:])
    assert "± is the standard deviation over 2 splits of the cells (seed 0)" in result.sections[0].text
