import pytest
import tiny_shards

from langcell.hub_cards.cards.repository_kinds import (
    ADAPTER,
    MODEL,
    SHARDS,
    SPACE,
    check_repo_id,
    files_to_publish,
    find_kind,
)
from langcell.processing.shards.manifest import read_manifest


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        pytest.param(["config.json", "model.safetensors"], MODEL, id="model"),
        pytest.param(["config.json", "adapter_config.json"], ADAPTER, id="adapter"),
        pytest.param(["manifest.json"], SHARDS, id="shards"),
        pytest.param(["app.py", "README.md"], SPACE, id="space"),
    ],
)
def test_the_files_tell_the_kind(tmp_path, files, kind):
    for name in files:
        (tmp_path / name).write_text("{}")
    assert find_kind(tmp_path) == kind


def test_what_is_nothing_to_publish(tmp_path):
    with pytest.raises(ValueError, match=r"is nothing that can be published: a model has config\.json"):
        find_kind(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        find_kind(tmp_path / "absent")


def test_hidden_files_and_what_a_run_needs_stay_here(tmp_path):
    names = ["config.json", ".env", ".git/config", "__pycache__/a.pyc", "state/run.json", "files.json", "more/notes.md"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert files_to_publish(tmp_path, MODEL) == ["config.json", "more/notes.md", "README.md"]


def test_of_shards_the_files_of_the_manifest_go_up_and_nothing_else(tmp_path):
    folder = tiny_shards.write_tiny_shards(tmp_path / "shards", n_cells=20)
    (folder / "data" / "train-00099.parquet").write_text("of an earlier run")
    (folder / "notes.txt").write_text("private")
    shards = [shard.path for shard in read_manifest(folder).shards]
    assert files_to_publish(folder, SHARDS) == [
        *shards,
        "descriptions/descriptions.parquet",
        "manifest.json",
        "README.md",
    ]


@pytest.mark.parametrize("name", ["a/b/c", "org/-cells", "org/ce lls", "cells"])
def test_what_is_no_hub_id(name):
    with pytest.raises(ValueError, match="is no Hub id") as error:
        check_repo_id(name)
    assert "\n" not in str(error.value)
