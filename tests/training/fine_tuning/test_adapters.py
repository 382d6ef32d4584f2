import json
import re

import pytest
import tiny
import torch
from peft import PeftModel
from safetensors.torch import load_file

from langcell.loading.adapter_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_tensors, quiet_peft
from langcell.modeling_langcell import LangCellForCellClassification, LangCellModel
from langcell.training.fine_tuning.adapters import HEADS, TARGETS, Adapter, count_trainable, mark_trainable
from langcell.training.fine_tuning.options import TuningOptions


def model_for(task):
    torch.manual_seed(0)
    config = tiny.tiny_config()
    return (LangCellModel if task == "text" else LangCellForCellClassification)(config).eval()


@pytest.mark.parametrize("task", ["text", "classification"])
def test_targets_are_linear_layers_of_the_encoders_that_the_task_uses(task):
    model = model_for(task)
    hit = {name: module for name, module in model.named_modules() if re.fullmatch(TARGETS[task], name)}
    assert all(isinstance(module, torch.nn.Linear) for module in hit.values())
    cell = tiny.tiny_config().cell_config.num_hidden_layers
    # Query, key, value, output, and the two of the feed-forward; cross-attention stands in 2 of 3 text layers.
    assert sum(name.startswith("cell_encoder.") for name in hit) == 6 * cell
    text = {name for name in hit if name.startswith("text_encoder.")}
    assert len(text) == (2 * 4 if task == "text" else 0)
    assert all(".crossattention." in name for name in text)


@pytest.mark.parametrize("task", ["text", "classification"])
@pytest.mark.parametrize("method", ["full", "head"])
def test_full_and_head_mark_weights_and_wrap_nothing(task, method):
    model = model_for(task)
    assert mark_trainable(model, TuningOptions(method=method, task=task), base="tiny") is None
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    if method == "full":
        assert trained == {name for name, _ in model.named_parameters()}
    else:
        assert {name.partition(".")[0] for name in trained} == set(HEADS[task])
    assert count_trainable(model) == sum(weight.numel() for name, weight in model.named_parameters() if name in trained)


def trained_adapter(model, folder, *, task="text", seed=0):
    """An adapter with drawn weights, written into a folder, and its tensors."""
    options = TuningOptions(task=task, lora_rank=2, lora_alpha=3, lora_dropout=0.1)
    wrapped = mark_trainable(model, options, base="org/base")
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in wrapped.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight), alpha=0.3)
    adapter = Adapter.taken_from(wrapped)
    folder.mkdir()
    adapter.write(folder)
    return adapter, wrapped


def test_options_and_base_stand_in_the_files_and_nothing_of_this_machine_does(tmp_path):
    adapter, _ = trained_adapter(model_for("text"), tmp_path / "a")
    config = json.loads((tmp_path / "a" / ADAPTER_CONFIG).read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (2, 3, 0.1)
    assert config["base_model_name_or_path"] == "org/base"
    assert sorted(config["modules_to_save"]) == sorted(HEADS["text"])
    assert config["target_modules"] == TARGETS["text"]
    assert config["inference_mode"] is True
    stored = load_file(tmp_path / "a" / ADAPTER_WEIGHTS)
    assert stored.keys() == adapter.tensors.keys()
    for encoder in ("cell_encoder", "text_encoder"):
        assert any(encoder in name and "lora_B" in name for name in stored)


@pytest.mark.parametrize("task", ["text", "classification"])
def test_heads_are_trained_and_no_module_whose_name_ends_alike(task):
    # peft takes every module whose name ends with one of `modules_to_save`.
    model = model_for(task)
    names = [name for name, _ in model.named_modules() if name.endswith(HEADS[task])]
    assert sorted(names) == sorted(HEADS[task])
    wrapped = mark_trainable(model, TuningOptions(task=task), base="org/base")
    whole = {
        name.split(".")[2]
        for name, weight in wrapped.named_parameters()
        if weight.requires_grad and "lora_" not in name
    }
    assert whole == set(HEADS[task])


def test_a_wrapped_model_that_is_called_by_place_reads_cells(batch):
    # With a task_type, peft's wrapper calls its first argument input_ids: genes would be read as words.
    wrapped = mark_trainable(model_for("text"), TuningOptions(), base="org/base")
    assert wrapped.peft_config["default"].task_type is None
    with torch.no_grad():
        found = wrapped(batch["cell_input_ids"], batch["cell_attention_mask"])
    assert found.cell_embeds is not None
    assert found.text_embeds is None


@pytest.mark.parametrize("base", ["langcell-mini", "my-folder", "org/base+adapter"])
def test_a_base_that_is_not_on_the_hub_is_not_named_as_if_it_were(base):
    wrapped = mark_trainable(model_for("text"), TuningOptions(), base=base)
    assert wrapped is not None
    assert wrapped.peft_config["default"].base_model_name_or_path is None


@pytest.mark.parametrize("task", ["text", "classification"])
def test_peft_loads_it_onto_the_base(tmp_path, task, batch):
    cells = {name: batch[name] for name in ("cell_input_ids", "cell_attention_mask")}
    inputs = {**batch, "return_match_logits": True} if task == "text" else cells
    fresh = model_for(task)
    _, wrapped = trained_adapter(model_for(task), tmp_path / "a", task=task)
    wrapped.eval()
    with quiet_peft():
        loaded = PeftModel.from_pretrained(fresh, str(tmp_path / "a"))
    with torch.no_grad():
        expected, found, before = wrapped(**inputs), loaded(**inputs), model_for(task)(**inputs)
    outputs = ("cell_embeds", "text_embeds", "match_logits") if task == "text" else ("logits",)
    for name in outputs:
        torch.testing.assert_close(found[name], expected[name])
        assert not torch.allclose(found[name], before[name])
    assert adapter_tensors(loaded).keys() == adapter_tensors(wrapped).keys()


def test_several_adapters_on_one_base(tmp_path, batch):
    expected = {}
    for name, seed in (("one", 1), ("two", 2)):
        _, wrapped = trained_adapter(model_for("text"), tmp_path / name, seed=seed)
        with torch.no_grad():
            expected[name] = wrapped.eval()(**batch, return_match_logits=True)
    with quiet_peft():
        model = PeftModel.from_pretrained(model_for("text"), str(tmp_path / "one"), adapter_name="one")
        model.load_adapter(str(tmp_path / "two"), adapter_name="two")
    for name in ("two", "one", "two"):
        model.set_adapter(name)
        with torch.no_grad():
            found = model.eval()(**batch, return_match_logits=True)
        torch.testing.assert_close(found.logits_per_cell, expected[name].logits_per_cell)
        torch.testing.assert_close(found.match_logits, expected[name].match_logits)
    with torch.no_grad(), model.disable_adapter():
        torch.testing.assert_close(model(**batch).cell_embeds, model_for("text")(**batch).cell_embeds)
