import logging

import numpy as np
import pytest
from tiny_labelled import TYPES, labelled_cells

import langcell
from langcell.inference.classification import classify
from langcell.training.fine_tuning.finetuning import finetune
from langcell.training.fine_tuning.held_out import HeldOutGain, choose_held_out

OPTIONS = {"label_column": "type", "device": "cpu", "progress": False, "learning_rate": 0.01, "strength": 1.0}


@pytest.fixture(scope="module")
def base(tiny_model_dir):
    return langcell.load(tiny_model_dir, device="cpu")


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        pytest.param([0, 0, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1], ": it helped.", id="better"),
        pytest.param([1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1, 1], "names got worse", id="worse"),
        pytest.param([0, 1, 0, 1, 0, 1, 1, 1], [1, 0, 0, 1, 0, 1, 1, 1], "no difference beyond chance", id="chance"),
    ],
)
def test_a_difference_within_its_error_is_called_chance(before, after, verdict):
    gain = HeldOutGain.of(np.array(before, bool), np.array(after, bool), refined=False)
    assert verdict in gain.sentence()
    difference = np.array(after) - np.array(before)
    assert gain.error == pytest.approx(difference.std(ddof=1) / np.sqrt(8))
    assert "each cell alone" in gain.sentence()


def test_cells_to_compare_on_were_not_learned_from():
    truth = np.array([0, 1, -1, 0, 1, 0, 1, -1])
    assert choose_held_out(truth, np.array([0, 1]), most=10, seed=0).tolist() == [3, 4, 5, 6]
    few = choose_held_out(truth, np.array([0, 1]), most=2, seed=0)
    assert len(few) == 2
    assert set(few.tolist()) < {3, 4, 5, 6}
    assert few.tolist() == choose_held_out(truth, np.array([0, 1]), most=2, seed=0).tolist()


@pytest.mark.parametrize(
    ("n_of_type", "refined"), [pytest.param(12, False, id="few"), pytest.param(42, True, id="many")]
)
def test_base_and_tuned_model_name_the_same_cells_in_the_same_way(base, caplog, n_of_type, refined):
    cells = labelled_cells(n_of_type)
    with caplog.at_level(logging.INFO, logger="langcell"):
        tuned = finetune(cells, model=base, shots=8, steps=60, **OPTIONS)
    gain = tuned.gain
    assert gain is not None
    assert gain.refined is refined
    assert gain.cells == len(cells) - 8 * len(TYPES)
    assert gain.sentence() in caplog.text
    assert "Training takes about" in caplog.text
    assert tuned.config.fine_tuning["held_out"]["gain"] == gain.gain
    rest = cells[np.setdiff1d(np.arange(len(cells)), tuned.train_rows)].copy()
    for model, share in ((base, gain.before), (tuned.model, gain.after)):
        langcell.annotate(rest, tuned.labels, model=model, rerank="full", progress=False)
        assert (rest.obs["langcell_label"].astype(str) == rest.obs["type"]).mean() == pytest.approx(share)
    assert gain.after > gain.before


def test_where_no_cell_is_left_it_is_said(base, caplog):
    with caplog.at_level(logging.INFO, logger="langcell"):
        tuned = finetune(labelled_cells(3), model=base, steps=1, **OPTIONS)
    assert tuned.gain is None
    assert "0 labelled cells are left, and 10 are needed" in caplog.text


def test_cells_that_chose_when_to_stop_are_said_to_have(base):
    tuned = finetune(labelled_cells(20), model=base, steps=2, validation_share=0.2, **OPTIONS)
    assert tuned.gain is not None
    assert tuned.gain.cells == len(tuned.validation_rows)
    assert "these cells also chose when to stop" in tuned.gain.sentence()


def test_a_classification_head_is_compared_with_the_words_of_the_labels(base, caplog):
    cells = labelled_cells(12)
    with caplog.at_level(logging.INFO, logger="langcell"):
        tuned = finetune(cells, model=base, task="classification", shots=8, steps=60, **OPTIONS)
    gain = tuned.gain
    assert gain is not None
    assert gain.cells == len(cells) - 8 * len(TYPES)
    assert "each cell alone, before by the words of the labels" in gain.sentence()
    assert gain.sentence() in caplog.text
    assert tuned.config.fine_tuning["held_out"]["by_head"] is True
    rest = cells[np.setdiff1d(np.arange(len(cells)), tuned.train_rows)].copy()
    langcell.annotate(rest, list(TYPES), model=base, rerank="full", progress=False)
    before = (rest.obs["langcell_label"].astype(str) == rest.obs["type"]).mean()
    classify(rest, model=tuned.named_by, progress=False)
    after = (rest.obs["langcell_label"].astype(str) == rest.obs["type"]).mean()
    assert (gain.before, gain.after) == (pytest.approx(before), pytest.approx(after))
    assert gain.after > gain.before


def test_classes_that_share_a_text_keep_their_names(base):
    cells = labelled_cells(12)
    cells.obs["type"] = cells.obs["type"].replace({"T cell": "NK", "monocyte": "NK cell"})
    tuned = finetune(cells, model=base, task="classification", shots=8, steps=2, **OPTIONS)
    assert tuned.gain is not None
    assert [label.text for label in tuned.labels] == ["B cell", "NK", "NK cell"]
