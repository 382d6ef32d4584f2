import pytest
import tiny
import torch
from tiny_labelled import labelled_cells
from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor

import langcell
from langcell.inference.classification import load_classifier
from langcell.training.fine_tuning.finetuning import finetune
from langcell.training.fine_tuning.merging import merge_adapter


@pytest.fixture(scope="module", params=["text", "classification"])
def merged(request, tiny_model_dir, tmp_path_factory):
    """Task, adapter and merged folder."""
    folder, task = tmp_path_factory.mktemp("merging"), request.param
    finetune(
        labelled_cells(4), label_column="type", model=tiny_model_dir, task=task, steps=3, learning_rate=0.05,
        device="cpu", progress=False, output=folder / "adapter",
    )  # fmt: skip
    merge_adapter(tiny_model_dir, folder / "adapter", folder / "merged")
    return task, folder / "adapter", folder / "merged"


def test_the_merged_folder_is_base_and_adapter(merged, tiny_model_dir):
    task, adapter, folder = merged
    load = langcell.load if task == "text" else load_classifier
    expected = load(tiny_model_dir, adapter=adapter, device="cpu").model
    found = load(folder, device="cpu").model
    base = tiny.tiny_model().state_dict()
    changed = 0
    for name, weight in found.state_dict().items():
        assert torch.equal(weight, expected.state_dict()[name])
        changed += name in base and not torch.equal(weight, base[name])
    assert changed > 10
    assert found.config.id2label == {0: "B cell", 1: "T cell", 2: "monocyte"}


def test_it_is_a_complete_hub_folder(merged):
    task, _, folder = merged
    auto_class = AutoModel if task == "text" else AutoModelForSequenceClassification
    _, report = auto_class.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert AutoProcessor.from_pretrained(folder).feature_extractor.vocabulary.fingerprint
    files = {path.name for path in folder.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "modeling_langcell.py", "processing_langcell.py"} <= files
    assert not any("adapter" in name for name in files)
    card = (folder / "README.md").read_text()
    assert "--adapter" not in card
    assert "library_name: transformers" in card


def test_another_base_is_refused_and_nothing_is_written(merged, tmp_path):
    _, adapter, _ = merged
    other = tiny.save_tiny_folder(tmp_path / "other")
    tiny.tiny_model(seed=1).save_pretrained(other)
    with pytest.raises(ValueError, match="has the weights"):
        merge_adapter(other, adapter, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_file_is_not_replaced_by_a_folder(merged, tiny_model_dir, tmp_path):
    (tmp_path / "merged").write_text("mine")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        merge_adapter(tiny_model_dir, merged[1], tmp_path / "merged")
