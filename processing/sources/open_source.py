"""What shards are made from: files, folders and a Census behind one interface, each with a checksum."""

import glob
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.containers.addresses import is_address, local_path
from langcell.processing.containers.kinds import READ_KINDS, kind_of
from langcell.processing.containers.readable import CONVERTED, convert, parts_of
from langcell.processing.gene_naming.found_genes import FoundGenes, GeneNaming
from langcell.processing.genes import GeneVocabulary
from langcell.processing.options import READ_FIELDS, ReadOptions
from langcell.processing.shards.manifest import sha256_of
from langcell.processing.sources.census import CensusSelection, excludes_values
from langcell.processing.sources.hosted_census import open_census

logger = logging.getLogger("langcell.sources")

SourceKind = Literal["anndata", "tenx_h5", "tenx_mtx", "h5mu", "loom", "gzip", "census"]
_KIND_IN_MANIFESTS: Mapping[str, SourceKind] = {
    "h5ad": "anndata", "zarr": "anndata", "zip": "anndata", "zarr_mudata": "h5mu", "h5mu": "h5mu",
    "tenx_h5": "tenx_h5", "mtx": "tenx_mtx", "loom": "loom", "gzip": "gzip",
}  # fmt: skip


@dataclass(frozen=True)
class SourceSpec:
    """One source: all that a process on any machine needs to open it.

    Attributes:
        kind: How it is read.
        name: What shards and manifest call it; distinct within a run.
        path: Absolute path, an address on the Hub, or the URI of a Census.
        census: Which cells of a Census.
    """

    kind: SourceKind
    name: str
    path: str
    census: CensusSelection | None = None


