import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny
import tiny_sources

from langcell.processing.options import ReadOptions
from langcell.processing.sources.census import CensusSelection
from langcell.processing.sources.open_source import census_source, checksum_of, find_sources, open_source

COUNTS = tiny_sources.counts_of().toarray()


def write_zarr(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of zarr, about its next version
        tiny_sources.adata_of().write_zarr(path)
    return path


MAKERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "anndata": ("cells.h5ad", tiny_sources.write_h5ad),
    "anndata, zarr": ("cells.zarr", write_zarr),
    "tenx_h5": ("filtered_feature_bc_matrix.h5", tiny_sources.write_tenx_h5),
    "tenx_mtx": ("filtered_feature_bc_matrix", tiny_sources.write_mtx),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_of_source_gives_the_same_cells(kind: str, tmp_path: Path) -> None:
    name, make = MAKERS[kind]
    make(tmp_path / name)
    (spec,) = find_sources([tmp_path / name])
    assert (spec.kind, spec.name) == (kind.partition(",")[0], name)
    with open_source(spec, ReadOptions(), work=tmp_path / "work") as source:
        n_genes = len(source.gene_names)
        assert source.gene_names == tiny.tiny_gene_names()[:n_genes]
        rows = np.array([0, 7, 8, 41])
        np.testing.assert_array_equal(source.counts_of(rows).toarray(), COUNTS[rows][:, :n_genes])
        blocks = list(source.metadata_blocks(["suspension_type", "is_primary_data"], 25))
        assert [len(block) for block in blocks] == [25, 25, 10]
        assert blocks[1].index.tolist() == list(range(25, 50))
        assert list(blocks[0].columns) == (["suspension_type", "is_primary_data"] if "anndata" in kind else [])


def test_a_text_matrix_is_made_readable_once(tmp_path: Path) -> None:
    (spec,) = find_sources([tiny_sources.write_mtx(tmp_path / "mtx")])
    open_source(spec, ReadOptions(), work=tmp_path / "work").__exit__(None, None, None)
    (made,) = (tmp_path / "work").iterdir()
    before = made.stat().st_mtime_ns
    assert made.name == f"{checksum_of(spec)}.h5ad"
    open_source(spec, ReadOptions(), work=tmp_path / "work").__exit__(None, None, None)
    assert made.stat().st_mtime_ns == before


def test_globs_are_sorted_and_names_are_told_apart(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
        tiny_sources.write_h5ad(tmp_path / name / ("other.h5ad" if name == "c" else "cells.h5ad"), 5)
    specs = find_sources([tmp_path / "c" / "other.h5ad", f"{tmp_path}/[ab]/*.h5ad"])
    assert [spec.name for spec in specs] == ["c/other.h5ad", "a/cells.h5ad", "b/cells.h5ad"]
    assert [spec.name for spec in find_sources([f"{tmp_path}/c/*", f"{tmp_path}/b/*"])] == ["other.h5ad", "cells.h5ad"]


@pytest.mark.parametrize("kind", MAKERS)
def test_a_checksum_is_that_of_the_content(kind: str, tmp_path: Path) -> None:
    name, make = MAKERS[kind]
    path = make(tmp_path / name)
    moved = tmp_path / "elsewhere" / name
    (shutil.copytree if path.is_dir() else shutil.copy)(path, moved if path.is_dir() else moved.parent.mkdir() or moved)
    (here,), (there,) = find_sources([path]), find_sources([moved])
    assert checksum_of(here) == checksum_of(there)
    changed = max(moved.rglob("*"), key=lambda part: part.stat().st_size) if moved.is_dir() else moved
    changed.write_bytes(changed.read_bytes() + b"x")
    assert checksum_of(here) != checksum_of(there)


def test_counts_in_raw_as_in_cellxgene_files(tmp_path: Path) -> None:
    adata = tiny_sources.adata_of()
    adata.raw = adata.copy()
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    (spec,) = find_sources([tmp_path / "cells.h5ad"])
    with open_source(spec, ReadOptions(), work=tmp_path) as source:
        np.testing.assert_array_equal(source.counts_of(np.arange(60)).toarray(), COUNTS)


def text_file(folder: Path) -> Path:
    (folder / "cells.txt").write_text("no cells")
    return folder / "cells.txt"


def other_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = 1
    return folder / "other.h5"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        pytest.param(lambda d: d / "no.h5ad", FileNotFoundError, "no such file or folder", id="missing"),
        pytest.param(lambda d: d / "*.h5ad", FileNotFoundError, "nothing matches", id="empty_glob"),
        pytest.param(lambda d: d, ValueError, "a folder that is no zarr group, and has no matrix.mtx", id="folder"),
        pytest.param(text_file, ValueError, "not an h5ad file but text", id="text"),
    ],
)
def test_what_is_no_source(make, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        find_sources([make(tmp_path)])


def test_other_hdf5_files_are_refused_when_opened(tmp_path: Path) -> None:
    (spec,) = find_sources([other_hdf5(tmp_path)])
    with pytest.raises(ValueError, match="it has no 'obs'"):
        open_source(spec, ReadOptions(), work=tmp_path)


def test_all_that_are_no_sources_are_named_at_once(tmp_path: Path) -> None:
    text_file(tmp_path)
    (tmp_path / "cells.rds").write_bytes(b"X\n\x00\x00\x00\x03")
    tiny_sources.write_h5ad(tmp_path / "cells.h5ad", 5)
    with pytest.raises(
        ValueError, match=r"2 of 3 sources cannot be used: .*cells\.rds: an R object.* \| .*cells\.txt: not"
    ):
        find_sources([f"{tmp_path}/*"])


def test_a_source_is_named_once(tmp_path: Path) -> None:
    path = tiny_sources.write_h5ad(tmp_path / "cells.h5ad", 5)
    with pytest.raises(ValueError, match="is named twice"):
        find_sources([path, f"{tmp_path}/*.h5ad"])


def test_options_that_a_source_does_not_have(tmp_path: Path) -> None:
    (spec,) = find_sources([tiny_sources.write_tenx_h5(tmp_path / "cells.h5")])
    with pytest.raises(ValueError, match=r"unknown layer 'counts'; it has \['X'\]"):
        open_source(spec, ReadOptions(layer="counts"), work=tmp_path)
    with pytest.raises(ValueError, match="A Census holds raw counts"):
        open_source(census_source(CensusSelection("soma")), ReadOptions(x_is="log1p"), work=tmp_path)
