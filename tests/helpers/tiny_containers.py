"""The tiny cells in every container that is read, written by libraries or by hand as the field writes them."""

import gzip
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import tiny
import tiny_sources
from anndata.io import write_elem

NAMES = tiny.tiny_gene_names()


def cells() -> anndata.AnnData:
    """What all containers hold."""
    return tiny_sources.adata_of()


def write_zarr(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of zarr, about its next version
        cells().write_zarr(path)
    return path


def write_zarr_zip(path: Path, *, inside: str = "") -> Path:
    """A zipped zarr folder: its content at the top (`inside` is ""), or in a folder as file managers do it."""
    folder = write_zarr(path.parent / "to_zip.zarr")
    with zipfile.ZipFile(path, "w") as file:
        for part in sorted(folder.rglob("*")):
            file.write(part, f"{inside}{part.relative_to(folder).as_posix()}")
    shutil.rmtree(folder)
    return path


def write_folder_zip(path: Path) -> Path:
    return write_zarr_zip(path, inside="cells.zarr/")


def write_h5ad_gz(path: Path) -> Path:
    plain = tiny_sources.write_h5ad(path.parent / "to_pack.h5ad")
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return path


def write_h5mu(path: Path) -> Path:
    """A CITE-seq file as mudata writes it: antibodies of fewer cells, a column of the whole file in another order."""
    rna = cells()
    prot = anndata.AnnData(np.ones((30, 2), dtype=np.float32), obs=pd.DataFrame(index=rna.obs_names[:30]))
    order = np.arange(rna.n_obs)[::-1]
    every = pd.DataFrame(
        {"donor": pd.Categorical([f"d{i % 3}" for i in order]), "n": order}, index=rna.obs_names[order]
    )
    every["rna:nnz"] = rna.obs["nnz"].to_numpy()[order]
    every["prot:x"] = 1.0
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"], file.attrs["encoding-version"] = "MuData", "0.1.0"
        modalities = file.create_group("mod")
        write_elem(modalities, "prot", prot)
        write_elem(modalities, "rna", rna)
        write_elem(file, "obs", every)
        write_elem(file, "obsmap", {"rna": (order + 1).astype(np.uint32)})
    return path


def write_loom(path: Path) -> Path:
    """As loompy 3 writes it: dense, genes x cells, chunked, with layers and an embedding."""
    adata = cells()
    dense = adata.X.T.toarray()
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=dense, chunks=(16, 16), compression="gzip")
        file.create_dataset("layers/spliced", data=dense * 2, chunks=(16, 16))
        file.create_dataset("row_attrs/Gene", data=NAMES, dtype=text)
        file.create_dataset("row_attrs/Chromosome", data=["1"] * len(NAMES), dtype=text)
        file.create_dataset("col_attrs/CellID", data=list(adata.obs_names), dtype=text)
        for name in ("suspension_type", "is_primary_data"):
            values = adata.obs[name]
            file.create_dataset(f"col_attrs/{name}", data=list(values), dtype=text if values.dtype == object else None)
        file["col_attrs/umap"] = np.zeros((adata.n_obs, 2))
        for name in ("row_graphs", "col_graphs"):
            file.create_group(name)
    return path


def write_tenx_h5(path: Path) -> Path:
    return tiny_sources.write_tenx_h5(path, antibodies=False)


MAKERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "h5ad": ("cells.h5ad", tiny_sources.write_h5ad),
    "zarr": ("cells.zarr", write_zarr),
    "zip": ("cells.zarr.zip", write_zarr_zip),
    "zip of a folder": ("cells.zip", write_folder_zip),
    "gzip": ("cells.h5ad.gz", write_h5ad_gz),
    "h5mu": ("cells.h5mu", write_h5mu),
    "loom": ("cells.loom", write_loom),
    "tenx_h5": ("filtered_feature_bc_matrix.h5", write_tenx_h5),
    "mtx": ("filtered_feature_bc_matrix", tiny_sources.write_mtx),
}
"""Kind of container (`kinds.Kind`, before a blank) -> what it is called, and what writes it."""


def make(kind: str, folder: Path) -> Path:
    """Write one of `MAKERS`."""
    name, maker = MAKERS[kind]
    return maker(folder / name)
