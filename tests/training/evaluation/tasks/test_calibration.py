import json

import numpy as np
import pytest
import tiny_evaluation
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app
from langcell.inference.naming.calibration import Calibration
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.reports.report import write_report
from langcell.training.evaluation.tasks import calibration


@pytest.fixture(scope="module")
def context(tmp_path_factory, tiny_model_dir):
    path = tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return EvaluationContext(path, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)


@pytest.fixture(scope="module")
def result(context):
    return calibration.run(context, target_risk=0.9, repeats=3)


def test_confidence_is_measured_before_and_after(result):
    report = result.report
    json.dumps(report, allow_nan=False)
    assert list(report["methods"]) == ["LangCell, calibrated", "LangCell, greatest score"]
    for scores in report["methods"].values():
        assert {"ece", "ece_sd", "aurc", "aurc_sd", "accuracy"} <= scores.keys()
        assert scores["runs"] == 3
    # A temperature orders no labels again.
    first, second = report["methods"].values()
    assert first["accuracy"] == second["accuracy"]
    assert {"temperature", "threshold", "coverage", "risk"} <= report["fits"].keys()


def test_the_report_is_a_calibration_for_annotate(result, context, tmp_path):
    path = write_report(result, tmp_path)[0]
    loaded = Calibration.load(path)
    assert loaded.temperature == result.report["temperature"] > 0
    adata = context.cells.copy()
    labels = context.labelled.labels
    reading = context.memory_reading
    langcell.annotate(adata, labels, model=context.loaded, unknown=str(path), **reading)
    unknown = (adata.obs["langcell_label"].astype(str) == "unknown").to_numpy()
    other = {"B cell": "makes antibodies", "T cell": "cell type: t cell; ", "monocyte": "cell type: monocyte; "}
    with pytest.raises(ValueError, match="The calibration was fitted with another text for 'B cell'"):
        langcell.annotate(context.cells.copy(), other, model=context.loaded, unknown=str(path), **reading)
    assert (adata.obs["langcell_confidence"].to_numpy()[~unknown] >= np.float32(loaded.threshold)).all()


def test_it_says_the_same_of_itself_as_langcell_calibrate(result, context, tiny_model_dir, tmp_path):
    output = tmp_path / "calibration.json"
    words = ["calibrate", context.data, "--label-column", "cell_type", "--model", tiny_model_dir, "--device", "cpu"]
    more = ["--target-risk", 0.9, "-o", output]
    assert CliRunner().invoke(app, [str(word) for word in (*words, *more)]).exit_code == 0
    by_command, by_task = Calibration.load(output), result.report["fitted_with"]
    assert by_command.temperature == pytest.approx(result.report["temperature"], rel=1e-3)
    held_out = by_command.fitted_with.pop("held_out"), by_task["held_out"]
    assert held_out[0].keys() == held_out[1].keys()
    assert by_command.fitted_with == {key: value for key, value in by_task.items() if key != "held_out"}
    assert {"label_texts", "reference_cells", "data", "label_column", "absent_types"} <= by_task.keys()


def test_a_risk_that_no_threshold_reaches_is_one_line(context):
    with pytest.raises(ValueError, match="The target risk is -1"):
        calibration.run(context, target_risk=-1.0, repeats=1)


def test_risk_over_coverage_is_of_all_splits(result):
    curve = result.report["risk_coverage"]
    assert curve[0]["coverage"] == 1.0
    assert all(point["runs"] == 3 and point["risk_sd"] is not None for point in curve)
    everything = result.report["methods"]["LangCell, calibrated"]
    assert curve[0]["risk"] == pytest.approx(1 - everything["accuracy"])
    assert all("±" in cell for row in result.sections[2].table.rows for cell in row[1:])


def test_one_split_has_no_spread(context):
    result = calibration.run(context, target_risk=0.9, repeats=1)
    json.dumps(result.report, allow_nan=False)
    assert result.report["risk_coverage"][0]["risk_sd"] is None
    assert not any("±" in cell for section in result.sections for row in section.table.rows for cell in row)
    assert "One repeat (splits of the cells, seed 0) has no standard deviation" in result.sections[0].text


@pytest.mark.parametrize("target_risk", [0.75, 0.9])
def test_a_threshold_that_misses_its_target_on_other_cells_is_said(context, target_risk):
    result = calibration.run(context, target_risk=target_risk, repeats=3)
    missed = result.report["fits"]["risk"] > target_risk
    assert any("more than asked" in section.text for section in result.sections) == missed
