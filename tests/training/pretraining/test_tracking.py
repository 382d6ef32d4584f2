import dataclasses
import json

import numpy as np
import pytest
from matplotlib.image import imread

from langcell.training.pretraining.tracking import check_trackers, draw_losses, flatten, shown_on_the_bar, smooth
from langcell.training.settings.sections import PretrainConfig


def test_smoothing_is_the_mean_of_the_last_values():
    values = np.arange(10.0)
    assert smooth(values, window=1).tolist() == values.tolist()
    assert smooth(values, window=4)[-1] == np.mean([6, 7, 8, 9])
    assert smooth(values, window=100)[-1] == values.mean()


def test_a_step_without_a_finite_loss_does_not_break_the_curve():
    values = np.array([np.nan, 1.0, np.inf, 3.0])
    assert np.isnan(smooth(values, window=2)[0])
    assert smooth(values, window=2)[1:].tolist() == [1.0, 1.0, 3.0]


def log_of(steps):
    rng = np.random.default_rng(0)
    for step in range(1, steps + 1):
        line = {"step": step, "lr": 1e-3 / step, "grad_norm": float(rng.gamma(2.0)), "cells_per_second": 10.0}
        for name in ("loss", "masked_gene", "cell_cell"):
            line[name] = 5 / step + rng.normal(0, 0.1)
        line |= {"masked_gene_accuracy": 0.5, "cell_cell_accuracy": 0.9}
        if step % 10 == 0:
            line |= {"validation_masked_gene": 4.0, "validation_masked_gene_accuracy": 0.4}
            line |= {f"validation_cell_to_text_recall_at_{k}": k / 10 for k in (1, 5)}
        yield line


@pytest.mark.parametrize("steps", [pytest.param(1, id="one_step"), pytest.param(120, id="many_steps")])
def test_losses_are_drawn(tmp_path, steps):
    lines = list(log_of(steps))
    lines[0]["grad_norm"] = float("nan")  # a skipped step
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    draw_losses(tmp_path / "metrics.jsonl", tmp_path / "losses.png")
    picture = imread(tmp_path / "losses.png")
    assert picture.shape[1] == 1430
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["losses.png", "metrics.jsonl"]


def test_a_run_without_a_step_has_no_picture(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    draw_losses(tmp_path / "metrics.jsonl", tmp_path / "losses.png")
    assert not (tmp_path / "losses.png").exists()


def test_the_bar_calls_an_accuracy_an_accuracy_and_shows_none_of_validation():
    (*_, tenth) = log_of(10)
    assert tenth["validation_masked_gene_accuracy"] == 0.4
    shown = shown_on_the_bar(tenth)
    assert shown["accuracy"] == "masked_gene 50%, cell_cell 90%"
    assert (*shown,) == ("loss", "accuracy", "cells_per_second")
    assert float(shown["loss"]) == pytest.approx(tenth["loss"], rel=0.01)


def test_a_config_becomes_flat_for_trackers():
    flat = flatten(dataclasses.asdict(PretrainConfig(stage=1, output_dir="x", steps=3)))
    assert flat["batch.size"] == 128
    assert flat["optimizer.betas"] == "(0.9, 0.98)"
    assert all(isinstance(value, str | int | float) for value in flat.values())


def test_a_tracker_that_is_not_installed_is_refused():
    check_trackers(["tensorboard"])
    with pytest.raises(ValueError, match="trackers names no_such_tracker, which is not installed"):
        check_trackers(["no_such_tracker"])
