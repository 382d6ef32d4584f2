"""What is given as a model is told from its files, and sent to the command that takes it."""

import json
import logging
import shutil

import pytest
import tiny
from tiny_labelled import labelled_cells
from transformers.utils import logging as transformers_logging

import langcell
from langcell.inference.classification import load_classifier
from langcell.loading.adapter_files import find_adapter
from langcell.loading.load import load_config
from langcell.loading.model_kinds import check_kind, find_kind, quiet_loading
from langcell.training.fine_tuning.finetuning import finetune
from langcell.training.fine_tuning.merging import merge_adapter


@pytest.fixture(scope="module")
def folders(tiny_model_dir, tmp_path_factory):
    """Folders by kind: two adapters, a classifier, and the model that all were made of."""
    place = tmp_path_factory.mktemp("kinds")
    options = {"label_column": "type", "model": tiny_model_dir, "steps": 1, "device": "cpu", "progress": False}
    finetune(labelled_cells(2), **options, output=place / "texts")
    finetune(labelled_cells(2), **options, task="classification", output=place / "classes")
    merge_adapter(tiny_model_dir, place / "classes", place / "classifier")
    return {**{name: place / name for name in ("texts", "classes", "classifier")}, "model": tiny_model_dir}


@pytest.fixture
def reported():
    """What transformers says."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("texts", "adapter"), ("classes", "adapter"), ("classifier", "classification"), ("model", "text")],
)
def test_kinds(folders, name, kind):
    assert find_kind(folders[name]) == kind


def test_a_folder_that_does_not_say_is_of_no_kind(tmp_path):
    assert find_kind(tmp_path) is None
    for content in ("{}", "no json", "[]", json.dumps({"architectures": None})):
        (tmp_path / "config.json").write_text(content)
        assert find_kind(tmp_path) is None
    (tmp_path / "adapter_config.json").write_text("{}")
    assert find_kind(tmp_path) == "adapter"


def test_a_repository_that_cannot_be_reached_is_of_no_kind():
    assert find_kind("langcell-tests/no-such-model") is None


@pytest.mark.parametrize(
    ("name", "read", "message"),
    [
        pytest.param(
            "texts",
            langcell.load,
            r"is an adapter, .* --adapter \(langcell annotate .* --adapter \S+texts\)",
            id="texts",
        ),
        pytest.param(
            "classes", load_classifier, r"is an adapter, .* \(langcell classify .* --adapter \S+classes\)", id="classes"
        ),
        pytest.param("classes", load_config, r"is an adapter, not a model; give it as --adapter", id="configuration"),
        pytest.param(
            "classifier",
            langcell.load,
            r"is a classifier, which .*; langcell classify .* --model \S+ takes it",
            id="head",
        ),
        pytest.param(
            "model", load_classifier, r"has no classification head: it .* \(langcell annotate --model \S+\)", id="texts"
        ),
    ],
)
def test_what_another_command_takes_is_sent_there_in_one_line(folders, reported, name, read, message):
    with pytest.raises(ValueError, match=message) as refused:
        read(folders[name])
    assert "\n" not in str(refused.value)
    assert "again" not in str(refused.value)
    assert reported == []


@pytest.mark.parametrize("name", ["model", "classifier"])
def test_a_model_is_no_adapter(folders, name):
    with pytest.raises(ValueError, match=r"is a complete model, not an adapter; give it as --model, without --adapter"):
        langcell.load(folders["model"], adapter=folders[name])


def test_the_right_kind_passes(folders):
    check_kind(folders["model"], "text", name="m")
    check_kind(folders["classifier"], "classification", name="m")
    check_kind(folders["classifier"], None, name="m")


def test_a_new_head_is_not_reported_when_an_adapter_brings_its_weights(folders, tmp_path, reported):
    merge_adapter(folders["model"], folders["classes"], tmp_path / "merged")
    assert load_classifier(tmp_path / "merged", device="cpu").names == ["B cell", "T cell", "monocyte"]
    assert reported == []


def test_weights_that_are_missing_are_an_error_alone(tmp_path, reported):
    folder = tiny.save_tiny_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["LangCellForCellClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"has no classification head \(classifier"):
        load_classifier(folder, device="cpu")
    assert reported == []


def test_what_transformers_said_before_it_says_again():
    before = transformers_logging.get_verbosity()
    with quiet_loading():
        assert transformers_logging.get_verbosity() == logging.ERROR
    with pytest.raises(KeyError), quiet_loading():
        dict[str, int]()["absent"]
    assert transformers_logging.get_verbosity() == before


def test_an_adapter_names_its_base(folders, tmp_path):
    copied = shutil.copytree(folders["texts"], tmp_path / "copied")
    config = json.loads((copied / "config.json").read_text())
    for base, expected in (("langcell-mini", "langcell-mini"), ("org/model", "org/model")):
        config["fine_tuning"]["base"]["model_id"] = base
        (copied / "config.json").write_text(json.dumps(config))
        assert find_adapter(copied).base == expected
    with pytest.raises(
        ValueError, match=r"was trained on langcell-tiny \(weights \w{12}\), .* a folder; name it: --model"
    ):
        langcell.load(adapter=folders["texts"])
