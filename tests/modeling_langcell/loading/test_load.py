import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_config, tiny_model, tiny_vocabulary

import langcell
from langcell.loading.load import as_dtype, bundled_model_folder, choose_device, load, weights_digest
from langcell.modeling_langcell import LangCellForCellClassification, LangCellModel
from langcell.processing.genes import VOCABULARY_FILE
from langcell.processing.processing_langcell import LangCellProcessor


@pytest.fixture
def folder(tiny_model_dir, tmp_path):
    """A copy of the tiny Hub folder that a test may damage."""
    return shutil.copytree(tiny_model_dir, tmp_path / "my-model")


def test_load(tiny_model_dir, batch):
    loaded = langcell.load(tiny_model_dir, device="cpu")
    assert type(loaded.model) is LangCellModel
    assert isinstance(loaded.processor, LangCellProcessor)
    assert not loaded.model.training
    assert loaded.config is loaded.model.config
    assert loaded.model_id == "langcell-tiny"
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(**batch).cell_embeds, tiny_model()(**batch).cell_embeds)


def test_revision_of_a_folder_is_the_digest_of_its_weights(folder):
    before = load(folder, device="cpu").revision
    assert re.fullmatch("[0-9a-f]{12}", before)
    assert before == weights_digest(folder)
    tiny_model(seed=1).save_pretrained(folder)
    assert load(folder, device="cpu").revision != before


def test_the_folder_one_stands_in_has_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert load(".", device="cpu").model_id == "my-model"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", torch.bfloat16])
def test_dtype(tiny_model_dir, dtype):
    assert load(tiny_model_dir, device="cpu", dtype=dtype).model.dtype == as_dtype(dtype)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_attention_implementation(tiny_model_dir, implementation):
    model = load(tiny_model_dir, device="cpu", attn_implementation=implementation).model
    assert model.cell_encoder.config._attn_implementation == implementation
    assert model.text_encoder.config._attn_implementation == implementation


def test_choose_device():
    assert choose_device("cpu") == torch.device("cpu")
    assert torch.empty(0, device=choose_device(None)).numel() == 0  # whatever was chosen can be used


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"dtype": "float8"}, "dtype is 'float8'; legal are float32, bfloat16, float16", id="dtype"),
        pytest.param({"device": "abacus"}, "Device 'abacus' cannot be used here", id="unknown_device"),
        pytest.param({"device": "cuda:99"}, "Device 'cuda:99' cannot be used here", id="absent_device"),
        pytest.param({"attn_implementation": "telepathy"}, "telepathy", id="attention"),
    ],
)
def test_illegal_options(tiny_model_dir, options, message):
    with pytest.raises(ValueError, match=message):
        load(tiny_model_dir, **{"device": "cpu", **options})


@pytest.mark.parametrize("name", ["no-such-model", "/no/such/folder", "./nowhere", "a/b/c"])
def test_names_of_no_model(name):
    with pytest.raises(ValueError, match=f"{name} is no model folder; give a folder, a Hub id"):
        load(name)


def test_a_hub_id_that_cannot_be_reached():
    with pytest.raises(ValueError, match="langcell-tests/no-such-model cannot be loaded: ") as error:
        load("langcell-tests/no-such-model")
    assert "\n" not in str(error.value)


def test_a_file_is_no_model(folder):
    with pytest.raises(ValueError, match="is no model folder"):
        load(folder / "config.json")


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "processor_config.json", "tokenizer.json", VOCABULARY_FILE]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"is not a complete LangCell folder: {name} missing"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "processor_config.json", "tokenizer.json"])
def test_a_file_cut_in_half_is_an_error_of_one_line(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="my-model cannot be loaded: ") as error:
        load(folder, device="cpu")
    assert "\n" not in str(error.value)


def test_missing_weights_are_not_replaced_by_random_ones(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["match_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 weights, such as match_head\.weight"):
        load(folder, device="cpu")


def test_a_classifier_is_no_model_for_names(folder):
    (folder / "model.safetensors").unlink()
    LangCellForCellClassification(tiny_config()).save_pretrained(folder)
    with pytest.raises(
        ValueError, match=r"my-model is a classifier.* langcell classify .* --model .*my-model takes it"
    ):
        load(folder, device="cpu")


def test_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    config["projection_dim"] = 9
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="my-model cannot be loaded: "):
        load(folder, device="cpu")


def test_a_vocabulary_that_is_not_the_models(folder):
    config = json.loads((folder / "config.json").read_text())
    config["vocabulary_fingerprint"] = "ab" * 32
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="Gene vocabularies differ") as error:
        load(folder, device="cpu")
    assert "abababababab" in str(error.value)
    assert tiny_vocabulary().fingerprint[:12] in str(error.value)


def test_the_vocabulary_file_of_another_model(folder):
    tiny_vocabulary(seed=1).save(folder / VOCABULARY_FILE)
    with pytest.raises(ValueError, match=f"{VOCABULARY_FILE} has fingerprint"):
        load(folder, device="cpu")


def test_the_bundled_folder_is_inside_the_package():
    assert bundled_model_folder().parts[-2:] == ("hub_cards", "langcell-mini")
