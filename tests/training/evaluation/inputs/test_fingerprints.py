import shutil

import pytest
import tiny_evaluation
import torch

import langcell
from langcell.training.evaluation.inputs.fingerprints import digest_of_code, digest_of_data, digest_of_model, result_key


@pytest.fixture
def folder(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir, tmp_path / "model")


def test_data_are_their_contents(tmp_path):
    first = tiny_evaluation.save_cells(tmp_path / "a.h5ad", seed=0)
    other = tiny_evaluation.save_cells(tmp_path / "b.h5ad", seed=1)
    copied = shutil.copyfile(first, tmp_path / "c.h5ad")
    assert digest_of_data(first) == digest_of_data(copied) != digest_of_data(other)
    assert digest_of_data(tmp_path / "absent.h5ad") is None


def test_a_folder_is_the_names_and_contents_of_its_files(tmp_path):
    (tmp_path / "cells.zarr" / "X").mkdir(parents=True)
    (tmp_path / "cells.zarr" / "X" / "0").write_bytes(b"one")
    before = digest_of_data(tmp_path / "cells.zarr")
    (tmp_path / "cells.zarr" / "X" / "0").rename(tmp_path / "cells.zarr" / "X" / "1")
    assert digest_of_data(tmp_path / "cells.zarr") != before


def test_a_model_is_its_weights_config_and_processor_but_not_its_card(folder):
    before = digest_of_model(folder)
    (folder / "README.md").write_text("A better card.")
    assert digest_of_model(folder) == before
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"alpha": 0.1', '"alpha": 0.2'))
    assert digest_of_model(folder) != before


def test_a_model_in_memory_is_its_tensors(folder):
    loaded = langcell.load(folder, device="cpu")
    before = digest_of_model(loaded)
    assert digest_of_model(langcell.load(folder, device="cpu")) == before
    with torch.no_grad():
        loaded.model.match_head.bias += 1
    assert digest_of_model(loaded) != before


def test_no_model_and_no_adapter_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="no model folder"):
        digest_of_model("./absent")
    with pytest.raises(ValueError, match="is no folder; give the folder of the adapter"):
        digest_of_model(folder, adapter="./absent")


def test_code_is_the_same_while_nobody_writes_it():
    assert digest_of_code() == digest_of_code()
    assert len(digest_of_code()) == 64


def test_keys_tell_questions_apart():
    assert result_key("few-shot", shots=(1, 2)).startswith("few-shot-")
    assert result_key("few-shot", shots=(1, 2)) != result_key("few-shot", shots=(1, 2, 5))
