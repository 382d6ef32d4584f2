"""What is no container of cells gets one line that says what it is, and what to do."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from langcell.processing.containers.addresses import is_address, local_path
from langcell.processing.containers.kinds import kind_of


def packed(content: bytes) -> bytes:
    return gzip.compress(content)


def tar() -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as file:
        file.addfile(tarfile.TarInfo("cells.h5ad"))
    return memory.getvalue()


def zipped(*names: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return memory.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "it is empty; copy it again", id="empty"),
        pytest.param(
            b"gene,cell1\nCD3D,3\n", "text, perhaps a table of counts; read it with scanpy.read_csv", id="csv"
        ),
        pytest.param(packed(b"gene\tcell1\nCD3D\t3\n"), "text, perhaps a table of counts", id="tsv.gz"),
        pytest.param(packed(b"X\n\x00\x00\x00\x03\x00\x04"), "an R object .*write it as h5ad in R", id="rds"),
        pytest.param(packed(b"RDX3\nX\n"), "an R data file; write it as h5ad in R", id="RData"),
        pytest.param(packed(tar()), "a tar archive; unpack it", id="tar.gz"),
        pytest.param(tar(), "a tar archive; unpack it", id="tar"),
        pytest.param(b"PAR1xxxx", "a Parquet table", id="parquet"),
        pytest.param(b"BZh91AY", "unpack it with bunzip2", id="bz2"),
        pytest.param(zipped("a/cells.h5ad"), r"a zip without a zarr group \(it holds a/cells.h5ad", id="zip"),
        pytest.param(zipped("[Content_Types].xml"), "an Excel workbook", id="xlsx"),
        pytest.param(b"\x00\x01\x02", "nor any other kind that is read; h5ad, zarr", id="binary"),
        pytest.param(b"\x1f\x8b\x08\x00", "a gzip file that is damaged or cut short", id="cut gzip"),
    ],
)
def test_files_that_are_not_read(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        kind_of(tmp_path / "cells.h5ad")
    assert str(error.value).startswith(str(tmp_path / "cells.h5ad"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["assays/RNA", "cell.names"], "an h5Seurat file; convert it in R", id="h5seurat"),
        pytest.param(["barcode_idx", "molecule_idx"], "molecule_info.h5, which holds no matrix", id="molecule_info"),
    ],
)
def test_hdf5_files_that_are_not_read(names: list[str], message: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        for name in names:
            file[name] = np.arange(3)
    with pytest.raises(ValueError, match=message):
        kind_of(tmp_path / "cells.h5")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(["filtered/matrix.mtx"], "a folder with matrices in filtered; give one of these", id="outs"),
        pytest.param(["quants_mat.gz"], "alevin's own binary matrix", id="alevin"),
        pytest.param(["__tiledb_group.tdb"], "a TileDB-SOMA experiment; give it to tokenize", id="soma"),
        pytest.param(["readme.txt"], "no zarr group, and has no matrix.mtx", id="other"),
    ],
)
def test_folders_that_are_not_read(files: list[str], message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        kind_of(tmp_path)


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        pytest.param("s3://bucket/cells.h5ad", ValueError, r"download the file first \(aws s3 cp s3://bucket", id="s3"),
        pytest.param(Path("https://a.b/c.h5ad"), ValueError, r"\(curl -LO https://a.b/c.h5ad\)", id="path of https"),
        pytest.param("hf://datasets/cells.h5ad", ValueError, "write hf://datasets/ORGANISATION/NAME/FILE", id="short"),
        pytest.param("hf://datasets/org/cells/c.h5ad", OSError, "the Hub cannot be reached", id="offline"),
    ],
)
def test_addresses_that_cannot_be_read(place, error: type[Exception], message: str) -> None:
    assert is_address(place)
    with pytest.raises(error, match=message):
        local_path(place)


def test_a_path_is_itself(tmp_path: Path) -> None:
    assert local_path(tmp_path / "cells.h5ad") == tmp_path / "cells.h5ad"
    assert not is_address("cells:1.h5ad")
