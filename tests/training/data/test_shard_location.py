"""Where shards are: a folder, or the Hub's cache when there is no network."""

import shutil

import pytest
import tiny_shards
from huggingface_hub import constants

from langcell.training.data.shard_location import ShardLocation, find_all
from langcell.training.data.streaming import CellBatches, Descriptions, open_shards

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_shards.write_tiny_shards(tmp_path_factory.mktemp("shards") / "labelled")


@pytest.fixture
def cached(folder, tmp_path, monkeypatch):
    """The folder as `hf download --repo-type dataset org/cells` leaves it in the cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "datasets--org--cells"
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT


def test_a_folder(folder):
    (place,) = find_all([folder])
    assert (place.folder, place.name, place.manifest.total_cells) == (folder, str(folder), 180)
    assert place.files == sorted(map(str, folder.glob("data/*.parquet")))
    assert ShardLocation.find(place) is place


@pytest.mark.parametrize("name", ["org/cells", "org/cells@main", "hf://datasets/org/cells", f"org/cells@{COMMIT}"])
def test_a_dataset_in_the_cache_is_read_without_network(cached, folder, name):
    place = ShardLocation.find(name)
    assert place.manifest == ShardLocation.find(folder).manifest
    assert place.files == sorted(map(str, cached.glob("data/*.parquet")))
    _, maps = Descriptions.read([place.folder])
    readers = open_shards([name], code_maps=maps, seed=0)
    batch = next(CellBatches(readers, weights=[1], batch_size=4, window=2, max_length=16, seed=0))
    assert len(batch) == 4


def test_with_network_the_cells_are_streamed_from_the_commit_of_the_manifest(cached, monkeypatch):
    manifest = ShardLocation.find("org/cells").manifest
    # A commit that is in the cache is not asked for again, so this needs no network either.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    place = ShardLocation.find(f"org/cells@{COMMIT}")
    assert place.files == [f"hf://datasets/org/cells@{COMMIT}/{shard.path}" for shard in manifest.shards]


def test_shards_that_are_not_in_the_cache(cached):
    (cached / "data" / "train-00001.parquet").unlink()
    with pytest.raises(ValueError, match="1 of 3 shards are not in the Hub's cache"):
        ShardLocation.find("org/cells")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("nowhere", "nowhere has no manifest.json", id="folder"),
        pytest.param("some/where/deep", "some/where/deep has no manifest.json", id="deep_folder"),
        pytest.param("org/nothing", "org/nothing is no folder here with a manifest.json, and", id="dataset"),
    ],
)
def test_nothing_there(cached, name, message):
    with pytest.raises(ValueError, match=message) as error:
        ShardLocation.find(name)
    assert "\n" not in str(error.value)
