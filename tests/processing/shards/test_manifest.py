import json
from dataclasses import replace

import pytest

from langcell.processing.shards.manifest import (
    SCHEMA_VERSION,
    FileRecord,
    Manifest,
    ShardOrigin,
    check_fingerprint,
    read_manifest,
    sha256_of,
    verify,
    write_manifest,
)

FINGERPRINT = "b" * 64


@pytest.fixture
def folder(tmp_path):
    """A finished folder; what is in its files does not matter to the manifest."""
    records = []
    for name in ("data/train-00000.parquet", "data/train-00001.parquet", "descriptions/descriptions.parquet"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        records.append(FileRecord(name, sha256_of(path), rows=2, tokens=9))
    write_manifest(
        tmp_path,
        Manifest(
            schema_version=SCHEMA_VERSION,
            vocabulary_fingerprint=FINGERPRINT,
            max_length=512,
            total_cells=4,
            shards=tuple(records[:2]),
            descriptions=records[2],
            sources=({"name": "made.h5ad"},),
            simulation={"seed": 3, "noise_cv": [0.2, 1.0]},
        ),
    )
    return tmp_path


def test_a_manifest_reads_back_and_writes_the_same_bytes(folder, tmp_path_factory):
    manifest, other = read_manifest(folder), tmp_path_factory.mktemp("other")
    write_manifest(other, manifest)
    assert read_manifest(other) == manifest
    assert (other / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()
    assert manifest.simulation == {"seed": 3, "noise_cv": [0.2, 1.0]}
    assert [path.endswith(".parquet") for path in manifest.shard_paths(folder)] == [True, True]


def test_the_rows_behind_a_shard_read_back(folder, tmp_path_factory):
    manifest, other = read_manifest(folder), tmp_path_factory.mktemp("other")
    origin = ShardOrigin(0, 20, 40, read=20, dropped={"duplicate": 3}, n_counts=80.0, n_known_counts=64.5)
    shards = (replace(manifest.shards[0], origin=origin), manifest.shards[1])
    write_manifest(other, replace(manifest, shards=shards, tokenizing={"plan": {}}))
    assert read_manifest(other).shards == shards


def test_manifests_of_version_1_are_read(folder):
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["tokenizing"]
    for record in [*fields["shards"], fields["descriptions"]]:
        del record["origin"]
    path.write_text(json.dumps(fields | {"schema_version": 1}))
    manifest = read_manifest(folder)
    assert manifest.shards[0].origin is None
    assert manifest.tokenizing is None
    assert verify(folder) == []


def test_verify_finds_nothing_wrong(folder):
    assert verify(folder) == []


@pytest.mark.parametrize("name", ["data/train-00001.parquet", "descriptions/descriptions.parquet"])
def test_verify_names_what_is_missing_or_changed(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"?")
    assert [problem.split(":")[0] for problem in verify(folder)] == [f"{name} has changed"]
    (folder / name).unlink()
    assert verify(folder) == [f"{name} is missing"]


def test_an_unfinished_folder(tmp_path):
    with pytest.raises(ValueError, match=r"no manifest\.json: no shards, or unfinished ones"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"schema_version": 99}', "has schema version 99, but 1 and 2 are read", id="newer"),
        pytest.param("{", "is damaged", id="cut_off"),
        pytest.param("[]", "has schema version None", id="no_object"),
        pytest.param('{"schema_version": 1}', "is damaged: 'shards'", id="fields_missing"),
        pytest.param(
            '{"schema_version": 1, "shards": [], "sources": [], "descriptions": {"path": "d"}}', "damaged", id="record"
        ),
    ],
)
def test_bad_manifests(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path)


def test_fingerprints_must_agree(folder):
    manifest = read_manifest(folder)
    check_fingerprint(manifest, FINGERPRINT)
    with pytest.raises(ValueError, match=f"aaaaaaaaaaaa.*{FINGERPRINT[:12]}"):
        check_fingerprint(manifest, "a" * 64)
