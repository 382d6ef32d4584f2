"""Cards filled from the JSON of real small runs."""

import json
import shutil

import pytest
import tiny_shards
from conversion_facts import CONVERSION_FACTS
from huggingface_hub import DatasetCard, EvalResult, ModelCard, SpaceCard
from tiny_labelled import labelled_cells

from langcell.hub_cards.cards.folder_cards import CardOptions, count_parameters, write_card
from langcell.hub_cards.cards.measurements import Measurement
from langcell.hub_cards.cards.repository_kinds import ADAPTER, MODEL, SHARDS, SPACE
from langcell.training.fine_tuning.finetuning import finetune

MEASURED = Measurement("zero-shot on a", [EvalResult("x", "h5ad", "a", "accuracy", 0.5)], "| method |", "| type |")
PROVENANCE = {
    "step": 1200,
    "git": {"revision": "abc123", "changed": False},
    "data": [
        {"path": "/data/shards/blood", "weight": 0.7, "cells": 4896, "manifest_sha256": "c0ffee"},
        {"path": "org/cells", "weight": 0.3, "cells": 10, "manifest_sha256": "beef"},
    ],
    "libraries": {"torch": "2.13.0"},
}


@pytest.fixture
def model(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir, tmp_path / "mine")


def test_a_pretrained_models_card_says_what_its_files_know(model):
    (model / "provenance.json").write_text(json.dumps(PROVENANCE))
    options = CardOptions(license_id="mit", measurements=[MEASURED], limits=["Blood only."], base_model=["org/base"])
    card = ModelCard.load(write_card(model, "org/tiny", MODEL, options))
    for text in (
        "# tiny\n", "a cell encoder of 2 layers of 16 and a text encoder of 3 layers of 24, 0.0 million",
        "- blood: 4,896 cells, weight 0.7, manifest sha256 `c0ffee`", "- org/cells: 10 cells", "1,200 steps",
        "revision `abc123`.", "torch 2.13.0", "### zero-shot on a", "- Blood only.", 'from_pretrained("org/tiny"',
    ):  # fmt: skip
        assert text in card.text, text
    assert "/data/" not in card.text
    assert (card.data.license, card.data.base_model) == ("mit", ["org/base"])
    assert card.data.eval_results[0].metric_value == 0.5


def test_without_facts_sections_are_left_out(model):
    card = ModelCard.load(write_card(model, "org/tiny", MODEL, CardOptions()))
    for heading in ("## Training data", "## How it was made", "## Results", "## Licence"):
        assert heading not in card.text
    assert card.data.license is None


def test_parameters_are_counted_from_the_header(model):
    from tiny import tiny_model

    assert count_parameters(model) == sum(weight.numel() for weight in tiny_model().state_dict().values())


def test_an_adapters_card_is_filled_again_with_its_history(tiny_model_dir, tmp_path):
    folder = tmp_path / "blood"
    options = {"label_column": "type", "model": tiny_model_dir, "steps": 2, "device": "cpu", "progress": False}
    finetune(labelled_cells(4), output=folder, **options)
    first = ModelCard.load(folder / "README.md")
    card = ModelCard.load(
        write_card(folder, "org/blood", ADAPTER, CardOptions(license_id="mit", base_model=["org/langcell-tiny"]))
    )
    assert card.data.base_model == "org/langcell-tiny"
    assert "--model org/langcell-tiny --adapter org/blood" in card.text
    history = first.text[first.text.index("| step |") : first.text.index("## Limits")].strip()
    assert history in card.text


def test_shards_and_a_space_have_cards_of_their_own(tmp_path):
    shards = tiny_shards.write_tiny_shards(tmp_path / "shards", n_cells=20)
    card = DatasetCard.load(write_card(shards, "org/cells", SHARDS, CardOptions(license_id="mit")))
    assert card.data.configs[0]["config_name"] == "cells"
    (tmp_path / "requirements.txt").write_text("langcell\ngradio==6.1.0\n")
    space = SpaceCard.load(write_card(tmp_path, "org/space", SPACE, CardOptions(models=["org/mini"])))
    assert (space.data.sdk_version, space.data.models) == ("6.1.0", ["org/mini"])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        pytest.param(MODEL, CardOptions(models=["a/b"]), "of a model has no place for models", id="model"),
        pytest.param(SHARDS, CardOptions(data="x", limits=["y"]), "has no place for data, limits", id="shards"),
        pytest.param(SPACE, CardOptions(measurements=[MEASURED]), "no place for measurements; it takes", id="space"),
    ],
)
def test_an_option_without_a_place_is_refused(model, kind, options, message):
    with pytest.raises(ValueError, match=message):
        write_card(model, "org/a", kind, options)
    assert not (model / "README.md").exists()


def test_a_converted_checkpoint_says_the_rest_itself(model):
    (model / "conversion.json").write_text(json.dumps(CONVERSION_FACTS))
    card = ModelCard.load(write_card(model, "org/released", MODEL, CardOptions(measurements=[MEASURED])))
    assert card.data.license == "mit"
    assert "27.5 million" in card.text
    with pytest.raises(ValueError, match="converted checkpoint"):
        write_card(model, "org/released", MODEL, CardOptions(license_id="apache-2.0"))
    (model / "conversion.json").write_text("{")
    with pytest.raises(ValueError, match=r"conversion\.json is damaged"):
        write_card(model, "org/released", MODEL, CardOptions())
