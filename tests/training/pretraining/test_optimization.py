"""The learning rate and what is decayed; whole runs are in test_pretrain.py."""

import math

import pytest
from tiny import tiny_model

from langcell.training.pretraining.optimization import build_optimizer, learning_rate
from langcell.training.settings.sections import Objectives, OptimizerSection
from langcell.training.stage.stage import PretrainingStage, freeze


@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_learning_rate_rises_then_falls_to_its_end(warmup):
    options = OptimizerSection(lr=2.0, warmup=warmup, final_ratio=0.25)
    rates = [learning_rate(step, steps=40, options=options) for step in range(40)]
    peak = rates.index(max(rates))
    assert max(rates) == 2.0
    assert rates == [*sorted(rates[:peak]), *sorted(rates[peak:], reverse=True)]
    assert math.isclose(rates[-1], 0.5)
    assert min(rates) > 0


def test_a_run_of_one_step_has_a_learning_rate():
    assert learning_rate(0, steps=1, options=OptimizerSection(lr=1.0, warmup=0)) == 1.0


def test_only_trained_matrices_are_decayed():
    model = tiny_model()
    freeze(model, patterns=[r"^text_encoder\."])
    matrices, vectors = build_optimizer(PretrainingStage(model, Objectives()), OptimizerSection()).param_groups
    assert matrices["weight_decay"] == OptimizerSection().weight_decay
    assert vectors["weight_decay"] == 0
    assert all(parameter.ndim >= 2 for parameter in matrices["params"])
    assert all(parameter.ndim < 2 for parameter in vectors["params"])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(matrices["params"]) + len(vectors["params"]) == len(trained) < len(list(model.parameters()))
