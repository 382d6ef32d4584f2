"""Small sources of cells with CELLxGENE metadata for the tests of tokenizing, in every form that is read."""

import gzip
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import tiny
from scipy import sparse

from langcell.processing.tokenization.options import TokenizeOptions

N_CELLS = 60
OPTIONS = TokenizeOptions(max_length=12, cells_per_shard=20, min_genes=3)
TYPES = ["CL:0000236", "CL:0000084", "unknown"]


def counts_of(n_cells: int = N_CELLS, *, seed: int = 0) -> sparse.csr_matrix:
    """Counts of the tiny genes; every tenth cell expresses two genes alone, every eleventh none that is known."""
    counts = tiny.tiny_counts(n_cells, seed=seed).tolil()
    counts[::10] = 0
    counts[::10, :2] = 1
    counts[1::11] = 0
    counts[1::11, -2:] = 1
    counts[1::11, -1] = 2
    return sparse.csr_matrix(counts, dtype=np.float32)


def obs_of(n_cells: int = N_CELLS, *, seed: int = 0) -> pd.DataFrame:
    """The columns of a Census: every fourth cell is a copy of one in another data set."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "cell_type_ontology_term_id": pd.Categorical(rng.choice(TYPES, n_cells)),
            "tissue_ontology_term_id": pd.Categorical(["UBERON:0000178"] * n_cells),
            "disease_ontology_term_id": rng.choice(["PATO:0000461", "MONDO:0100096"], n_cells),
            "assay_ontology_term_id": pd.Categorical(rng.choice(["EFO:0009922", "EFO:0009899"], n_cells)),
            "suspension_type": "cell",
            "is_primary_data": np.arange(n_cells) % 4 != 3,
            "dataset_id": pd.Categorical(np.where(np.arange(n_cells) < n_cells // 2, "set one", "set two")),
            "nnz": rng.integers(1, 40, n_cells),
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )


def adata_of(n_cells: int = N_CELLS, *, seed: int = 0) -> anndata.AnnData:
    """Counts, metadata and gene names."""
    var = pd.DataFrame(
        {"feature_id": tiny.tiny_gene_names(), "feature_name": [f"name{i}" for i in range(tiny.N_GENES + 2)]},
        index=tiny.tiny_gene_names(),
    )
    return anndata.AnnData(X=counts_of(n_cells, seed=seed), obs=obs_of(n_cells, seed=seed), var=var)


def write_h5ad(path: Path, n_cells: int = N_CELLS, *, seed: int = 0) -> Path:
    """An h5ad file."""
    adata_of(n_cells, seed=seed).write_h5ad(path)
    return path


def write_tenx_h5(path: Path, *, antibodies: bool = True) -> Path:
    """A file as Cell Ranger 3 writes it; the last feature is an antibody."""
    counts, names = counts_of(), tiny.tiny_gene_names()
    kinds = ["Gene Expression"] * len(names)
    if antibodies:
        kinds[-1] = "Antibody Capture"
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = [f"barcode{i}" for i in range(N_CELLS)]
        matrix["data"], matrix["indices"], matrix["indptr"] = counts.data.astype("i4"), counts.indices, counts.indptr
        matrix["shape"] = counts.shape[::-1]
        features = matrix.create_group("features")
        features["id"], features["name"], features["feature_type"] = names, [f"S{i}" for i in range(len(names))], kinds
    return path


def write_mtx(folder: Path, *, by: str = "cell", compressed: bool = True) -> Path:
    """A folder as Cell Ranger 3 writes it (2, where it is not compressed), its entries sorted by cell or by gene."""
    folder.mkdir()
    entries = counts_of().tocoo()
    order = np.lexsort((entries.col, entries.row) if by == "cell" else (entries.row, entries.col))
    if by == "nothing":
        order = np.random.default_rng(0).permutation(len(order))
    lines = [f"{entries.col[i] + 1} {entries.row[i] + 1} {int(entries.data[i])}" for i in order]
    names = tiny.tiny_gene_names()
    header = ["%%MatrixMarket matrix coordinate integer general", "%metadata", f"{len(names)} {N_CELLS} {len(lines)}"]
    kinds = "\tGene Expression" if compressed else ""
    texts = {
        "matrix.mtx": header + lines,
        "features.tsv" if compressed else "genes.tsv": [f"{name}\tS{i}{kinds}" for i, name in enumerate(names)],
        "barcodes.tsv": [f"barcode{i}" for i in range(N_CELLS)],
    }
    for name, rows in texts.items():
        content = ("\n".join(rows) + "\n").encode()
        path = folder / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(content) if compressed else content)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
