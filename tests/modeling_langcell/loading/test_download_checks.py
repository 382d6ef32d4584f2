import hashlib

import pytest

from langcell.loading.download_checks import check_download


@pytest.fixture
def snapshot(tmp_path):
    """A commit as the Hub's cache has it: links to blobs named by their checksums."""
    folder = tmp_path / "snapshots" / "abc"
    for place in (folder, tmp_path / "blobs"):
        place.mkdir(parents=True)
    for name, content, digest in (("model.safetensors", b"weights", "sha256"), ("config.json", b"{}", "sha1")):
        blob = tmp_path / "blobs" / hashlib.new(digest, content).hexdigest()
        blob.write_bytes(content)
        (folder / name).symlink_to(blob)
    return folder


def test_whole_files_pass(snapshot):
    check_download(snapshot)


def test_a_damaged_large_file_is_named(snapshot):
    (snapshot / "model.safetensors").resolve().write_bytes(b"weighty")
    with pytest.raises(
        ValueError, match=r"model\.safetensors was damaged on its way .*; delete .*/blobs/[0-9a-f]{64} and"
    ):
        check_download(snapshot)


def test_without_links_nothing_is_compared(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    check_download(tmp_path)
