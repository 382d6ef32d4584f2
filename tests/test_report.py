import json

import numpy as np
import pytest
from huggingface_hub import ModelCard

from langcell.hub_cards.cards import measurement_table, model_card
from langcell.training.evaluation.metrics import score_predictions
from langcell.training.evaluation.report import Expectation, eval_results, markdown, write_report

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
        "data": {
            "file": "pbmc.h5ad", "sha256": "c0ffee", "label_column": "type", "labelled_cells": 4,
            "left_out_without_label": 2, "without_known_gene": 1,
        },
        "labels": [{"name": name, "text": name, "ontology_term_id": None, "support": 1} for name in NAMES],
        "alpha": 0.1,
        "seed": 0,
        "methods": methods,
        "alpha_sweep": [{"alpha": 0.0, "accuracy": 0.75, "macro_f1": 0.9, "weighted_f1": 0.8}],
        "cells_per_second": 50.0,
    }  # fmt: skip


def test_json_markdown_and_plots_are_written(report, tmp_path):
    paths = write_report(report, tmp_path / "new" / "results")
    assert [path.name for path in paths] == [
        "zero-shot.json", "zero-shot.md", "zero-shot-confusion.png", "zero-shot-per-type.png",
    ]  # fmt: skip
    assert json.loads(paths[0].read_text()) == report
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[2:])
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)


def test_markdown_has_each_method_type_and_alpha(report):
    text = markdown(report)
    assert "| LangCell | 0.7500 ± " in text
    assert "| nearest profile | 0.5000 ± " in text
    assert "| B cell | 3 | 1.000 | 0.667 | 0.800 |" in text
    assert "| T\\|cell | 1 |" in text
    assert "| 0.0 | 0.7500 | 0.9000 |" in text
    assert "2 cells without a label left out" in text


def test_entries_fill_the_model_index_of_a_card(report, tmp_path):
    results = eval_results(json.loads(json.dumps(report)), dataset_name="PBMC")
    assert [(r.metric_type, r.metric_name, r.metric_value) for r in results] == [
        ("accuracy", "accuracy", 0.75), ("f1", "macro-F1", 0.9), ("f1", "weighted F1", 0.85),
    ]  # fmt: skip
    assert "| PBMC | macro-F1 | 0.9 |" in measurement_table(results)
    texts = dict.fromkeys(("model_id", "title", "summary", "making", "license_id", "licence"), "mit")
    model_card(**texts, limits=["Few."], results=results).save(tmp_path / "README.md")
    entries = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert [entry.metric_value for entry in entries] == [0.75, 0.9, 0.85]
    assert entries[0].dataset_revision == "c0ffee"


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
