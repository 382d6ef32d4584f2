import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from langcell.loading.weight_files import (
    find_part,
    find_weights,
    read_config,
    read_tensors,
    require_new_folder,
    sha256_of,
)

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3)}


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_tensors_come_back(tmp_path, name):
    path = tmp_path / name
    save_file(TENSORS, path) if path.suffix == ".safetensors" else torch.save(TENSORS, path)
    assert_close(read_tensors(path), TENSORS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("a.bin", [1, 2], "holds a list; a state dict", id="list"),
        pytest.param("a.bin", {"weight": torch.ones(1), "epoch": 3}, "epoch are no tensors", id="more_than_tensors"),
        pytest.param("a.bin", b"not a checkpoint", "damaged or holds more than tensors", id="damaged"),
        pytest.param("a.safetensors", b"not a checkpoint", "damaged or holds more than tensors", id="safetensors"),
    ],
)
def test_files_that_are_no_state_dict(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        read_tensors(path)


def test_safetensors_win_over_bin(tmp_path):
    for name in ("pytorch_model.bin", "model.safetensors"):
        (tmp_path / name).touch()
    assert find_weights(tmp_path).name == "model.safetensors"


def test_weights_in_several_files_are_refused(tmp_path):
    (tmp_path / "model.safetensors.index.json").touch()
    with pytest.raises(ValueError, match="split over several files"):
        find_weights(tmp_path)


def test_no_weights_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"has no weights; one of model\.safetensors"):
        find_weights(tmp_path)


def test_parts_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"neither cell_proj\.bin nor cell_proj\.safetensors"):
        find_part(tmp_path, "cell_proj")
    (tmp_path / "cell_proj.bin").touch()
    assert find_part(tmp_path, "cell_proj") == tmp_path / "cell_proj.bin"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, r"has no config\.json", id="missing"),
        pytest.param("{", "is no JSON", id="damaged"),
        pytest.param("[]", "holds a list; a JSON object", id="list"),
    ],
)
def test_configs_that_cannot_be_read(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)


def test_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 4}))
    assert read_config(tmp_path) == {"hidden_size": 4}


def test_new_folders_only(tmp_path):
    require_new_folder(tmp_path / "new")
    require_new_folder(tmp_path)  # empty
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match="exists and is not an empty folder"):
            require_new_folder(taken)


def test_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"langcell")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"langcell").hexdigest()
