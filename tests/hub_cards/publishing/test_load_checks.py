"""Folders loaded in a fresh process where langcell cannot be imported."""

import shutil

import pytest
import tiny
import tiny_shards
from safetensors.torch import load_file, save_file
from tiny_labelled import labelled_cells

from langcell.hub_cards.cards.dataset_cards import write_dataset_card
from langcell.hub_cards.cards.repository_kinds import ADAPTER, MODEL, SHARDS, SPACE
from langcell.hub_cards.publishing.load_checks import check_loading, find_base
from langcell.training.fine_tuning.finetuning import finetune


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, tiny_model_dir):
    folder = tmp_path_factory.mktemp("tuned") / "blood"
    options = {"label_column": "type", "model": tiny_model_dir, "steps": 1, "device": "cpu", "progress": False}
    finetune(labelled_cells(4), output=folder, **options)
    return folder


@pytest.fixture
def model(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir, tmp_path / "model")


def test_code_that_needs_langcell_does_not_load(model):
    code = model / "modeling_langcell.py"
    code.write_text(f"import langcell\n{code.read_text()}")
    (problem,) = check_loading(model, MODEL)
    assert "does not load in a fresh process" in problem
    assert "langcell" in problem
    assert "\n" not in problem


def test_missing_weights_are_named(model):
    tensors = load_file(model / "model.safetensors")
    name = min(name for name in tensors if "match_head" in name)
    del tensors[name]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    (problem,) = check_loading(model, MODEL)
    assert "the weights lack 1 tensors, such as " in problem


def test_an_adapter_loads_on_its_base(adapter, tiny_model_dir):
    assert check_loading(adapter, ADAPTER, base=tiny_model_dir) == []


def test_an_adapter_without_its_base(adapter, model):
    with pytest.raises(ValueError, match=r"langcell-tiny is neither a folder here .* the adapter's base with --base"):
        find_base(adapter, None)
    tiny.tiny_model(seed=1).save_pretrained(model)
    with pytest.raises(ValueError, match="was trained on the weights"):
        find_base(adapter, model)


def test_shards_are_read_by_datasets(tmp_path):
    folder = tiny_shards.write_tiny_shards(tmp_path / "shards", n_cells=20)
    write_dataset_card(folder, "org/cells", progress=False)
    assert check_loading(folder, SHARDS) == []


def test_a_space_runs_up_to_its_launch(tmp_path):
    (tmp_path / "app.py").write_text("import gradio\nwith gradio.Blocks() as app:\n    pass\napp.launch()\n1 / 0\n")
    (tmp_path / "README.md").write_text("---\nsdk: gradio\napp_file: app.py\n---\n# T\n")
    assert check_loading(tmp_path, SPACE) == []


def test_the_process_is_told_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "not for the app")
    (tmp_path / "app.py").write_text("import os\nraise SystemExit(os.environ.get('HF_TOKEN', 'nothing'))\n")
    (tmp_path / "README.md").write_text("---\nsdk: gradio\n---\n# T\n")
    (problem,) = check_loading(tmp_path, SPACE)
    assert problem == "it does not load in a fresh process (nothing)"
