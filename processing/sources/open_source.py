"""What shards are made from: files, folders and a Census behind one interface, each with a checksum."""

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.options import ReadOptions
from langcell.processing.shards.manifest import sha256_of
from langcell.processing.sources.census import CensusSelection, CensusSource
from langcell.processing.sources.tenx import is_tenx_h5, open_tenx_h5
from langcell.processing.sources.tenx_text import convert_mtx, find_mtx, mtx_files

SourceKind = Literal["anndata", "tenx_h5", "tenx_mtx", "census"]


@dataclass(frozen=True)
class SourceSpec:
    """One source: all that a process on any machine needs to open it.

    Attributes:
        kind: How it is read.
        name: What shards and manifest call it; distinct within a run.
        path: Absolute path, or the URI of a Census.
        census: Which cells of a Census.
    """

    kind: SourceKind
    name: str
    path: str
    census: CensusSelection | None = None


class RowSource(Protocol):
    """An opened source: `CellSource` or `CensusSource`; a context manager."""

    gene_names: list[str]
    gene_columns: list[str]
    var: pd.DataFrame
    obs_columns: list[str]

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def metadata(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Columns of the cells from row `start` to `stop`, with their rows as index; absent columns are left out."""
        ...

    def metadata_blocks(self, columns: Sequence[str], rows_per_block: int) -> Iterator[pd.DataFrame]:
        """The same for all cells, in order, in tables of at most `rows_per_block` rows."""
        ...

    def counts_of(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Cells x genes of some rows, int64 ascending; every value checked."""
        ...


def find_sources(patterns: Sequence[str | Path]) -> list[SourceSpec]:
    """The sources that paths and globs stand for, in the order given; the matches of a glob are sorted.

    Raises:
        FileNotFoundError: A path does not exist, or a glob matches nothing.
        ValueError: Something is no source of cells, or is named twice.
    """
    paths = [Path(os.path.abspath(path)) for pattern in patterns for path in _matches(str(pattern))]
    twice = [path for path, times in Counter(map(os.path.realpath, paths)).items() if times > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice: its cells would be in the shards twice; name it once.")
    return [SourceSpec(_kind(path), name, str(path)) for path, name in zip(paths, _names(paths), strict=True)]


def census_source(selection: CensusSelection) -> SourceSpec:
    """A selection of a Census as a source.

    >>> census_source(CensusSelection("s3://bucket/cell-census/2025-01-30/soma/")).name
    'cell-census/2025-01-30/soma homo_sapiens'
    """
    place = "/".join([part for part in selection.uri.split("/") if part][-3:])
    return SourceSpec("census", f"{place} {selection.organism}", selection.uri, selection)


def open_source(spec: SourceSpec, options: ReadOptions, *, work: Path, checksum: str | None = None) -> RowSource:
    """Open a source to read rows from.

    Args:
        spec: What to open.
        options: How to read its values.
        work: Folder for the readable form of a text matrix; made where it is missing.
        checksum: Checksum of the source, which names that form; computed where it is needed and not given.

    Raises:
        ValueError, OSError: It cannot be read; see `open_cells`, `open_tenx_h5`, `CensusSource`.
    """
    path = Path(spec.path)
    if spec.census is not None:
        if options.x_is != "counts":
            raise ValueError(f"A Census holds raw counts; x_is {options.x_is!r} cannot be read from it.")
        return CensusSource(spec.census, gene_column=options.gene_column, layer=options.layer)
    if spec.kind == "anndata":
        return open_cells(path, x_is=options.x_is, gene_column=options.gene_column, layer=options.layer, read_obs=False)
    if options.layer is not None:
        raise ValueError(f"{spec.path}: a 10x matrix has no layers; leave out layer {options.layer!r}.")
    if spec.kind == "tenx_mtx":
        path = work / f"{checksum or checksum_of(spec)}.h5"
        if not path.exists():
            work.mkdir(parents=True, exist_ok=True)
            convert_mtx(Path(spec.path), path)
    return open_tenx_h5(path, x_is=options.x_is, gene_column=options.gene_column, name=spec.path)


def checksum_of(spec: SourceSpec) -> str:
    """sha256 of a file, or over the names and checksums of the files of a folder.

    A Census has none; what was selected from it is summed up by the plan.
    """
    path = Path(spec.path)
    if path.is_file():
        return sha256_of(path)
    files = mtx_files(path) if spec.kind == "tenx_mtx" else sorted(part for part in path.rglob("*") if part.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()}\t{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _matches(pattern: str) -> list[str]:
    if os.path.exists(pattern):
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []
    if not found:
        what = "nothing matches" if glob.has_magic(pattern) else "no such file or folder:"
        raise FileNotFoundError(f"{what} {pattern}; give h5ad, zarr, 10x .h5 or 10x mtx folders, or a glob of them")
    return found


def _kind(path: Path) -> SourceKind:
    if path.is_dir():
        if any((path / mark).exists() for mark in (".zgroup", "zarr.json")):
            return "anndata"
        if find_mtx(path) is not None:
            return "tenx_mtx"
        raise ValueError(f"{path} is neither a zarr folder nor one with a 10x matrix.mtx; for its files give a glob.")
    if h5py.is_hdf5(path) and is_tenx_h5(path):
        return "tenx_h5"
    if path.suffix not in (".h5ad", ".h5"):
        raise ValueError(f"{path}: unknown kind of file; give h5ad, zarr, 10x .h5 or 10x mtx folders.")
    return "anndata"


def _names(paths: Sequence[Path]) -> list[str]:
    """File names; where two files have the same, paths from the folder that all have in common."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    common = Path(os.path.commonpath(paths))
    return [path.relative_to(common).as_posix() for path in paths]
