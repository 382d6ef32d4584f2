"""What must not leave the machine is found, and what only looks like it is not."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from langcell.hub_cards.cards.repository_kinds import MODEL, SHARDS, SPACE
from langcell.hub_cards.publishing.content_checks import check_contents, find_paths, find_secrets

# In two parts each: none of them is a secret, but scanners of repositories would report them.
SECRETS = {
    "a Hugging Face token": "hf_" + "Ab1" * 11 + "z",
    "an AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "an AWS secret key": "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "a GitHub token": "ghp_" + "a1" * 18,
    "a Slack token": "xoxb-" + "1234567890-abc",
    "a Google key": "AIza" + "Sy" + "a" * 33,
    "an API key": "sk-ant-" + "a1B2" * 8,
    "a password in an address": "postgres://me:" + "geheim77" + "@host/db",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_are_found_and_not_repeated(kind):
    (found,) = find_secrets(f"first line\nkey: {SECRETS[kind]}\n")
    assert found == f"line 2 looks like {kind}"


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub_download(repo_id)",
        "sk-learn and scikit-learn",
        "https://user@host/a",
        "AKIA",
        "BEGIN PUBLIC KEY",
        "ghp_x",
    ],
)
def test_what_is_no_secret(text):
    assert list(find_secrets(text)) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("config.json", '{"_name_or_path": "/data/runs/a"}', id="json"),
        pytest.param("a.yaml", "data:\n- path: /scratch/me/shards\n", id="yaml"),
        pytest.param("b.json", '{"a": ["C:\\\\Users\\\\me\\\\a"]}', id="windows"),
        pytest.param("README.md", "python x.py --data /home/me/cells.h5ad", id="home"),
        pytest.param("app.py", 'open("/Users/me/cells.h5ad")', id="code"),
        pytest.param("README.md", "see file:///srv/a", id="file_address"),
    ],
)
def test_absolute_paths_are_found(name, text):
    (found,) = find_paths(name, text)
    assert "absolute path" in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("config.json", '{"model": "org/name", "route": "/api", "a": "cells/min"}', id="json"),
        pytest.param("a.yaml", "path: runs/mini/shards\n", id="relative"),
        pytest.param("README.md", "https://example.org/home/me and data/train-*.parquet", id="address"),
        pytest.param("app.py", 'f"{root}/home/me" # and/or', id="built"),
    ],
)
def test_what_is_no_path_of_this_machine(name, text):
    assert list(find_paths(name, text)) == []


def test_broken_json_is_said():
    (found,) = find_paths("config.json", "{")
    assert "is no valid JSON" in found


@pytest.fixture
def folder(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_safetensors_and_text_are_fine(folder):
    (folder / "config.json").write_text("{}")
    assert check_contents(folder, ["config.json", "model.safetensors"], MODEL, replaced={}) == []


def test_pickles_are_found_under_any_name(folder):
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    torch.save({"a": torch.zeros(2)}, folder / "weights.data")
    (folder / "plain").write_bytes(pickle.dumps({"a": 1}))
    files = ["model.safetensors", "plain", "pytorch_model.bin", "weights.data"]
    problems = check_contents(folder, files, MODEL, replaced={})
    assert [problem.split()[0] for problem in problems] == ["plain", "pytorch_model.bin", "weights.data"]
    assert all("only safetensors are published" in problem for problem in problems)


def test_other_formats_of_weights_are_refused_in_models_alone(folder):
    (folder / "flax.msgpack").write_bytes(b"x")
    assert check_contents(folder, ["flax.msgpack"], SPACE, replaced={}) == []
    problems = check_contents(folder, ["flax.msgpack"], MODEL, replaced={})
    assert "flax.msgpack holds weights in another format" in problems[0]
    assert problems[1] == "no .safetensors file with weights"


def test_metadata_of_weights_are_read(folder):
    secret = SECRETS["a Hugging Face token"]
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors", metadata={"note": secret})
    (problem,) = check_contents(folder, ["model.safetensors"], MODEL, replaced={})
    assert problem == "model.safetensors: line 1 looks like a Hugging Face token"


def test_the_folder_itself_is_a_path_that_no_file_names(folder):
    (folder / "notes.md").write_text(f"trained in {folder}")
    (problem,) = check_contents(folder, ["notes.md"], SHARDS, replaced={})
    assert str(folder) in problem
    assert check_contents(folder, ["notes.md"], SHARDS, replaced={"notes.md": "trained"}) == []


def test_word_pieces_are_no_paths(folder):
    (folder / "tokenizer.json").write_text('{"vocab": {"a": "/usr/local/bin"}}')
    assert check_contents(folder, ["tokenizer.json", "model.safetensors"], MODEL, replaced={}) == []
