"""Folders with a 10x `matrix.mtx`: a text that cannot be read by rows, so it is turned into an `.h5` file once.

That is one pass over the text, some entries at a time; the file has the layout of Cell Ranger's own.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import pandas as pd

from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.sources.tenx import GENE_EXPRESSION

# Entries of a text matrix that are in memory at once: 16 bytes each, and about five times that while they are parsed.
_ENTRIES_PER_BLOCK = 1_000_000


def find_mtx(folder: Path) -> Path | None:
    """The one text matrix of a folder: `matrix.mtx` or `matrix.mtx.gz`, with any prefix; None where there is none.

    Raises:
        ValueError: There are several.
    """
    found = sorted(path for path in folder.iterdir() if path.name.removesuffix(".gz").endswith("matrix.mtx"))
    if len(found) > 1:
        raise ValueError(f"{folder} holds {len(found)} matrices ({found[0].name}, ...); give each a folder of its own.")
    return found[0] if found else None


def mtx_files(folder: Path) -> list[Path]:
    """The files that make up the text matrix of a folder: matrix, features, barcodes.

    Raises:
        FileNotFoundError: One is missing.
    """
    matrix = find_mtx(folder)
    if matrix is None:
        raise FileNotFoundError(f"{folder}: no matrix.mtx or matrix.mtx.gz")
    prefix = matrix.name.removesuffix(".gz").removesuffix("matrix.mtx")
    return [matrix, _beside(matrix, prefix, "features.tsv", "genes.tsv"), _beside(matrix, prefix, "barcodes.tsv")]


def convert_mtx(folder: Path, output: Path) -> None:
    """Turn a folder with a text matrix (genes x cells) into an `.h5` file, whole or not at all.

    Raises:
        FileNotFoundError: A file is missing.
        OSError: No room on the disk.
        ValueError: The text is damaged, or its entries are sorted neither by cell nor by gene.
    """
    matrix, features, barcodes = mtx_files(folder)
    with atomic_output(output) as temporary, h5py.File(temporary, "w") as file:
        group = file.create_group("matrix")
        expected = _write_texts(group, features, barcodes)
        with _open_text(matrix) as text:
            _write_entries(group, text, matrix, expected)


def _beside(matrix: Path, prefix: str, *names: str) -> Path:
    for name in names:
        for path in (matrix.with_name(f"{prefix}{name}"), matrix.with_name(f"{prefix}{name}.gz")):
            if path.exists():
                return path
    raise FileNotFoundError(f"{matrix.parent}: no {prefix}{' or '.join(names)} (or .gz) beside {matrix.name}")


def _open_text(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _write_texts(group: h5py.Group, features: Path, barcodes: Path) -> tuple[int, int]:
    """Write the tables of features and barcodes; how many there are."""
    with _open_text(features) as text:
        rows = [line.rstrip("\n").split("\t") for line in text]
    table = group.create_group("features")
    for place, key in enumerate(("id", "name", "feature_type")):
        # Before Cell Ranger 3 there were genes only, and two columns.
        defaults = ("", "", GENE_EXPRESSION)
        table[key] = [row[place] if len(row) > place else defaults[place] or row[0] for row in rows]
    with _open_text(barcodes) as text:
        names = [line.rstrip("\n") for line in text]
    group["barcodes"] = names
    return len(rows), len(names)


def _write_entries(group: h5py.Group, text: IO[str], path: Path, expected: tuple[int, int]) -> None:
    """The entries as three arrays; sorted by cell they are a matrix of rows, sorted by gene one of columns."""
    shape, n_entries, dtype = _read_header(text, path)
    if shape != expected:
        raise ValueError(
            f"{path}: {shape[0]} x {shape[1]}, but the tables beside it name {expected[0]} features and "
            f"{expected[1]} barcodes."
        )
    kinds = {"data": dtype, "gene": np.dtype(np.int32), "cell": np.dtype(np.int32)}
    arrays = {key: group.create_dataset(key, (n_entries,), kind) for key, kind in kinds.items()}
    counts = {"gene": np.zeros(shape[0], dtype=np.int64), "cell": np.zeros(shape[1], dtype=np.int64)}
    is_sorted, last, place = {"gene": True, "cell": True}, {"gene": 0, "cell": 0}, 0
    for block in _blocks(text, dtype, path):
        stop = place + len(block)
        if stop > n_entries:
            raise ValueError(f"{path} is damaged: it has more than the {n_entries:,} entries that it announces.")
        arrays["data"][place:stop] = block["data"].to_numpy()
        for axis in ("gene", "cell"):
            numbers = block[axis].to_numpy() - 1
            if numbers.min() < 0 or numbers.max() >= len(counts[axis]):
                raise ValueError(f"{path} is damaged: it names a {axis} beyond the {len(counts[axis])}.")
            is_sorted[axis] &= bool(numbers[0] >= last[axis] and np.all(np.diff(numbers) >= 0))
            last[axis] = int(numbers[-1])
            counts[axis] += np.bincount(numbers, minlength=len(counts[axis]))
            arrays[axis][place:stop] = numbers
        place = stop
    if place != n_entries:
        raise ValueError(f"{path} is cut short: {place:,} of {n_entries:,} entries; copy it again.")
    if not any(is_sorted.values()):
        raise ValueError(f"{path}: entries sorted neither by cell nor by gene; sort them, or save the cells as h5ad.")
    major, minor = ("cell", "gene") if is_sorted["cell"] else ("gene", "cell")
    group.attrs["sorted_by"] = major
    group["indptr"] = np.concatenate([[0], np.cumsum(counts[major])])
    group.move(minor, "indices")
    del group[major]


def _read_header(text: IO[str], path: Path) -> tuple[tuple[int, int], int, np.dtype]:
    banner = text.readline().split()
    if banner[:3] != ["%%MatrixMarket", "matrix", "coordinate"] or banner[3:] not in (
        ["integer", "general"],
        ["real", "general"],
    ):
        raise ValueError(f"{path}: not a MatrixMarket file of coordinates with integer or real values.")
    line = text.readline()
    while line.startswith("%"):
        line = text.readline()
    try:
        genes, cells, entries = map(int, line.split())
    except ValueError:
        raise ValueError(f"{path}: its third line should be genes, cells and entries; it is {line!r}.") from None
    return (genes, cells), entries, np.dtype(np.int32 if banner[3] == "integer" else np.float64)


def _blocks(text: IO[str], dtype: np.dtype, path: Path) -> Iterator[pd.DataFrame]:
    try:
        yield from pd.read_csv(
            text,
            sep=" ",
            header=None,
            names=["gene", "cell", "data"],
            dtype={"gene": np.int64, "cell": np.int64, "data": dtype},
            chunksize=_ENTRIES_PER_BLOCK,
        )
    except pd.errors.EmptyDataError:
        return
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
