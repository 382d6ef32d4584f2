"""Uploaded files: what they are called without endings, and archives of a 10x matrix, which are unpacked."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

SUFFIXES = (".h5ad", ".h5mu", ".h5", ".loom", ".zip", ".gz", ".tgz", ".tar")
UNPACKED = "unpacked"
_MATRICES = ("matrix.mtx", "matrix.mtx.gz")


class _Archive(Protocol):
    def sizes(self) -> dict[str, int]: ...
    def open(self, name: str) -> IO[bytes]: ...


def plain_name(file: str) -> str:
    """Return the name of a file without the endings of its kind.

    >>> plain_name("pbmc.h5ad.gz"), plain_name("filtered_feature_bc_matrix.tar.gz")
    ('pbmc', 'filtered_feature_bc_matrix')
    """
    name = file
    while name.endswith(SUFFIXES):
        name = name.rpartition(".")[0]
    return name or file


def unpacked(file: Path, *, most_mb: int) -> Path:
    """Return the folder of the 10x matrix (matrix.mtx with barcodes and features) in a zip or tar; other files as they
    are.

    Only the files beside the matrix are unpacked, without the folders that they are in, so that no name can lead
    elsewhere.

    Args:
        file: in the current folder.
        most_mb: size of these files, in MB, at most.

    Raises:
        ValueError: several matrices, or more than `most_mb`, or a damaged archive.
    """
    try:
        with _opened(file) as archive:
            return file if archive is None else _unpack(file, archive, most_mb)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{file}: an archive that is damaged or cut short ({error}); pack it again.") from error


def _unpack(file: Path, archive: _Archive, most_mb: int) -> Path:
    sizes = {name: size for name, size in archive.sizes().items() if not name.startswith("__MACOSX/")}
    matrices = [name for name in sizes if PurePosixPath(name).name in _MATRICES]
    if not matrices:
        return file  # a zarr store in a zip, or nothing that is read: who opens it says so
    if len(matrices) > 1:
        raise ValueError(f"{file}: it holds {len(matrices)} matrices ({', '.join(matrices[:3])}); pack one of them.")
    beside = [name for name in sizes if PurePosixPath(name).parent == PurePosixPath(matrices[0]).parent]
    if (total := sum(sizes[name] for name in beside)) > most_mb * 1_000_000:
        raise ValueError(f"{file}: unpacked it is {total / 1e6:,.0f} MB, and this page takes {most_mb:,} MB.")
    folder = file.with_name(UNPACKED)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in beside:
        with archive.open(name) as packed, (folder / PurePosixPath(name).name).open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    return folder


@contextmanager
def _opened(file: Path) -> Iterator[_Archive | None]:
    """The archive; None for any other file."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            yield _Zip(archive)
    elif file.name.endswith((".tar", ".tgz", ".tar.gz")) and tarfile.is_tarfile(file):
        with tarfile.open(file) as archive:
            yield _Tar(archive)
    else:
        yield None


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def sizes(self) -> dict[str, int]:
        return {info.filename: info.file_size for info in self._archive.infolist() if not info.is_dir()}

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def sizes(self) -> dict[str, int]:
        return {member.name: member.size for member in self._archive.getmembers() if member.isfile()}

    def open(self, name: str) -> IO[bytes]:
        found = self._archive.extractfile(name)
        assert found is not None, "a regular file can be read"
        return found
