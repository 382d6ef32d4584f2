import json
import subprocess

import pytest
import tiny_shards

from langcell.processing.shards.manifest import sha256_of
from langcell.training.checkpointing.provenance import describe_origin, git_revision, write_origin
from langcell.training.settings.files import load_config
from langcell.training.settings.sections import PretrainConfig, ShardFolder


def git(folder, *arguments):
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A git checkout that looks like LangCell's."""
    code = tmp_path / "checkout" / "training" / "pretrain.py"
    code.parent.mkdir(parents=True)
    code.write_text("pass\n")
    git(tmp_path / "checkout", "init", "-q")
    git(tmp_path / "checkout", "add", ".")
    git(tmp_path / "checkout", "commit", "-q", "-m", "First")
    return tmp_path / "checkout"


def test_revision_of_a_clean_and_a_changed_checkout(checkout):
    revision = git(checkout, "rev-parse", "HEAD")
    assert git_revision(checkout / "training") == {"revision": revision, "changed": False}
    (checkout / "notes.txt").write_text("not followed by git")
    assert git_revision(checkout) == {"revision": revision, "changed": False}
    (checkout / "training" / "pretrain.py").write_text("changed\n")
    assert git_revision(checkout) == {"revision": revision, "changed": True}


def test_no_checkout_has_no_revision(checkout, tmp_path):
    assert git_revision(tmp_path) is None
    git(checkout, "rm", "-q", "training/pretrain.py")
    assert git_revision(checkout) is None, "the checkout of something else"


def test_origin_beside_weights(tmp_path):
    shards = tiny_shards.write_tiny_shards(tmp_path / "shards", n_cells=70)
    config = PretrainConfig(
        stage=1, output_dir=str(tmp_path), steps=5, data=[ShardFolder(path=str(shards), weight=2.0)]
    )
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "model.safetensors").write_bytes(b"weights")
    origin = describe_origin(config, start_folder=tmp_path / "start")
    (tmp_path / "weights").mkdir()
    write_origin(tmp_path / "weights", config=config, origin=origin, step=3)
    assert load_config(tmp_path / "weights" / "pretraining.yaml") == config
    written = json.loads((tmp_path / "weights" / "provenance.json").read_text())
    assert written == {"step": 3, **origin}
    (data,) = written["data"]
    assert data["manifest_sha256"] == sha256_of(shards / "manifest.json")
    assert (data["cells"], data["weight"]) == (70, 2.0)
    assert sha256_of(tmp_path / "start" / "model.safetensors").startswith(written["start"]["weights"])
    assert set(written["libraries"]) == {"langcell", "torch", "transformers", "accelerate"}
