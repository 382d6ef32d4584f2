import asyncio
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from zarr.core.sync import sync as zarr_sync

from langcell.processing.cells.stores import (
    copy_store,
    is_legacy,
    no_late_writes,
    open_for_adding,
    open_store,
    stored_bytes,
    to_copy,
)


def make(path: Path, *, legacy: bool = False) -> Path:
    """A store with two tables: groups, or single arrays as in files of anndata 0.6."""
    root: Any = h5py.File(path, "w") if path.suffix == ".h5ad" else zarr.open_group(path, mode="w")
    for table in ("obs", "var"):
        root.create_group(table) if not legacy else root.create_array(table, data=np.arange(3))
    if path.suffix == ".h5ad":
        root.close()
    return path


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_open_copy_and_add(suffix: str, tmp_path: Path) -> None:
    source, target = make(tmp_path / f"a.{suffix}"), tmp_path / f"b.{suffix}"
    copy_store(source, target)
    assert stored_bytes(target) == stored_bytes(source) > 0
    with open_for_adding(target) as root:
        root.create_group("obsm")
    for path, elements in ((source, ["obs", "var"]), (target, ["obs", "obsm", "var"])):
        root, close = open_store(path)
        assert sorted(root.keys()) == elements
        assert not is_legacy(root)
        close()


def test_only_a_modern_store_of_the_same_format_is_copied(tmp_path: Path) -> None:
    h5ad, folder, old = make(tmp_path / "a.h5ad"), make(tmp_path / "a.zarr"), make(tmp_path / "b.zarr", legacy=True)
    assert to_copy(h5ad, Path("out.h5ad")) == h5ad
    assert to_copy(folder, Path("out.zarr")) == folder
    assert to_copy(h5ad, Path("out.zarr")) is None
    assert to_copy(folder, Path("out.h5ad")) is None
    assert to_copy(old, Path("out.zarr")) is None


def test_store_without_tables_is_refused_and_closed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "tenx.h5", "w") as file:
        file.create_group("matrix")
    with pytest.raises(ValueError, match=r"it has no 'obs', only \['matrix'\]"):
        open_store(tmp_path / "tenx.h5")
    h5py.File(tmp_path / "tenx.h5", "a").close()  # fails on a file that is still open


def test_background_writes_end_before_the_error_goes_on(tmp_path: Path) -> None:
    async def start_late_write() -> asyncio.Task[None]:
        async def write() -> None:
            await asyncio.sleep(0.2)
            (tmp_path / "late").write_text("written")

        return asyncio.create_task(write())

    def fail_while_writing() -> None:
        with no_late_writes():
            kept.append(zarr_sync(start_late_write()))
            raise KeyboardInterrupt

    kept: list[asyncio.Task[None]] = []  # a task that nobody holds may be collected before it ran
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing()
    assert (tmp_path / "late").exists()
