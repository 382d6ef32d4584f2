import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_labelled import labelled_cells
from transformers import AutoModel, AutoModelForSequenceClassification

import langcell
from langcell.inference.classification import load_classifier
from langcell.training.fine_tuning.finetuning import finetune

NAMES = ["B cell", "T cell", "monocyte"]


@pytest.fixture(scope="module")
def cells():
    return labelled_cells()


@pytest.fixture(scope="module", params=[(m, t) for m in ("lora", "full", "head") for t in ("text", "classification")],
                ids=lambda pair: "-".join(pair))  # fmt: skip
def saved(request, cells, tiny_model_dir, tmp_path_factory):
    """Method, task, what was fine-tuned, and its folder."""
    method, task = request.param
    folder = tmp_path_factory.mktemp("tuned") / f"{task}-{method}"
    tuned = finetune(
        cells, label_column="type", model=tiny_model_dir, method=method, task=task, shots=3, steps=5, device="cpu",
        progress=False, learning_rate=0.01, output=folder,
    )  # fmt: skip
    return method, task, tuned, folder


def test_the_folder_makes_the_same_model_again(saved, cells, tiny_model_dir):
    method, task, tuned, folder = saved
    place = {"model": tiny_model_dir, "adapter": folder} if method == "lora" else {"model": folder}
    loaded = (langcell.load if task == "text" else load_classifier)(**place, device="cpu")
    expected = tuned.model.model if task == "text" else tuned.model
    for name, weight in loaded.model.state_dict().items():
        torch.testing.assert_close(weight, expected.state_dict()[name], msg=name)
    assert loaded.model.config.id2label == dict(enumerate(NAMES))
    assert loaded.model.config.fine_tuning["labels"][0]["name"] == "B cell"


def test_a_complete_model_is_a_hub_folder_of_its_own(saved):
    method, task, _, folder = saved
    if method == "lora":
        assert not (folder / "model.safetensors").exists()
        return
    auto_class = AutoModel if task == "text" else AutoModelForSequenceClassification
    model, report = auto_class.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert [model.config.id2label[i] for i in range(3)] == NAMES
    assert {"modeling_langcell.py", "gene_vocabulary.tsv", "tokenizer.json"} <= {path.name for path in folder.iterdir()}


def test_the_files_say_what_was_learned_on_what(saved, tiny_model_dir):
    method, task, _, folder = saved
    facts = json.loads((folder / "config.json").read_text())["fine_tuning"]
    base = langcell.load(tiny_model_dir, device="cpu")
    assert facts["base"] == {
        "model_id": "langcell-tiny",
        "revision": base.revision,
        "weights": base.weights,
        "vocabulary_fingerprint": base.config.vocabulary_fingerprint,
    }
    assert (facts["method"], facts["task"], facts["seed"], facts["shots"]) == (method, task, 0, 3)
    assert [(label["name"], label["cells"]) for label in facts["labels"]] == [(name, 3) for name in NAMES]
    assert str(tiny_model_dir.parent) not in "".join(
        path.read_text(errors="ignore") for path in folder.iterdir() if path.suffix in (".json", ".md")
    )
    card = (folder / "README.md").read_text()
    assert f"names cells {'by the texts of' if task == 'text' else 'as one of'} 3 types" in card
    assert base.weights in card
    assert ("--adapter" in card) == (method == "lora")


def test_an_adapters_file_is_what_was_trained(saved):
    method, _, tuned, folder = saved
    if method == "lora":
        stored = load_file(folder / "adapter_model.safetensors")
        assert stored.keys() == tuned.adapter.tensors.keys()
        assert all(torch.equal(stored[name], tensor) for name, tensor in tuned.adapter.tensors.items())


def test_nothing_is_left_of_a_folder_that_could_not_be_written(saved, tmp_path, monkeypatch):
    *_, tuned, _ = saved
    kept = tmp_path / "a"
    kept.mkdir()
    (kept / "mine").write_text("mine")
    monkeypatch.setattr("langcell.training.fine_tuning.fine_tuned.fine_tuned_card", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tuned.save(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (kept / "mine").read_text() == "mine"


def test_scores_of_a_classifier_are_its_softmax(saved, cells):
    _, task, tuned, _ = saved
    scores = tuned.score(cells, progress=False)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    if task == "classification":
        batch = tuned.processor(cells=cells.X[:4], gene_names=list(cells.var_names), return_tensors="pt")
        with torch.no_grad():
            expected = tuned.model(**batch).logits.softmax(-1)
        np.testing.assert_allclose(scores[:4], expected, rtol=1e-4)
