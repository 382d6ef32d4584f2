"""A folder prepared for the Hub is read by `datasets` with no code of ours."""

import shutil

import pytest
import tiny
import tiny_sources
from datasets import load_dataset
from huggingface_hub import DatasetCard

from langcell.hub_cards.publish_shards import prepare_upload, push_shards
from langcell.processing.shard_manifest import read_manifest, verify
from langcell.processing.shard_sources import find_sources
from langcell.processing.shards import read_descriptions
from langcell.processing.tokenizing import tokenize


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    specs = find_sources([tiny_sources.write_h5ad(folder / "a.h5ad")])
    tokenize(specs, folder / "shards", tiny.tiny_vocabulary(), options=tiny_sources.OPTIONS, progress=False)
    return folder / "shards"


@pytest.fixture
def folder(tokenized, tmp_path):
    return shutil.copytree(tokenized, tmp_path / "shards")


def test_the_card_and_all_files_of_the_manifest_go_up_and_nothing_else(folder):
    (folder / "data" / ".train-00007.parquet.tmp").write_text("left over")
    (folder / "data" / "train-00099.parquet").write_text("of an earlier run")
    (folder / "notes.txt").write_text("private")
    manifest = read_manifest(folder)
    upload = prepare_upload(folder, "org/cells", license_id="cc-by-4.0", progress=False)
    shards = [shard.path for shard in manifest.shards]
    assert upload.files == [*shards, "descriptions.parquet", "manifest.json", "README.md"]
    assert upload.size == sum((folder / file).stat().st_size for file in upload.files)
    card = DatasetCard.load(folder / "README.md")
    for heading in ("tissue", "disease", "assay", "cell type"):
        assert f"## Cells by {heading}" in card.text
    assert "| a.h5ad | " in card.text
    assert verify(folder) == []


@pytest.mark.parametrize("streaming", [True, False])
def test_load_dataset_reads_cells_and_descriptions(folder, tmp_path, streaming):
    prepare_upload(folder, "org/cells", progress=False)
    options = {"split": "train", "streaming": streaming, "cache_dir": str(tmp_path / "cache")}
    cells, texts = (list(load_dataset(str(folder), *name, **options)) for name in ((), ("descriptions",)))
    assert len(cells) == read_manifest(folder).total_cells
    assert all(len(cell["input_ids"]) == cell["length"] for cell in cells)
    assert [row["text"] for row in texts] == [description.text for description in read_descriptions(folder)]
    assert list(load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))) == ["train"]


def test_preparing_twice_gives_the_same_card(folder):
    prepare_upload(folder, "org/cells", progress=False)
    first = (folder / "README.md").read_bytes()
    prepare_upload(folder, "org/cells", progress=False)
    assert (folder / "README.md").read_bytes() == first


@pytest.mark.parametrize("name", ["a/b/c", "org/-cells", "org/ce lls"])
def test_what_is_no_hub_id(folder, name):
    with pytest.raises(ValueError, match="is no Hub id"):
        prepare_upload(folder, name, progress=False)
    assert not (folder / "README.md").exists()


def test_damaged_shards_are_not_prepared(folder):
    (folder / "data" / "train-00000.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train-00000\.parquet has changed"):
        prepare_upload(folder, "org/cells", progress=False)
    assert not (folder / "README.md").exists()


def test_without_network_nothing_is_pushed(folder):
    upload = prepare_upload(folder, "org/cells", progress=False)
    with pytest.raises(ValueError, match="org/cells was not pushed: ") as error:
        push_shards(upload, progress=False)
    assert "\n" not in str(error.value)
