import pytest
from huggingface_hub import EvalResult

from langcell.hub_cards.adapter_cards import fine_tuned_card
from langcell.hub_cards.measurements import Measurement

ACCURACY = EvalResult("zero-shot-classification", "h5ad", "blood", "accuracy", 0.7)

FACTS = {
    "task": "text", "method": "lora", "data": "blood.h5ad", "label_column": "type", "cells": 10, "validation_cells": 2,
    "base": {"model_id": "org/base", "revision": "abc", "weights": "0123456789ab", "vocabulary_fingerprint": "f" * 64},
    "labels": [
        {"name": "B cell", "text": "cell type: b cell;", "ontology_term_id": "CL:0000236", "cells": 5},
        {"name": "odd | cells", "text": "odd cells", "ontology_term_id": None, "cells": 5},
    ],
    "shots": 6, "seed": 0, "steps": 100, "batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.01,
    "gene_dropout": 0.5, "balance": "sampling", "patience": 5, "lora_rank": 8, "lora_alpha": 16, "lora_dropout": 0.0,
    "langcell_version": "0.1.0",
}  # fmt: skip
HISTORY = [{"step": 5, "loss": 1.23456, "validation_loss": 1.5, "validation_accuracy": 0.75}]


def test_an_adapters_card_names_base_types_and_options():
    card = fine_tuned_card("org/adapter", FACTS, is_adapter=True, history=HISTORY)
    assert card.data.library_name == "peft"
    assert (card.data.base_model, card.data.base_model_relation) == ("org/base", "adapter")
    assert "| 0 | B cell | CL:0000236 | 5 |" in card.text
    assert "| 1 | odd \\| cells |  | 5 |" in card.text
    assert "| lora_rank | 8 |" in card.text
    assert "| 5 | 1.235 | 1.5 | 0.75 |" in card.text
    assert "It chose the step" in card.text
    assert "--model org/base --adapter org/adapter" in card.text
    assert 'PeftModel.from_pretrained(base, "org/adapter")' in card.text


def test_a_merged_model_needs_no_base():
    card = fine_tuned_card("org/merged", {**FACTS, "task": "classification"}, is_adapter=False)
    assert card.data.library_name == "transformers"
    assert card.data.base_model_relation == "finetune"
    assert "peft" not in card.text
    assert "langcell classify cells.h5ad -o named.h5ad --model org/merged" in card.text
    assert "AutoModelForSequenceClassification" in card.text


def test_licence_results_and_base_are_what_was_given():
    measured = Measurement("zero-shot on blood", [ACCURACY], "| method |", "| type |")
    base = {**FACTS["base"], "model_id": "langcell-mini"}
    card = fine_tuned_card(
        "org/a", {**FACTS, "base": base}, is_adapter=True, measurements=[measured], license_id="mit",
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
    base = {**FACTS["base"], "model_id": model_id}
    card = fine_tuned_card("a", {**FACTS, "base": base, "method": "full"}, is_adapter=False)
    assert card.data.base_model is None
    assert "lora_rank" not in card.text
