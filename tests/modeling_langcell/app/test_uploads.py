import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from langcell.app.uploads import UNPACKED, plain_name, unpacked

MATRIX = {"matrix.mtx.gz": b"m" * 100, "barcodes.tsv.gz": b"b", "features.tsv.gz": b"f"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def packed(name: str, files: dict[str, bytes]) -> Path:
    path = Path(name)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in files.items():
                archive.writestr(member, content)
        return path
    with tarfile.open(path, "w:gz") as archive:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["cells.zip", "cells.tar.gz"])
@pytest.mark.parametrize("inside", ["", "filtered_feature_bc_matrix/"])
def test_a_packed_10x_folder_is_unpacked(name, inside):
    path = packed(name, {**{inside + file: content for file, content in MATRIX.items()}, "other/notes.txt": b"x"})
    found = unpacked(path, most_mb=1)
    assert {file.name: file.read_bytes() for file in found.iterdir()} == MATRIX


@pytest.mark.parametrize("name", ["cells.zip", "cells.tar.gz"])
def test_names_that_lead_elsewhere_lead_nowhere(name, folder):
    path = packed(name, {f"../../{file}": content for file, content in MATRIX.items()})
    assert unpacked(path, most_mb=1) == Path(UNPACKED)
    assert sorted(file.name for file in folder.iterdir()) == [name, UNPACKED]


def test_other_files_stay_as_they_are():
    plain = Path("cells.h5ad")
    plain.write_bytes(b"no archive")
    assert unpacked(plain, most_mb=1) == plain
    store = packed("store.zip", {"zarr.json": b"{}"})
    assert unpacked(store, most_mb=1) == store


def test_what_is_too_large_or_ambiguous_is_refused():
    with pytest.raises(ValueError, match=r"large\.zip: unpacked it is 2 MB, and this page takes 1 MB"):
        unpacked(packed("large.zip", {"matrix.mtx": b"m" * 2_000_000}), most_mb=1)
    assert not Path(UNPACKED).exists()
    with pytest.raises(ValueError, match="it holds 2 matrices"):
        unpacked(packed("two.zip", {"a/matrix.mtx": b"", "b/matrix.mtx": b""}), most_mb=1)


def test_a_damaged_archive_is_one_line():
    path = packed("cells.tar.gz", {"matrix.mtx": bytes(range(256)) * 400})
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match="damaged or cut short"):
        unpacked(path, most_mb=1)


@pytest.mark.parametrize(("file", "name"), [("a.b.h5ad", "a.b"), ("x.tar.gz", "x"), (".h5ad", ".h5ad"), ("y", "y")])
def test_the_plain_name(file, name):
    assert plain_name(file) == name
