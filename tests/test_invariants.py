"""What must not change the answer: the order of genes, silent genes, rows that are no genes, names, the container."""

import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import tiny
from anndata import AnnData
from scipy import sparse

from langcell.inference.annotation import annotate
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.cell_source import CellSource
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.rank_values import rank_encode

pytestmark = pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")

N_CELLS = 30
LABELS = {"B": tiny.TEXTS[0], "NK": tiny.TEXTS[1], "monocyte": tiny.TEXTS[2]}
NAMES = tiny.tiny_gene_names()
N_ROWS = len(NAMES)


def cells() -> AnnData:
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(N_CELLS)])
    return AnnData(tiny.tiny_counts(N_CELLS, seed=5), obs=obs, var=pd.DataFrame(index=NAMES))


def permuted(adata: AnnData) -> AnnData:
    return adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()


def wider(adata: AnnData, counts: np.ndarray, names: list[str], **columns: list[str]) -> AnnData:
    """The cells with more rows in the gene table."""
    values = sparse.hstack([adata.X, sparse.csr_matrix(counts.astype(np.float32))], format="csr")
    var = pd.DataFrame(columns, index=[*adata.var_names, *names])
    return AnnData(values, obs=adata.obs, var=var)


def with_silent_genes(adata: AnnData) -> AnnData:
    return wider(adata, np.zeros((N_CELLS, 7)), [f"SILENT{i}" for i in range(7)])


def with_rows_that_are_no_genes(column: str, gene: str, other: str) -> Callable[[AnnData], AnnData]:
    def change(adata: AnnData) -> AnnData:
        loud = np.random.default_rng(2).poisson(900, (N_CELLS, 5)).astype(float) + 0.5  # normalised, as antibodies are
        kinds = [gene] * N_ROWS + [other] * 5
        changed = wider(adata, loud, ["GENE3", "GENE7", "GENE1", "ENSG00000000004", "CD4"], **{column: kinds})
        return permuted(changed)

    return change


def with_other_cell_names(adata: AnnData) -> AnnData:
    adata.obs_names = [f"{i}-1-donor" for i in range(N_CELLS)]
    return adata


def with_split_columns(adata: AnnData) -> AnnData:
    counts = adata.X.toarray()
    part = np.floor(counts[:, :10] / 2)
    counts[:, :10] -= part
    adata.X = sparse.csr_matrix(counts)
    return wider(adata, part, NAMES[:10])


def with_counts_in_raw(adata: AnnData) -> AnnData:
    changed = adata[:, :9].copy()
    changed.raw = adata
    return changed


def with_counts_in_a_layer(adata: AnnData) -> AnnData:
    adata.layers["raw_counts"] = adata.X.copy()
    adata.X = adata.X.log1p()
    return adata


def with_a_genome_before_the_names(adata: AnnData) -> AnnData:
    adata.var_names = [f"GRCh38_{name}" for name in adata.var_names]
    return adata


CHANGES = {
    "permuted_genes": permuted,
    "silent_genes": with_silent_genes,
    "antibodies": with_rows_that_are_no_genes("feature_types", "Gene Expression", "Antibody Capture"),
    "guides": with_rows_that_are_no_genes("feature_type", "Gene Expression", "CRISPR Guide Capture"),
    "proteins_of_muon": with_rows_that_are_no_genes("modality", "rna", "prot"),
    "peaks": with_rows_that_are_no_genes("Type", "Gene Expression", "Peaks"),
    "cell_names": with_other_cell_names,
    "split_columns": with_split_columns,
    "csc": lambda adata: AnnData(adata.X.tocsc(), obs=adata.obs, var=adata.var),
    "dense": lambda adata: AnnData(adata.X.toarray().astype(np.int64), obs=adata.obs, var=adata.var),
    "variable_genes_in_x": with_counts_in_raw,
    "counts_in_a_layer": with_counts_in_a_layer,
    "genome": with_a_genome_before_the_names,
}


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> LoadedLangCell:
    return load(tiny_model_dir, device="cpu", dtype="float32")