class RowSource(Protocol):
    """An opened source: `CellSource` or `CensusSource`, which may be in another process; a context manager."""

    gene_names: list[str]
    gene_columns: list[str]
    naming: GeneNaming
    var: pd.DataFrame
    obs_columns: list[str]

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def find_genes(self, vocabulary: GeneVocabulary, *, tell: bool = True) -> FoundGenes:
        """Return where the genes are in a vocabulary, and how they were found in the log; next to none is an error."""
        ...

    def metadata(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Return the columns of the cells from row `start` to `stop`, with their rows as index; absent columns are left
        out."""
        ...

    def metadata_blocks(self, columns: Sequence[str], rows_per_block: int) -> Iterator[pd.DataFrame]:
        """Return the same for all cells, in order, in tables of at most `rows_per_block` rows."""
        ...

    def counts_of(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Return cells x genes of some rows, int64 ascending; every value checked."""
        ...


def find_sources(
    patterns: Sequence[str | Path], *, faults: list[tuple[str, Exception]] | None = None
) -> list[SourceSpec]:
    """Return the sources that paths, globs and addresses stand for, in the order given; the matches of a glob are
    sorted.

    Its content says what each is; see `containers.kinds`. All that is wrong is said at once.

    Args:
        patterns: Paths, globs, addresses on the Hub.
        faults: Takes the name of each file that is no source of cells with the error, in place of raising it.

    Raises:
        FileNotFoundError: A path does not exist, or a glob matches nothing.
        ValueError: Something is no source of cells, or is named twice.
    """
    places = [place for pattern in patterns for place in _matches(str(pattern))]
    twice = [place for place, times in Counter(map(os.path.realpath, places)).items() if times > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice: its cells would be in the shards twice; name it once.")
    specs: list[SourceSpec] = []
    found: list[tuple[str, Exception]] = [] if faults is None else faults
    for place, name in zip(places, _names(places), strict=True):
        try:
            specs.append(SourceSpec(_KIND_IN_MANIFESTS[kind_of(local_path(place))], name, place))
        except (OSError, ValueError) as error:
            found.append((name, error))
    if faults is None:
        refuse_unfit(found, len(places))
    return specs


def refuse_unfit(faults: Sequence[tuple[str, Exception]], n_sources: int) -> None:
    """Raise one error for all sources that cannot be used; nothing where there is none.

    Args:
        faults: name of a source, and what is wrong with it.
        n_sources: number of all sources.

    Raises:
        ValueError, OSError: the error itself where it is the only one, otherwise a line with all of them.
    """
    if not faults:
        return
    lines = [said_of(name, error) for name, error in faults]
    if len(faults) == 1:
        error = faults[0][1]
        raise type(error)(lines[0]) from error
    raise ValueError(
        f"{len(faults)} of {n_sources} sources cannot be used: {' | '.join(lines)} Correct them or leave them out; "
        "langcell check says all that is wrong."
    )


def said_of(name: str, error: Exception) -> str:
    """Return what an error says, with the name of its source in it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if name in text else f"{name}: {text}"


def census_source(selection: CensusSelection) -> SourceSpec:
    """Return a selection of a Census as a source.

    >>> census_source(CensusSelection("s3://bucket/cell-census/2025-01-30/soma/")).name
    'cell-census/2025-01-30/soma homo_sapiens'
    """
    place = "/".join([part for part in selection.uri.split("/") if part][-3:])
    if selection.value_filter and excludes_values(selection.value_filter):
        logger.warning(f"The filter {selection.value_filter!r} leaves out the cells without a value too, as in SQL.")
    return SourceSpec("census", f"{place} {selection.organism}", selection.uri, selection)


def open_source(spec: SourceSpec, options: ReadOptions, *, work: Path, checksum: str | None = None) -> RowSource:
    """Open a source to read rows from.

    Args:
        spec: What to open.
        options: How to read its values.
        work: Folder for the h5ad file of what cannot be read in place (mtx, loom, gz); made where it is missing.
        checksum: Checksum of the source, which names that form; computed where it is needed and not given.

    Raises:
        ValueError, OSError: It cannot be read; see `open_cells`, `open_census`.
    """
    if spec.census is not None:
        if options.x_is != "counts":
            raise ValueError(f"A Census holds raw counts; x_is {options.x_is!r} cannot be read from it.")
        naming = GeneNaming(options.species, options.orthologs)
        return open_census(spec.census, gene_column=options.gene_column, layer=options.layer, naming=naming)
    reading: dict[str, Any] = {**{name: getattr(options, name) for name in READ_FIELDS}, "read_obs": False}
    path = local_path(spec.path)
    if kind_of(path) not in CONVERTED:
        return open_cells(path, **reading)
    made = work / f"{checksum or checksum_of(spec)}.h5ad"  # once for all processes that read it
    if not made.exists():
        work.mkdir(parents=True, exist_ok=True)
        convert(path, made)
    return open_cells(made, **reading, name=spec.path)


def checksum_of(spec: SourceSpec) -> str:
    """Return sha256 of a file, or over the names and checksums of the files of a folder.

    A Census has none; what was selected from it is summed up by the plan.
    """
    path = local_path(spec.path)
    if path.is_file() and spec.kind != "tenx_mtx":
        return sha256_of(path)
    top = path if path.is_dir() else path.parent
    digest = hashlib.sha256()
    for file in parts_of(path):
        digest.update(f"{file.relative_to(top).as_posix()}\t{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _matches(pattern: str) -> list[str]:
    """Absolute paths that a pattern stands for; an address stands for itself."""
    if is_address(pattern):
        return [pattern]
    if os.path.exists(pattern):
        return [os.path.abspath(pattern)]
    found = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []
    if not found:
        what = "nothing matches" if glob.has_magic(pattern) else "no such file or folder:"
        raise FileNotFoundError(f"{what} {pattern}; {READ_KINDS}, or a glob of them")
    return list(map(os.path.abspath, found))


def _names(places: Sequence[str]) -> list[str]:
    """File names; where two files have the same, paths from the folder that all have in common."""
    names = [Path(place).name for place in places]
    if len(set(names)) == len(names):
        return names
    if any(map(is_address, places)):
        return list(places)
    common = Path(os.path.commonpath(places))
    return [Path(place).relative_to(common).as_posix() for place in places]
