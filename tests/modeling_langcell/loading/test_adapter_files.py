import json
import shutil

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tiny_labelled import labelled_cells

import langcell
from langcell.loading.adapter_files import ADAPTER_WEIGHTS, find_adapter
from langcell.training.fine_tuning.finetuning import finetune


@pytest.fixture(scope="module")
def trained(tiny_model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter") / "blood"
    finetune(
        labelled_cells(4), label_column="type", model=tiny_model_dir, steps=2, device="cpu", progress=False,
        output=folder,
    )  # fmt: skip
    return folder


@pytest.fixture
def adapter(trained, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(trained, tmp_path / "blood")


@pytest.fixture
def other_base(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir, tmp_path / "other-base")


def test_load_names_both(tiny_model_dir, trained):
    base = langcell.load(tiny_model_dir, device="cpu")
    loaded = langcell.load(tiny_model_dir, adapter=trained, device="cpu")
    revision = find_adapter(trained).revision
    assert loaded.model_id == "langcell-tiny+blood"
    assert loaded.revision == f"{base.revision}+{revision}"
    assert loaded.weights == f"{base.weights}+{revision}"
    assert not loaded.model.training


def test_dtype_is_that_of_the_merged_model(tiny_model_dir, trained):
    exact = langcell.load(tiny_model_dir, adapter=trained, device="cpu").model.state_dict()
    rounded = langcell.load(tiny_model_dir, adapter=trained, device="cpu", dtype="bfloat16").model.state_dict()
    assert all(torch.equal(weight.bfloat16(), rounded[name]) for name, weight in exact.items())


def test_a_base_with_other_weights_is_refused(adapter, other_base):
    tiny.tiny_model(seed=1).save_pretrained(other_base)
    with pytest.raises(
        ValueError, match=r"was trained on the weights \w{12} of langcell-tiny; other-base has the weights"
    ):
        langcell.load(other_base, adapter=adapter, device="cpu")


def test_a_base_with_another_vocabulary_is_refused(adapter, tiny_model_dir):
    config = json.loads((adapter / "config.json").read_text())
    config["vocabulary_fingerprint"] = "0" * 64
    (adapter / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"the adapter blood.*the model langcell-tiny"):
        langcell.load(tiny_model_dir, adapter=adapter, device="cpu")


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors", "config.json"])
def test_a_missing_file_is_named(adapter, tiny_model_dir, file):
    (adapter / file).unlink()
    with pytest.raises(ValueError, match=f"is not a complete adapter: {file} missing"):
        langcell.load(tiny_model_dir, adapter=adapter, device="cpu")


def test_an_adapter_of_others_is_refused(adapter, tiny_model_dir):
    config = json.loads((adapter / "config.json").read_text())
    del config["fine_tuning"]
    (adapter / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="does not say what it was trained on"):
        langcell.load(tiny_model_dir, adapter=adapter, device="cpu")


def test_an_adapter_with_missing_weights_is_refused(adapter, tiny_model_dir):
    tensors = load_file(adapter / ADAPTER_WEIGHTS)
    del tensors[min(name for name in tensors if "lora_A" in name)]
    save_file(tensors, adapter / ADAPTER_WEIGHTS)
    with pytest.raises(ValueError, match=r"blood (lacks 1 weights|cannot be loaded)"):
        langcell.load(tiny_model_dir, adapter=adapter, device="cpu")


def test_a_damaged_adapter_is_refused_by_name(adapter, tiny_model_dir):
    (adapter / ADAPTER_WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="The adapter blood cannot be loaded"):
        langcell.load(tiny_model_dir, adapter=adapter, device="cpu")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param("/absent/adapter", "/absent/adapter is no folder; give the folder of the adapter", id="no folder"),
        pytest.param("org/absent", "neither a folder here nor can it be downloaded from the Hub", id="no network"),
    ],
)
def test_no_such_adapter(tiny_model_dir, place, message):
    with pytest.raises(ValueError, match=message):
        langcell.load(tiny_model_dir, adapter=place, device="cpu")


def test_a_classification_adapter_is_sent_to_its_command(tiny_model_dir, tmp_path):
    finetune(
        labelled_cells(4), label_column="type", model=tiny_model_dir, steps=1, device="cpu", progress=False,
        output=tmp_path / "classes", task="classification",
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"for the task 'classification'; `langcell classify --adapter` takes it"):
        langcell.load(tiny_model_dir, adapter=tmp_path / "classes", device="cpu")
