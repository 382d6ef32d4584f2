"""Any container of cells as an AnnData store: in place where its format allows that, else by a temporary file."""

import gzip
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

import zarr
from zarr.storage import ZipStore

from langcell.processing.containers.addresses import local_path
from langcell.processing.containers.kinds import Kind, kind_of, zip_root
from langcell.processing.containers.loom import convert_loom
from langcell.processing.containers.matrix_layouts import find_matrix, matrix_files
from langcell.processing.containers.mudata import link_h5mu, rna_modality
from langcell.processing.containers.tenx import link_tenx_h5
from langcell.processing.containers.text_matrix import convert_mtx
from langcell.processing.files.atomic_output import atomic_output

logger = logging.getLogger("langcell")

# What a container is called in messages; those of an AnnData are plain.
_IN_WORDS: dict[Kind, str] = {
    "mtx": "a text matrix (mtx)",
    "loom": "a loom file",
    "gzip": "packed by gzip",
}
# Kinds that cannot be read in place.
CONVERTED: tuple[Kind, ...] = ("mtx", "loom", "gzip")


@dataclass(frozen=True)
class Readable:
    """An AnnData store.

    Attributes:
        path: path of an HDF5 file, a zarr folder, or a zip of one.
        key: the group in it that is the AnnData; "" for the root.
        is_whole: a copy of `path` is a copy of the cells: no links, nothing beside them.
    """

    path: Path
    key: str = ""
    is_whole: bool = True


def readable(place: str | Path) -> Readable:
    """Return the AnnData store for a container of cells, found by its content; see `kinds.Kind`.

    What has to be converted first is written into a temporary folder (TMPDIR says where), once in this process, which
    a line in the log says. The folder is removed when the process ends.

    Raises:
        FileNotFoundError: there is nothing.
        OSError: it cannot be read, or there is no room for the temporary file.
        ValueError: nothing that is read; the line says what it is, and what to do.
    """
    path = local_path(place)
    kind = kind_of(path)
    if kind in ("h5ad", "zarr"):
        return Readable(path)
    if kind == "zip":
        return Readable(path, zip_root(path) or "", is_whole=False)
    if kind == "zarr_mudata":
        names = sorted(part.name for part in (path / "mod").iterdir() if part.is_dir())
        return Readable(path, f"mod/{rna_modality(names, path)}", is_whole=False)
    return _made(path.resolve(), kind, _state(path, kind), path)


def convert(path: Path, output: Path) -> None:
    """Write a container of one of the `CONVERTED` kinds as an h5ad file, whole or not at all.

    Raises:
        OSError, ValueError: it is damaged or incomplete, or there is no room.
    """
    converters: dict[Kind, Callable[[Path, Path], None]] = {"mtx": convert_mtx, "loom": convert_loom, "gzip": _unpack}
    converters[kind_of(path)](path, output)


def parts_of(path: Path) -> list[Path]:
    """Return the files that a container consists of, sorted: those of the matrix of an mtx folder alone."""
    if path.is_file() and kind_of(path) != "mtx":
        return [path]
    if kind_of(path) == "mtx":
        return matrix_files(path).all
    return sorted(part for part in path.rglob("*") if part.is_file())


def open_root(form: Readable) -> tuple[Any, Callable[[], None]]:
    """Return the root group of a zarr store, in a folder or a zip, to read from, and the function that closes it."""
    if form.path.is_dir():
        root = zarr.open_group(form.path, mode="r", path=form.key or None)
        return root, root.store.close
    store = ZipStore(form.path, mode="r")
    root = zarr.open_group(store, mode="r", path=form.key or None)
    return root, store.close


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="langcell-")


def _state(path: Path, kind: Kind) -> tuple[int, int]:
    """Size and time of the last change: a file that was written again is read again."""
    stat = (find_matrix(path) or path).stat() if kind == "mtx" else path.stat()
    return stat.st_size, stat.st_mtime_ns


@cache
def _made(path: Path, kind: Kind, state: tuple[int, int], shown: Path) -> Readable:
    output = Path(tempfile.mkdtemp(dir=_folder().name), "cells.h5ad")
    if kind == "tenx_h5":
        link_tenx_h5(path, output)
        return Readable(output, is_whole=False)
    if kind == "h5mu":
        key = link_h5mu(path, output)
        return Readable(path, key, is_whole=False) if key is not None else Readable(output, is_whole=False)
    convert(path, output)
    size = output.stat().st_size / 1e6
    logger.info(f"{shown}: {_IN_WORDS[kind]}; it is read from a temporary h5ad file, {size:,.0f} MB in {output.parent}")
    return readable(output) if kind == "gzip" else Readable(output)


def _unpack(path: Path, output: Path) -> None:
    try:
        with atomic_output(output) as temporary, gzip.open(path, "rb") as packed, temporary.open("wb") as file:
            shutil.copyfileobj(cast(IO[bytes], packed), file, 1 << 20)
    except EOFError as error:
        raise ValueError(f"{path}: a gzip file that is cut short ({error}); copy it again.") from error
