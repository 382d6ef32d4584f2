"""AnnData files as stores of elements: h5ad (HDF5) and zarr folders behind one interface, to read, copy and extend."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import zarr
from zarr.core.sync import sync as zarr_sync

from langcell.processing.containers.readable import Readable, open_root, readable

GROUPS = (h5py.Group, zarr.Group)


def open_store(path: Path) -> tuple[Any, Callable[[], None]]:
    """Return the root group of an AnnData, to read from, and the function that closes it; see `containers.readable`.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        OSError: It must not be read, or another program is writing it.
        ValueError: It is no container of cells, or holds no tables of cells and genes.
    """
    form = readable(path)
    root, close = _open_h5ad(form) if is_hdf5(form.path) else _open_zarr(form)
    missing = [table for table in ("obs", "var") if table not in root]
    if missing:
        found = sorted(root.keys())[:10]
        close()
        raise ValueError(f"{path}: no AnnData: it has no {missing[0]!r}, only {found}; write it with anndata")
    return root, close


def _open_h5ad(form: Readable) -> tuple[Any, Callable[[], None]]:
    file = h5py.File(form.path, "r")  # `readable` has opened it, and refused what is damaged
    return (file[form.key] if form.key else file), file.close


def _open_zarr(form: Readable) -> tuple[Any, Callable[[], None]]:
    try:
        return open_root(form)
    except (OSError, ValueError, KeyError, AssertionError) as error:
        # zarr before 3.1.6 asserts that what it opens is no array; pytest gives that many lines.
        reason = "an array" if isinstance(error, AssertionError) else error
        raise ValueError(f"{form.path}: no zarr group, or a damaged one ({reason}); copy it again") from error


def is_hdf5(path: Path) -> bool:
    """Return whether a path is an HDF5 file."""
    return path.is_file() and h5py.is_hdf5(path)


def is_legacy(root: Any) -> bool:
    """Return whether the tables are single compound arrays, as anndata wrote them before 0.7."""
    return not isinstance(root["obs"], GROUPS)


def to_copy(source: Path, output: Path) -> Path | None:
    """Return the file or folder to copy for an output with these cells; None where its elements have to be
    converted."""
    form = readable(source)
    same_format = form.is_whole and form.path.is_dir() == (output.suffix == ".zarr")
    return form.path if same_format and not is_legacy_file(source) else None


def is_legacy_file(path: Path) -> bool:
    """Return `is_legacy` of a container of cells."""
    root, close = open_store(path)
    try:
        return is_legacy(root)
    finally:
        close()


def stored_bytes(path: Path) -> int:
    """Return the size of a file, or of all files below a folder."""
    return sum(part.stat().st_size for part in [path, *path.rglob("*")] if part.is_file())


def copy_store(source: Path, target: Path) -> None:
    """Copy a file or a folder, and stop at the first failure."""
    if source.is_file():
        shutil.copyfile(source, target)
        return
    # shutil.copytree goes on after a failed file, and its error at the end has lost the cause (a full disk, say).
    target.mkdir()
    for path in sorted(source.rglob("*")):  # a folder comes before what is in it
        copy = target / path.relative_to(source)
        copy.mkdir() if path.is_dir() else shutil.copyfile(path, copy)


@contextmanager
def new_store(path: Path, *, is_zarr: bool, zarr_format: int) -> Iterator[Any]:
    """Yield the root group of a new store, to write into; closed at the end."""
    if not is_zarr:
        with h5py.File(path, "w") as file:
            yield file
        return
    yield zarr.open_group(path, mode="w", zarr_format=2 if zarr_format == 2 else 3)
    zarr.consolidate_metadata(path)


@contextmanager
def open_for_adding(path: Path) -> Iterator[Any]:
    """Yield the root group of an existing store, to add elements to; closed at the end."""
    if not path.is_dir():
        with h5py.File(path, "r+") as file:
            yield file
        return
    consolidated = zarr.open_group(path, mode="r").metadata.consolidated_metadata is not None
    yield zarr.open_group(path, mode="r+", use_consolidated=False)
    if consolidated:
        zarr.consolidate_metadata(path)  # the copied one does not know the new elements


@contextmanager
def no_late_writes() -> Iterator[None]:
    """Wait, after a failure, for zarr's background writes: one that came late would bring back the removed
    temporary."""
    try:
        yield
    except BaseException:
        zarr_sync(_wait_for_other_tasks())
        raise


async def _wait_for_other_tasks() -> None:
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*others, return_exceptions=True)
