import re
from types import SimpleNamespace

import pytest

import langcell
from langcell.inference.naming.fine_tuned_labels import config_of, fine_tuned_labels, note_on_others, own_labels
from langcell.processing.labels.lookup import Label

TAUGHT = [
    {"name": "B", "text": "cell type: b cell; ", "ontology_term_id": "CL:0000236", "cells": 5},
    {"name": "odd", "text": "odd cells", "ontology_term_id": None, "cells": 5},
]
TUNED = SimpleNamespace(fine_tuning={"task": "text", "labels": TAUGHT})
LABELS = [Label("B", "cell type: b cell; ", "CL:0000236", "given"), Label("odd", "odd cells", None, "given")]


def test_labels_come_with_their_texts_in_the_order_of_the_training():
    assert fine_tuned_labels(TUNED) == own_labels(TUNED) == LABELS


CLASSIFIER = SimpleNamespace(fine_tuning={"task": "classification", "labels": TAUGHT})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(SimpleNamespace(), "There are no labels; give them", id="pre-trained"),
        pytest.param(SimpleNamespace(fine_tuning=None), "There are no labels; give them", id="no facts"),
        pytest.param(CLASSIFIER, "for classes, not for texts; langcell classify takes it", id="classifier"),
    ],
)
def test_other_models_have_none(config, message):
    assert fine_tuned_labels(config) == []
    assert note_on_others([Label("x", "x")], config) is None
    with pytest.raises(ValueError, match=message):
        own_labels(config)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param(LABELS, None, id="its own"),
        pytest.param([Label("mine", "Odd  cells"), LABELS[0]], None, id="other names of its texts"),
        pytest.param(LABELS[:1], None, id="some of its own"),
        pytest.param([Label("B", "mine"), LABELS[1]], "1 of the 2 given are others, .* alone: B. Without", id="text"),
        pytest.param([Label(n, n) for n in "abcdefg"], "7 of the 7 .* alone: a, b, c, d, e, .... Without", id="many"),
    ],
)
def test_labels_that_it_was_not_taught_are_told(labels, said):
    note = note_on_others(labels, TUNED)
    if said is None:
        assert note is None
        return
    assert note is not None
    assert note.startswith("The model was fine-tuned on 2 labels; ")
    assert "\n" not in note
    assert re.search(said, note)


def test_the_configuration_is_found_without_weights(tiny_model_dir):
    assert config_of(tiny_model_dir).projection_dim == 8
    loaded = langcell.load(tiny_model_dir, device="cpu")
    assert config_of(loaded) is loaded.config
    assert config_of(None).training_cell_types
