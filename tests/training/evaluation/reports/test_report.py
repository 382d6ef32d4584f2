import json

import numpy as np
import pytest
from huggingface_hub import ModelCard, ModelCardData
from matplotlib.figure import Figure

from langcell.hub_cards.cards.cards import measurement_table, model_card
from langcell.training.evaluation.metrics.metrics import score_predictions
from langcell.training.evaluation.registry import TASKS
from langcell.training.evaluation.reports.pages import Section
from langcell.training.evaluation.reports.report import (
    HEADLINES,
    Expectation,
    TaskResult,
    best_methods,
    eval_results,
    methods_table,
    summary_table,
    write_report,
)

NAMES = ["B cell", "T|cell", "empty"]


@pytest.fixture
def report():
    truth = np.array([0, 0, 0, 1])
    methods = {
        "LangCell": score_predictions(truth, np.array([0, 0, 3, 1]), NAMES, seed=0),
        "nearest profile": score_predictions(truth, np.array([0, 1, 1, 1]), NAMES, seed=0),
    }
    return {
        "task": "zero-shot",
        "model": {"id": "org/tiny", "revision": "abc", "device": "cpu"},
        "data": {"file": "pbmc.h5ad", "sha256": "c0ffee"},
        "labels": [{"name": name, "text": name, "ontology_term_id": None, "support": 1} for name in NAMES],
        "methods": methods,
    }


def test_json_markdown_and_plots_are_written(report, tmp_path):
    figure = Figure()
    figure.add_subplot().plot([0, 1])
    result = TaskResult(report, [Section("zero-shot: tiny", "Four cells.")], {"confusion": figure})
    paths = write_report(result, tmp_path / "new" / "results")
    assert [path.name for path in paths] == ["zero-shot.json", "zero-shot.md", "zero-shot-confusion.png"]
    assert json.loads(paths[0].read_text()) == report
    assert "![zero shot confusion](zero-shot-confusion.png)" in paths[1].read_text()
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)


def test_a_number_that_json_cannot_hold_writes_nothing(report, tmp_path):
    report["seconds"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        write_report(TaskResult(report, []), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_table_has_each_method_with_its_spread(report):
    text = methods_table(report)
    assert "| LangCell | **0.7500 ± " in text
    assert "| nearest profile | 0.5000 ± " in text
    assert "ontology" not in text  # not measured, as in reports of before


def test_a_measure_that_one_method_lacks_is_a_dash():
    table = summary_table("retrieval", {"a": {"mrr": 0.5, "ontology_distance": 2.0}, "b": {"mrr": 0.25}})
    assert table.head == ("method", "MRR", "ontology distance")
    assert table.rows[1] == ("b", "0.2500", "–")


@pytest.mark.parametrize(
    ("methods", "measure", "best"),
    [
        pytest.param({"a": {"f1": 0.5}, "b": {"f1": 0.7}}, "f1", [1], id="most"),
        pytest.param({"a": {"ece": 0.5}, "b": {"ece": 0.7}}, "ece", [0], id="least"),
        pytest.param({"a": {"f1": 0.7}, "b": {"f1": 0.70001}, "c": {"f1": 0.1}}, "f1", [0, 1], id="written_alike"),
        pytest.param({"a": {"f1": 0.7}, "b": {"f1": 0.7}}, "f1", [], id="all_alike"),
        pytest.param({"a": {"f1": 0.7}, "b": {"f1": None}, "c": {}}, "f1", [], id="nothing_beside"),
    ],
)
def test_the_best_of_a_measure(methods, measure, best):
    assert best_methods(methods, measure) == best


def test_each_direction_of_retrieval_has_a_best_of_its_own():
    names = ("cell to text, name and definition", "cell to text, name only", "text to cell, a", "text to cell, b")
    methods = {name: {"mrr": value} for name, value in zip(names, (0.1, 0.2, 0.9, 0.8), strict=True)}
    assert best_methods(methods, "mrr") == [1, 2]
    assert summary_table("retrieval", methods).bold == {(1, 1), (2, 1)}


def test_every_task_has_headline_measures():
    assert HEADLINES.keys() == TASKS.keys()


def test_entries_fill_the_model_index_of_a_card(report, tmp_path):
    results = eval_results(json.loads(json.dumps(report)), dataset_name="PBMC")
    assert [(r.metric_type, r.metric_name, r.metric_value) for r in results] == [
        ("accuracy", "accuracy", 0.75), ("f1", "macro-F1", 0.9), ("f1", "weighted F1", 0.85),
    ]  # fmt: skip
    assert "| PBMC | zero-shot annotation of 3 types | macro-F1 | 0.9 |" in measurement_table(results)
    texts = dict.fromkeys(("model_id", "title", "summary", "making", "license_id", "licence"), "mit")
    model_card(**texts, limits=["Few."], results=results).save(tmp_path / "README.md")
    entries = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert [entry.metric_value for entry in entries] == [0.75, 0.9, 0.85]
    assert entries[0].dataset_revision == "c0ffee"


def test_a_card_that_anyone_fills_with_entries_keeps_two_tasks_apart():
    methods = {"LangCell": {"accuracy": 0.5}}
    data = {"file": "a.h5ad", "sha256": "c0ffee"}
    reports = [{"task": task, "data": data, "labels": [], "methods": methods} for task in ("calibration", "few-shot")]
    metadata = ModelCardData(model_name="x", eval_results=[entry for one in reports for entry in eval_results(one)])
    tasks = [entry["task"]["name"] for entry in metadata.to_dict()["model-index"][0]["results"]]
    assert tasks == ["calibration: LangCell", "few-shot: LangCell"]


@pytest.mark.parametrize("task", sorted(HEADLINES))
def test_every_task_can_stand_on_a_card(task, tmp_path):
    methods = {"LangCell": dict.fromkeys(HEADLINES[task], 0.5), "beside": {}}
    report = {"task": task, "data": {"file": "a.h5ad", "sha256": "c0ffee"}, "labels": [], "methods": methods}
    results = eval_results(report)
    texts = dict.fromkeys(("model_id", "title", "summary", "making", "license_id", "licence"), "mit")
    model_card(**texts, limits=["Few."], results=results).save(tmp_path / "README.md")
    entries = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert [entry.metric_name for entry in entries] == [name for _, name in HEADLINES[task].values()]


@pytest.mark.parametrize(
    ("accuracy", "fits"),
    [
        pytest.param(0.75, True, id="equal"),
        pytest.param(0.755, True, id="just_within"),
        pytest.param(0.7449, False, id="too_high"),
        pytest.param(0.7551, False, id="too_low"),
    ],
)
def test_an_expected_accuracy_passes_or_says_what_was_measured(report, accuracy, fits):
    expectation = Expectation(accuracy, tolerance=0.005)
    if fits:
        assert expectation.check(report).startswith("pass: accuracy 0.7500")
    else:
        with pytest.raises(ValueError, match=r"fail: accuracy 0.7500, expected 0.7\d* ± 0.005"):
            expectation.check(report)


@pytest.mark.parametrize(("accuracy", "tolerance"), [(91, 0.005), (0.9, -1), (float("nan"), 0)])
def test_impossible_expectations_are_refused(accuracy, tolerance):
    with pytest.raises(ValueError, match="give"):
        Expectation(accuracy, tolerance)
