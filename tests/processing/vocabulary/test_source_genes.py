"""The genes of real files in one pass: ids, names and biotypes wherever they stand, duplicates left out."""

import numpy as np
import pandas as pd
import pytest
import tiny_soma
from anndata import AnnData
from scipy import sparse

from langcell.processing.sources.census import CensusSelection
from langcell.processing.sources.open_source import census_source, find_sources
from langcell.processing.vocabulary.gene_biotypes import GeneEntry
from langcell.processing.vocabulary.gene_medians import RELATIVE_ERROR
from langcell.processing.vocabulary.gene_tally import GeneTally
from langcell.processing.vocabulary.source_genes import tally_genes

IDS = [f"ENSG{i:011d}" for i in range(6)]
SYMBOLS = [f"GENE{i}" for i in range(6)]
BIOTYPES = ["protein_coding", "lncRNA", "miRNA", "protein_coding", "protein_coding", "IG_V_gene"]


def counts_of(n_cells: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(2.0, (n_cells, 6)).astype(np.float32)


def write(path, counts, var, obs=None):
    obs = pd.DataFrame(index=[str(i) for i in range(len(counts))]) if obs is None else obs
    AnnData(sparse.csr_matrix(counts), obs=obs, var=var).write_h5ad(path)
    return path


def cellxgene_var() -> pd.DataFrame:
    return pd.DataFrame({"feature_name": SYMBOLS, "feature_type": pd.Categorical(BIOTYPES)}, index=IDS)


def tally(*paths, **options):
    return tally_genes(find_sources(paths), progress=False, **options)


def medians(counts: np.ndarray) -> np.ndarray:
    relative = counts / counts.sum(axis=1, keepdims=True) * 1e4
    return np.array([np.median(column[column > 0]) for column in relative.T])


def test_a_cellxgene_file_tells_ids_symbols_and_biotypes(tmp_path):
    counts = counts_of(5_000)  # more than are read at once
    found = tally(write(tmp_path / "a.h5ad", counts, cellxgene_var()))
    vocabulary, genes = found.vocabulary()
    kept = [0, 2, 3, 4]
    assert list(vocabulary.gene_ids) == [IDS[i] for i in kept]
    assert list(vocabulary.symbols) == [SYMBOLS[i] for i in kept]
    assert [gene["biotype"] for gene in genes] == [BIOTYPES[i] for i in kept]
    assert [gene["cells"] for gene in genes] == (counts > 0).sum(axis=0)[kept].tolist()
    np.testing.assert_allclose(vocabulary.medians, medians(counts)[kept], rtol=RELATIVE_ERROR)
    assert found.n_cells == 5_000


def test_duplicates_are_left_out_unless_they_are_wanted(tmp_path):
    counts = counts_of(40)
    obs = pd.DataFrame({"is_primary_data": np.arange(40) % 4 > 0}, index=[str(i) for i in range(40)])
    path = write(tmp_path / "a.h5ad", counts, cellxgene_var(), obs)
    found = tally(path)
    assert (found.n_cells, found.n_duplicates) == (30, 10)
    np.testing.assert_allclose(found.sketch.medians(), medians(counts[obs["is_primary_data"]]), rtol=RELATIVE_ERROR)
    assert tally(path, keep_duplicates=True).n_cells == 40


@pytest.mark.parametrize(
    "var",
    [
        pytest.param(pd.DataFrame({"gene_ids": [f"{i}.3" for i in IDS]}, index=SYMBOLS), id="ids_in_a_column"),
        pytest.param(pd.DataFrame({"gene_symbols": SYMBOLS}, index=IDS), id="ids_are_the_index"),
    ],
)
def test_ids_and_symbols_wherever_they_stand(tmp_path, var):
    vocabulary, genes = tally(write(tmp_path / "a.h5ad", counts_of(20), var)).vocabulary()
    assert (list(vocabulary.gene_ids), list(vocabulary.symbols)) == (IDS, SYMBOLS)
    assert {gene["biotype"] for gene in genes} == {""}  # none is known: all are kept


def test_symbols_alone_need_a_table(tmp_path):
    path = write(tmp_path / "a.h5ad", counts_of(20), pd.DataFrame(index=SYMBOLS))
    with pytest.raises(ValueError, match=r"a\.h5ad: its genes \(GENE0, GENE1, GENE2, \.\.\.\) have no Ensembl ids"):
        tally(path)
    table = {i: GeneEntry(b, s) for i, s, b in zip(IDS, SYMBOLS, BIOTYPES, strict=True)}
    vocabulary, _ = tally(path, table=table).vocabulary(table=table)
    assert list(vocabulary.gene_ids) == [IDS[i] for i in (0, 2, 3, 4)]


def test_sources_with_other_genes_and_names_are_joined_by_id(tmp_path):
    first = write(tmp_path / "a.h5ad", counts_of(30), cellxgene_var())
    var = pd.DataFrame({"feature_name": ["OLD2", "GENE9"]}, index=[IDS[2], "ENSG00000000009"])
    second = write(tmp_path / "b.h5ad", counts_of(10)[:, :2] + 1, var)
    found = tally(first, second)
    vocabulary, _ = found.vocabulary(keep=set(BIOTYPES))
    assert vocabulary.match(["OLD2", "GENE2"]).tolist() == [2, 2]
    assert vocabulary.symbols[2] == "GENE2"  # the name in most cells
    assert found.gene_ids == [*IDS, "ENSG00000000009"]


def test_real_cells(real_data):
    found = tally(real_data("data/kang_pbmc_2000.h5ad"))
    assert found.n_cells == 2_000
    vocabulary, _ = found.vocabulary(min_cells=10)
    assert vocabulary.match(["CD3D", "LYZ"]).min() >= 0


def test_a_census_is_a_source_and_ranges_of_it_are_parts(tmp_path):
    counts = counts_of(40)
    var = pd.DataFrame({"feature_id": IDS, "feature_name": SYMBOLS, "feature_type": BIOTYPES}, index=IDS)
    obs = pd.DataFrame({"is_primary_data": [True] * 40}, index=[f"cell{i}" for i in range(40)])
    place = tiny_soma.write_experiment(tmp_path / "experiment", AnnData(sparse.csr_matrix(counts), obs=obs, var=var))
    parts = [CensusSelection(place, joinids=joinids) for joinids in (None, (0, 15), (15, 40))]
    whole, *halves = (tally_genes([census_source(part)], progress=False) for part in parts)
    merged = GeneTally.merged(halves)
    assert (whole.n_cells, merged.n_cells) == (40, 40)
    assert merged.vocabulary()[0].fingerprint == whole.vocabulary()[0].fingerprint
    assert list(whole.vocabulary()[0].symbols) == [SYMBOLS[i] for i in (0, 2, 3, 4)]
    np.testing.assert_allclose(whole.sketch.medians(), medians(counts), rtol=RELATIVE_ERROR)
