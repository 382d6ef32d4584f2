import json

import numpy as np
import pytest
import tiny_evaluation

from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.tasks import novel_types


@pytest.fixture(scope="module")
def context(tmp_path_factory, tiny_model_dir):
    path = tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return EvaluationContext(path, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)


@pytest.fixture(scope="module")
def report(context):
    report = novel_types.run(context, held_out="monocyte", cells_per_type=3, repeats=2, steps=2).report
    json.dumps(report, allow_nan=False)
    return report


def test_a_model_without_text_cannot_name_what_it_has_not_seen(report):
    for method in ("few-shot without text (LangCell-CE)", "logistic regression on frozen embeddings"):
        assert report["methods"][method]["unseen"] == report["methods"][method]["harmonic_mean"] == 0
        assert report["methods"][method]["seen"] > 0
    assert next(iter(report["methods"])) == "few-shot with text"


def test_every_method_has_every_measure_over_all_repeats(report):
    for scores in report["methods"].values():
        assert scores["runs"] == 2
        assert all(0 <= scores[key] <= 1 for key in ("seen", "unseen", "harmonic_mean", "unknown_auroc"))
        assert "unknown_auroc_sd" in scores
    assert report["held_out"] == [["monocyte"], ["monocyte"]]


def test_types_are_drawn_anew_for_each_repeat_by_default(context):
    truth = context.labelled.truth
    drawn = [novel_types._draw_types(truth, seed).tolist() for seed in range(20)]
    assert {len(codes) for codes in drawn} == {1}
    assert len({tuple(codes) for codes in drawn}) == 3
    assert drawn == [novel_types._draw_types(truth, seed).tolist() for seed in range(20)]


def test_measures_are_means_over_types_and_the_harmonic_mean_needs_both():
    truth = np.array([0, 0, 0, 1, 2, 2])
    among_all = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0], [0.3, 0.7, 0], [0, 0, 1], [1, 0, 0]])
    among_seen = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
    found = novel_types._measure(truth, (among_all, among_seen), np.array([0, 1]), np.array([2]))
    assert found["seen"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["unseen"] == 0.5
    assert found["harmonic_mean"] == pytest.approx(2 * (5 / 6) * 0.5 / (5 / 6 + 0.5))
    assert found["unknown_auroc"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"held_out": "monocyte, NK cell"}, r"held_out names \['NK cell'\]", id="no_such_type"),
        pytest.param({"held_out": ["monocyte", "B cell"]}, "2 types are held out and 1 are left", id="too_many"),
        pytest.param({"cells_per_type": 0}, "cells_per_type is 0", id="no_cells"),
        pytest.param({"method": "none"}, "method is 'none'", id="method"),
    ],
)
def test_illegal_options_are_refused(context, options, message):
    with pytest.raises(ValueError, match=message):
        novel_types.run(context, **options)
