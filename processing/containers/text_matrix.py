"""Text matrices (`matrix.mtx`): they cannot be read by rows, so each is turned into an h5ad file once.

That is one pass over the text, some entries at a time.
"""

import gzip
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import pandas as pd

from langcell.processing.containers.anndata_layout import mark_anndata, mark_sparse, write_table
from langcell.processing.containers.matrix_layouts import MatrixFiles, matrix_files, open_text, read_fields
from langcell.processing.containers.tenx import GENE_EXPRESSION
from langcell.processing.files.atomic_output import atomic_output

logger = logging.getLogger("langcell")

# Entries of a text matrix that are in memory at once: 16 bytes each, and about five times that while they are parsed.
_ENTRIES_PER_BLOCK = 1_000_000


@dataclass(frozen=True)
class _Header:
    """What the first lines of a text matrix say: its size, how many entries, and whether each has a value."""

    shape: tuple[int, int]
    entries: int
    dtype: np.dtype
    is_pattern: bool


def convert_mtx(place: Path, output: Path) -> None:
    """Turn a text matrix, genes x cells or cells x genes, into an h5ad file, whole or not at all.

    Args:
        place: its folder, or the file itself where a folder has several.
        output: the file to write.

    Raises:
        FileNotFoundError: a file is missing.
        OSError: no room on the disk.
        ValueError: the text is damaged, fits no table beside it, or is sorted neither by cell nor by gene.
    """
    files = matrix_files(place)
    with atomic_output(output) as temporary, h5py.File(temporary, "w") as root, open_text(files.matrix) as text:
        header = _read_header(text, files.matrix)
        features, barcodes = _tables(files)
        genes_first, features, barcodes = _fitted(header.shape, features, barcodes, files)
        mark_anndata(root)
        write_table(root, "obs", [row[0] for row in barcodes], {})
        columns = _feature_columns(features, files)
        write_table(root, "var", list(columns["id"]), columns)
        _write_entries(root.create_group("X"), text, files.matrix, header, genes_first=genes_first)


def _tables(files: MatrixFiles) -> tuple[list[list[str]], list[list[str]]]:
    features, barcodes = read_fields(files.features), read_fields(files.barcodes)
    if files.names is not None:
        names = [row[0] for row in read_fields(files.names)]
        if len(names) == len(features):
            features = [[row[0], name] for row, name in zip(features, names, strict=True)]
    return features, barcodes


def _fitted(
    shape: tuple[int, int], features: list[list[str]], barcodes: list[list[str]], files: MatrixFiles
) -> tuple[bool, list[list[str]], list[list[str]]]:
    """Return whether genes come first, and both tables without a line of titles."""
    for extra_genes, extra_cells in ((0, 0), (1, 1), (1, 0), (0, 1)):
        size = (len(features) - extra_genes, len(barcodes) - extra_cells)
        if shape in (size, size[::-1]):
            genes_first = shape == size and not (files.cells_first and size[0] == size[1])
            return genes_first, features[extra_genes:], barcodes[extra_cells:]
    raise ValueError(
        f"{files.matrix}: {shape[0]} x {shape[1]}, but the tables beside it name {len(features)} features and "
        f"{len(barcodes)} barcodes."
    )


def _feature_columns(features: list[list[str]], files: MatrixFiles) -> dict[str, np.ndarray]:
    """Columns id, name and feature_type; before Cell Ranger 3 there were genes only, and two columns."""
    ids = [row[0] for row in features]
    kinds = [row[2] if len(row) > 2 and row[2] else GENE_EXPRESSION for row in features]
    if "quants_mat" in files.matrix.name and any(name.endswith("-U") for name in ids):
        logger.info(
            f"{files.matrix}: of alevin-fry's spliced, unspliced and ambiguous counts the first and the last are taken"
        )
        kinds = ["unspliced" if name.endswith("-U") else kind for name, kind in zip(ids, kinds, strict=True)]
        ids = [name.removesuffix("-A") for name in ids]
    names = [row[1] if len(row) > 1 and row[1] else gene_id for gene_id, row in zip(ids, features, strict=True)]
    columns = {"id": ids, "name": names, "feature_type": kinds}
    return {name: np.array(values, dtype=object) for name, values in columns.items()}


def _write_entries(group: h5py.Group, text: IO[str], path: Path, header: _Header, *, genes_first: bool) -> None:
    """The entries as three arrays; sorted by cell they are a matrix of rows, sorted by gene one of columns."""
    n_genes, n_cells = header.shape if genes_first else header.shape[::-1]
    kinds = {"data": header.dtype, "gene": np.dtype(np.int32), "cell": np.dtype(np.int32)}
    arrays = {key: group.create_dataset(key, (header.entries,), kind) for key, kind in kinds.items()}
    counts = {"gene": np.zeros(n_genes, dtype=np.int64), "cell": np.zeros(n_cells, dtype=np.int64)}
    is_sorted, last, place = {"gene": True, "cell": True}, {"gene": 0, "cell": 0}, 0
    for block in _blocks(text, header, path, genes_first=genes_first):
        if block.empty:
            continue
        stop = place + len(block)
        if stop > header.entries:
            raise ValueError(f"{path} is damaged: it has more than the {header.entries:,} entries that it announces.")
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
    if place != header.entries:
        raise ValueError(f"{path} is cut short: {place:,} of {header.entries:,} entries; copy it again.")
    if not any(is_sorted.values()):
        raise ValueError(f"{path}: entries sorted neither by cell nor by gene; sort them, or save the cells as h5ad.")
    major, minor = ("cell", "gene") if is_sorted["cell"] else ("gene", "cell")
    group["indptr"] = np.concatenate([[0], np.cumsum(counts[major])])
    group.move(minor, "indices")
    del group[major]
    mark_sparse(group, "csr" if major == "cell" else "csc", (n_cells, n_genes))


def _read_header(text: IO[str], path: Path) -> _Header:
    banner = text.readline().lower().split()
    if banner[:3] != ["%%matrixmarket", "matrix", "coordinate"] or banner[3:] not in (
        ["integer", "general"],
        ["real", "general"],
        ["pattern", "general"],
    ):
        raise ValueError(f"{path}: not a MatrixMarket file of coordinates with integer or real values.")
    line = text.readline()
    while line.startswith("%") or (line and not line.strip()):
        line = text.readline()
    try:
        rows, columns, entries = map(int, line.split())
    except ValueError:
        raise ValueError(f"{path}: its third line should be genes, cells and entries; it is {line!r}.") from None
    is_whole = banner[3] != "real"
    return _Header((rows, columns), entries, np.dtype(np.int32 if is_whole else np.float64), banner[3] == "pattern")


def _blocks(text: IO[str], header: _Header, path: Path, *, genes_first: bool) -> Iterator[pd.DataFrame]:
    axes = ["gene", "cell"] if genes_first else ["cell", "gene"]
    names = axes if header.is_pattern else [*axes, "data"]
    # Integers that are written as 3.0 are read, too.
    kinds = {"gene": np.int64, "cell": np.int64, "data": np.float64}
    try:
        for block in pd.read_csv(
            text,
            sep=r"\s+",
            header=None,
            names=names,
            dtype={name: kinds[name] for name in names},
            chunksize=_ENTRIES_PER_BLOCK,
        ):
            yield block.assign(data=1) if header.is_pattern else block
    except pd.errors.EmptyDataError:
        return
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
