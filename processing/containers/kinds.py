"""What a file or folder with cells is, by its content; what is not read gets a line that says how to convert it."""

import gzip
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import h5py

Kind = Literal["h5ad", "zarr", "h5mu", "zarr_mudata", "tenx_h5", "mtx", "loom", "gzip", "zip"]
"""`gzip` is a compressed file of another kind, `zip` a zarr folder in a zip."""

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZARR_MARKS = (".zgroup", "zarr.json")
READ_KINDS = "h5ad, zarr (folder or zip), h5mu, loom, 10x .h5, folders with a matrix.mtx, and .gz of a file are read"
_PEEK = 600
_R = "write it as h5ad in R: anndataR::write_h5ad(x, 'cells.h5ad'), or zellkonverter::writeH5AD"
# First bytes of files that people have in place of those that are read.
_FOREIGN: Mapping[bytes, tuple[str, str]] = {
    b"PAR1": ("a Parquet table", "build an AnnData from it and write that as h5ad"),
    b"ARROW1": ("an Arrow table", "build an AnnData from it and write that as h5ad"),
    b"RDX": ("an R data file", _R),
    b"RDA": ("an R data file", _R),
    b"X\n\x00\x00": ("an R object (.rds; Seurat?)", _R),
    b"BZh": ("a bzip2 file", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("an xz file", "unpack it with xz -d"),
    b"(\xb5/\xfd": ("a zstd file", "unpack it with unzstd"),
    b"\x93NUMPY": ("a numpy array", "build an AnnData with the names of its cells and genes, and write that as h5ad"),
}


def kind_of(path: Path) -> Kind:
    """Return what a file or folder with cells is.

    Raises:
        FileNotFoundError: there is nothing.
        OSError: it must not be read, or another program is writing it.
        ValueError: it is nothing that is read; the line says what it is, and what to do.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; check the path.")
    if path.is_dir():
        return _kind_of_folder(path)
    try:
        with path.open("rb") as file:
            start = file.read(_PEEK)
    except PermissionError as error:
        raise OSError(f"{path}: cannot be opened: {error.strerror or error}") from error
    if h5py.is_hdf5(path):
        return _kind_of_hdf5(path)
    if start.startswith(b"\x1f\x8b"):
        return _kind_of_gzip(path)
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        return _kind_of_zip(path)
    if start.startswith(b"%%MatrixMarket"):
        return "mtx"
    raise _refusal(path, start)


def zip_root(path: Path) -> str | None:
    """Return the folder of a zip that is a zarr group, "" for the zip itself; None where there is none."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if not name.startswith("__MACOSX/")]
    roots = [name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in ZARR_MARKS]
    return min(roots, key=lambda root: (root.count("/"), root != "", root), default=None)


def _kind_of_folder(path: Path) -> Kind:
    if any((path / mark).is_file() for mark in ZARR_MARKS):
        return "zarr_mudata" if (path / "mod").is_dir() and not (path / "X").exists() else "zarr"
    names = sorted(part.name for part in path.iterdir())
    if any(name.removesuffix(".gz").endswith(".mtx") for name in names):
        return "mtx"
    if "quants_mat.gz" in names:
        raise ValueError(
            f"{path}: alevin's own binary matrix; run salmon alevin with --dumpMtx, or convert it with tximport in R."
        )
    if any(name.startswith("__tiledb") for name in names) or "__group" in names:
        raise ValueError(f"{path}: a TileDB-SOMA experiment; give it to tokenize and genes by --census-uri {path}.")
    inside = [name for name in names if (path / name).is_dir() and _is_matrix_folder(path / name)]
    if inside:
        raise ValueError(f"{path}: a folder with matrices in {', '.join(inside)}; give one of these.")
    raise ValueError(
        f"{path}: a folder that is no zarr group, and has no matrix.mtx (10x, STARsolo, alevin, kallisto); {READ_KINDS}"
    )


def _is_matrix_folder(path: Path) -> bool:
    return any(part.name.removesuffix(".gz").endswith(".mtx") for part in path.iterdir())


def _kind_of_hdf5(path: Path) -> Kind:
    try:
        with h5py.File(path, "r") as file:
            return _kind_of_root(file, path)
    except (PermissionError, BlockingIOError) as error:
        raise OSError(f"{path}: cannot be opened: {error.strerror or error}") from error
    except OSError as error:
        raise ValueError(f"{path}: not an h5ad file, or cut short ({error}); copy it again; {READ_KINDS}") from error


def _kind_of_root(root: Any, path: Path) -> Kind:
    names = set(root)
    if {"obs", "var"} <= names and "mod" not in names:
        return "h5ad"
    if "mod" in names:
        return "h5mu"
    if {"matrix", "row_attrs", "col_attrs"} <= names:
        return "loom"
    if "obs" not in names and any(is_tenx_matrix(root[name]) for name in names):
        return "tenx_h5"
    if "cell.names" in names or {"assays", "meta.data"} & names:
        raise ValueError(f"{path}: an h5Seurat file; convert it in R: SeuratDisk::Convert(..., dest = 'h5ad').")
    if "barcode_idx" in names or "molecule_idx" in names:
        raise ValueError(
            f"{path}: Cell Ranger's molecule_info.h5, which holds no matrix; give filtered_feature_bc_matrix.h5."
        )
    return "h5ad"  # one that is damaged, or no AnnData at all: who opens it says what is missing


def is_tenx_matrix(group: Any) -> bool:
    """Return whether a group of an HDF5 file is a matrix as Cell Ranger writes it."""
    return isinstance(group, h5py.Group) and {"data", "indices", "indptr", "barcodes"} <= set(group)


def _kind_of_gzip(path: Path) -> Kind:
    try:
        with gzip.open(path, "rb") as file:
            start = file.read(_PEEK)
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: a gzip file that is damaged or cut short ({error}); copy it again.") from error
    if start.startswith(HDF5_MAGIC):
        return "gzip"
    if start.startswith(b"%%MatrixMarket"):
        return "mtx"
    if start[257:262] == b"ustar":
        raise ValueError(f"{path}: a tar archive; unpack it (tar -xzf) and give what is in it: {READ_KINDS}")
    raise _refusal(path, start)


def _kind_of_zip(path: Path) -> Kind:
    if zip_root(path) is not None:
        return "zip"
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    if "[Content_Types].xml" in names:
        raise ValueError(f"{path}: an Excel workbook; cells are not read from it; {READ_KINDS}")
    if any(name.endswith(".npy") for name in names):
        raise ValueError(f"{path}: numpy arrays (.npz); build an AnnData with the names of cells and genes.")
    shown = ", ".join(names[:3])
    raise ValueError(f"{path}: a zip without a zarr group (it holds {shown}, ...); unzip it and give what is in it.")


def _refusal(path: Path, start: bytes) -> ValueError:
    if start[257:262] == b"ustar":
        return ValueError(f"{path}: a tar archive; unpack it (tar -xf) and give what is in it: {READ_KINDS}")
    for magic, (what, advice) in _FOREIGN.items():
        if start.startswith(magic):
            return ValueError(f"{path}: {what}; {advice}.")
    if not start:
        return ValueError(f"{path}: not an h5ad file: it is empty; copy it again.")
    if _is_text(start):
        return ValueError(
            f"{path}: not an h5ad file but text, perhaps a table of counts; read it with scanpy.read_csv (.T where "
            "genes are rows) and write it with write_h5ad."
        )
    return ValueError(f"{path}: not an h5ad file, nor any other kind that is read; {READ_KINDS}")


def _is_text(start: bytes) -> bool:
    try:
        text = os.fsdecode(start)
        start.decode("utf-8", errors="strict" if len(start) < _PEEK else "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\r\n" for letter in text)
