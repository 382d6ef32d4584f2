import re
from pathlib import Path
from typing import Any

import pytest
from card_facts import FINE_TUNED
from huggingface_hub import EvalResult

from langcell.hub_cards.cards.adapter_cards import fine_tuned_card
from langcell.hub_cards.cards.measurements import Measurement
from langcell.loading.adapter_files import quiet_peft
from langcell.loading.model_kinds import quiet_loading
from langcell.sample_data import sample_cells
from langcell.training.fine_tuning.finetuning import finetune

ACCURACY = EvalResult("zero-shot-classification", "h5ad", "blood", "accuracy", 0.7)
HISTORY = [{"step": 5, "loss": 1.23456, "validation_loss": 1.5, "validation_accuracy": 0.75}]


def test_an_adapters_card_names_base_types_and_options():
    card = fine_tuned_card("org/adapter", FINE_TUNED, is_adapter=True, history=HISTORY)
    assert card.data.library_name == "peft"
    assert (card.data.base_model, card.data.base_model_relation) == ("org/base", "adapter")
    assert "| 0 | B cell | CL:0000236 | 5 |" in card.text
    assert "| 1 | odd \\| cells |  | 5 |" in card.text
    assert "| lora_rank | 8 |" in card.text
    assert "| strength | 0.5 |" in card.text
    assert "| reference | True |" in card.text
    assert (
        "strength"
        not in fine_tuned_card("a", {k: v for k, v in FINE_TUNED.items() if k != "strength"}, is_adapter=True).text
    )
    assert "| 5 | 1.235 | 1.5 | 0.75 |" in card.text
    assert "It chose the step" in card.text
    assert "--model org/base --adapter org/adapter" in card.text
    assert 'langcell.load("org/base", adapter="org/adapter")' in card.text
    assert 'base = "org/base"\n' in card.text
    assert 'PeftModel.from_pretrained(model, "org/adapter")' in card.text
    assert "refuse a base with another gene vocabulary or other weights (sha256 `0123456789ab...`)" in card.text
    assert "peft compares names and shapes of weights alone" in card.text


def test_a_merged_model_needs_no_base():
    card = fine_tuned_card("org/merged", {**FINE_TUNED, "task": "classification"}, is_adapter=False)
    assert card.data.library_name == "transformers"
    assert card.data.base_model_relation == "finetune"
    assert "peft" not in card.text
    assert "langcell classify cells.h5ad -o named.h5ad --model org/merged" in card.text
    assert "AutoModelForSequenceClassification" in card.text


def test_licence_results_and_base_are_what_was_given():
    measured = Measurement("zero-shot on blood", [ACCURACY], "| method |", "| type |")
    base = {**FINE_TUNED["base"], "model_id": "langcell-mini"}
    card = fine_tuned_card(
        "org/a", {**FINE_TUNED, "base": base}, is_adapter=True, measurements=[measured], license_id="mit",
        base_model="org/mini", limits=["One donor."], data="Blood of one donor.",
    )  # fmt: skip
    data = card.data.to_dict()
    assert (data["license"], data["base_model"], data["pipeline_tag"]) == (
        "mit",
        "org/mini",
        "zero-shot-classification",
    )
    assert data["model-index"][0]["name"] == "org/mini, fine-tuned on blood.h5ad"
    for text in ("### zero-shot on blood", "| type |", "- One donor.", "Blood of one donor.", "--model org/mini"):
        assert text in card.text, text


@pytest.mark.parametrize("model_id", ["langcell-mini", "org/base+first"])
def test_a_base_that_is_not_on_the_hub_is_no_metadata(model_id):
    base = {**FINE_TUNED["base"], "model_id": model_id}
    card = fine_tuned_card("a", {**FINE_TUNED, "base": base, "method": "full"}, is_adapter=False)
    assert card.data.base_model is None
    assert "lora_rank" not in card.text


def with_base(model_id: str, **more: Any) -> dict[str, Any]:
    return {**FINE_TUNED, **more, "base": {**FINE_TUNED["base"], "model_id": model_id}}


def test_the_bundled_base_is_named_so_that_the_commands_run():
    card = fine_tuned_card("a", with_base("langcell-mini"), is_adapter=True)
    assert "\nlangcell annotate cells.h5ad -o named.h5ad --adapter a    # by the types below\n" in card.text
    assert "\nlangcell merge langcell-mini a -o MERGED\n" in card.text
    assert 'langcell.load(adapter="a")' in card.text
    assert "base = bundled_model_folder()" in card.text
    assert '"langcell-mini"' not in card.text  # which is no id that anything could load
    assert card.data.base_model is None


@pytest.mark.parametrize("task", ["text", "classification"])
def test_a_base_that_was_a_folder_is_a_path_to_fill_in(task):
    card = fine_tuned_card("a", with_base("mine", task=task), is_adapter=True)
    assert "The base is the folder mine; `path/to/` stands for where yours is." in card.text
    assert "--model path/to/mine --adapter a" in card.text
    assert "langcell merge path/to/mine a -o MERGED" in card.text
    assert '("path/to/mine", adapter="a")' in card.text
    assert 'base = "path/to/mine"\n' in card.text


def test_types_of_a_single_cell_are_among_the_limits():
    labels = [{**FINE_TUNED["labels"][0], "cells": 1}, FINE_TUNED["labels"][1]]
    card = fine_tuned_card("a", {**FINE_TUNED, "labels": labels}, is_adapter=True)
    assert "- It saw a single cell of each of these types: B cell." in card.text
    assert "single cell of" not in fine_tuned_card("a", FINE_TUNED, is_adapter=True).text


def test_what_held_out_cells_say_is_on_the_card():
    gain = {
        "cells": 300,
        "before": 0.85,
        "after": 0.88,
        "gain": 0.03,
        "error": 0.01,
        "refined": True,
        "chose_the_step": False,
    }
    facts = {**FINE_TUNED, "validation_cells": 0, "held_out": gain}
    text = fine_tuned_card("a", facts, is_adapter=True).text
    assert "300 cells of the same data set, refined: 0.850 right before, 0.880 after, +0.030 ± 0.010." in text
    assert "It did not learn from them." in text
    assert "No cells were held out" not in text


@pytest.mark.parametrize("task", ["text", "classification"])
def test_the_python_of_a_card_runs(tmp_path, monkeypatch, task):
    monkeypatch.chdir(tmp_path)
    options = {"label_column": "bulk_labels", "shots": 1, "steps": 1, "device": "cpu", "progress": False, "held_out": 0}
    finetune(sample_cells(), task=task, output="my-adapter", **options)
    blocks = re.findall(r"```python\n(.*?)```", Path("my-adapter/README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        with quiet_peft(), quiet_loading():
            exec(block, {})
