"""A weight that a folder lacks is drawn, set or missed aloud; it is never what happened to stand in memory."""

import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_config, tiny_model

from langcell.modeling_langcell import LangCellForCellClassification, LangCellForPreTraining, LangCellModel
from langcell.training.settings.sections import ModelSection
from langcell.training.stage.model_options import load_start_model


@pytest.fixture
def nan_memory():
    """Memory that torch hands out is filled: NaN, or the greatest whole number."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def without(prefix, to):
    """The tiny model's folder without the weights of that prefix."""
    tiny_model().save_pretrained(to)
    weights = load_file(to / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(prefix)}
    assert len(kept) < len(weights)
    save_file(kept, to / "model.safetensors", metadata={"format": "pt"})
    return to


def all_tensors(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def test_the_masked_gene_head_of_a_folder_without_one(tmp_path, nan_memory, batch):
    LangCellModel.from_pretrained(without("masked_gene_head.", tmp_path))
    model = LangCellForPreTraining.from_pretrained(tmp_path).eval()
    assert not model.masked_gene_head.bias.any()
    labels = torch.where(batch["cell_attention_mask"] == 1, batch["cell_input_ids"], -100)
    # As far from knowing as a guess among all genes.
    assert abs(model(**batch, labels=labels).loss.item() - torch.tensor(43.0).log()) < 1


@pytest.mark.parametrize("model_class", [LangCellModel, LangCellForPreTraining, LangCellForCellClassification])
def test_no_parameter_and_no_buffer_is_memory(tmp_path, nan_memory, model_class):
    """Of a folder that lacks all weights."""
    config = tiny_config()
    config.save_pretrained(tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model, report = model_class.from_pretrained(tmp_path, output_loading_info=True)
    tensors = all_tensors(model)
    assert set(report["missing_keys"]) == set(model.state_dict())
    for name, tensor in tensors.items():
        assert tensor.isfinite().all(), name
        assert tensor.abs().max() < 100, name  # the greatest whole number would be the sign of a buffer


@pytest.mark.parametrize("name", ["match_head.bias", "cell_encoder.embeddings.LayerNorm.weight", "text_projection."])
def test_one_missing_weight_is_set_beside_those_that_are_there(tmp_path, nan_memory, name):
    model = LangCellForPreTraining.from_pretrained(without(name, tmp_path))
    for weight, expected in zip(model.state_dict().items(), tiny_model().state_dict().items(), strict=True):
        assert weight[1].isfinite().all()
        assert torch.equal(weight[1], expected[1]) != weight[0].startswith(name), weight[0]


def test_a_run_that_starts_with_a_new_head_says_so(tmp_path, caplog, nan_memory):
    with caplog.at_level(logging.WARNING, "langcell"):
        model = load_start_model(ModelSection(path=str(without("masked_gene_head.", tmp_path))))
    assert "has no masked-gene head (5 weights, such as masked_gene_head.LayerNorm.bias)" in caplog.text
    assert "the run starts with a new one" in caplog.text
    assert all(tensor.isfinite().all() and tensor.abs().max() < 100 for tensor in all_tensors(model).values())
    assert not model.masked_gene_head.bias.any()


def test_a_run_does_not_start_without_other_weights(tmp_path):
    folder = without("text_projection.", tmp_path)
    with pytest.raises(ValueError, match=r"lacks 2 weights, such as text_projection\.bias; download or convert it"):
        load_start_model(ModelSection(path=str(folder)))