def tokens(source: CellSource, loaded: LoadedLangCell) -> list[list[int]]:
    extractor = loaded.processor.feature_extractor
    with source:
        index = gene_index_of(source, extractor)
        counts = source.counts_of(np.arange(source.n_cells))
        ranked = rank_encode(counts, index, extractor.vocabulary, max_length=None)
    return [ids.tolist() for ids in ranked]


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_tokens_and_labels_whatever_is_changed(change: str, loaded: LoadedLangCell) -> None:
    expected, changed = cells(), CHANGES[change](cells())
    assert tokens(open_cells(changed), loaded) == tokens(open_cells(expected), loaded)
    for adata in (expected, changed):
        annotate(adata, LABELS, model=loaded, progress=False)
    assert changed.obs["langcell_label"].tolist() == expected.obs["langcell_label"].tolist()
    np.testing.assert_array_equal(changed.obs["langcell_confidence"], expected.obs["langcell_confidence"])


@pytest.mark.parametrize("container", ["h5ad", "zarr", "h5", "memory"])
@pytest.mark.parametrize("change", ["antibodies", "silent_genes"])
def test_the_same_tokens_from_every_container(
    change: str, container: str, loaded: LoadedLangCell, tmp_path: Path
) -> None:
    changed = CHANGES[change](cells())
    path = tmp_path / f"cells.{container}"
    source: object = changed
    if container == "zarr":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on formats of zarr
            changed.write_zarr(path)
        source = path
    elif container != "memory":
        (write_tenx if container == "h5" else anndata.AnnData.write_h5ad)(changed, path)
        source = path
    assert tokens(open_cells(source), loaded) == tokens(open_cells(cells()), loaded)


def write_tenx(adata: AnnData, path: Path) -> None:
    """As Cell Ranger writes it, but for antibodies with decimals, which some tools leave there."""
    counts = sparse.csr_matrix(adata.X)
    names = list(adata.var_names)
    kinds = adata.var["feature_types"] if "feature_types" in adata.var else ["Gene Expression"] * adata.n_vars
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = list(adata.obs_names)
        matrix["data"], matrix["indices"], matrix["indptr"] = counts.data, counts.indices, counts.indptr
        matrix["shape"] = counts.shape[::-1]
        features = matrix.create_group("features")
        symbols = list(adata.var["symbol"]) if "symbol" in adata.var else names
        features["id"], features["name"], features["feature_type"] = names, symbols, list(kinds)


IDS = [f"ENSG{i + 1:011d}" for i in range(N_ROWS)]


@pytest.mark.parametrize("known_by", ["ids", "names"])
@pytest.mark.parametrize("container", ["memory", "h5ad", "h5"])
def test_the_same_tokens_from_every_container_that_has_names_and_ids(
    container: str, known_by: str, loaded: LoadedLangCell, tmp_path: Path
) -> None:
    """scanpy has names in the index and ids beside them, Cell Ranger the reverse; some of one kind are out of date."""
    old = np.arange(N_ROWS) % 3 == 1
    names = [f"OLD{i}" if gone and known_by == "ids" else f"GENE{i + 1}" for i, gone in enumerate(old)]
    ids = [f"ENSG9{i:010d}" if old[i] and known_by == "names" else name for i, name in enumerate(IDS)]
    scanpy = AnnData(cells().X, obs=cells().obs, var=pd.DataFrame({"gene_ids": ids}, index=names))
    source: object = scanpy
    if container == "h5ad":
        scanpy.write_h5ad(source := tmp_path / "cells.h5ad")
    elif container == "h5":
        cell_ranger = AnnData(scanpy.X, obs=scanpy.obs, var=pd.DataFrame({"symbol": names}, index=ids))
        write_tenx(cell_ranger, source := tmp_path / "cells.h5")
    expected = AnnData(scanpy.X, obs=scanpy.obs, var=pd.DataFrame(index=ids if known_by == "ids" else names))
    assert tokens(open_cells(source), loaded) == tokens(open_cells(expected), loaded)
