"""Reports of real evaluations on cards."""

import json

import pytest
import tiny_evaluation

from langcell.loading.load import weights_digest
from langcell.training.evaluation.card_results import read_measurement
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.runner import run_task


@pytest.fixture(scope="module")
def report(tmp_path_factory, tiny_model_dir):
    folder = tmp_path_factory.mktemp("evaluated")
    cells = tiny_evaluation.save_cells(folder / "blood.h5ad")
    context = EvaluationContext(cells, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)
    run_task("zero-shot", context, folder / "results")
    return folder / "results" / "zero-shot.json"


def test_a_report_becomes_tables_and_model_index_entries(report, tiny_model_dir):
    made = read_measurement(report, weights=weights_digest(tiny_model_dir))
    assert made.title == "zero-shot on blood.h5ad, 36 cells, alpha 0.1"
    accuracy = json.loads(report.read_text())["methods"]["LangCell"]["accuracy"]
    assert made.results[0].metric_value == round(accuracy, 4)
    assert made.results[0].dataset_name == "blood"
    assert "| majority class |" in made.methods
    assert [line.split(" | ")[0] for line in made.per_type.splitlines()[2:]] == ["| B cell", "| T cell", "| monocyte"]


def test_a_report_on_other_weights_is_refused(report):
    with pytest.raises(ValueError, match=r"zero-shot\.json measured the weights \w{12}, but the folder has 0{12}"):
        read_measurement(report, weights="0" * 12)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": {"revision": "a"}}'])
def test_what_is_no_report(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match="is no report of `langcell evaluate`") as error:
        read_measurement(tmp_path / "a.json")
    assert "\n" not in str(error.value)
