import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from langcell.processing.simulation.cell_profiles import CellProfiles

OBS = pd.DataFrame(
    {"cl_id": ["CL:1", "CL:2"], "tissue_clean": "blood", "study": "s", "profile_scale": "linear"}, index=["a", "b"]
)
IDS = ["ENSG2.7", "", "ENSG1", "ENSG2"]
SYMBOLS = ["OLD", "NOID", "ONE", "NEW"]
VALUES = np.array([[0.0, 5.0, 1.0, 3.0], [2.0, 5.0, 4.0, 2.0]])


def build(**changes) -> CellProfiles:
    arguments = {"gene_ids": IDS, "symbols": SYMBOLS, "in_vocabulary": np.array([False, True, False, True])}
    return CellProfiles.from_matrix(VALUES, changes.pop("obs", OBS), **{**arguments, **changes})


def test_columns_of_one_gene_are_summed_and_nameless_ones_dropped():
    profiles = build()
    assert profiles.gene_ids == ["ENSG1", "ENSG2"]
    np.testing.assert_allclose(profiles.fractions, [[0.25, 0.75], [0.5, 0.5]])


def test_the_most_used_name_is_the_symbol_and_others_are_synonyms():
    profiles = build()
    assert profiles.symbols == ["ONE", "NEW"]
    assert profiles.synonyms == [(), ("OLD",)]
    np.testing.assert_array_equal(profiles.in_vocabulary, [False, True])


def test_missing_obs_column():
    with pytest.raises(ValueError, match="no obs column 'study'"):
        build(obs=OBS.drop(columns="study"))


def test_profile_without_genes_is_named():
    with pytest.raises(ValueError, match="Profile 'a' has no gene"):
        CellProfiles.from_matrix(VALUES * [[0.0], [1.0]], OBS, gene_ids=IDS, symbols=SYMBOLS)


def test_read_gives_what_was_written(tmp_path):
    var = pd.DataFrame({"ensembl_id": IDS, "in_langcell_vocab": [False, True, False, True]}, index=SYMBOLS)
    AnnData(VALUES, obs=OBS.astype("category"), var=var).write_h5ad(tmp_path / "profiles.h5ad")
    read, built = CellProfiles.read(tmp_path / "profiles.h5ad"), build()
    np.testing.assert_allclose(read.fractions, built.fractions)
    assert (read.gene_ids, read.symbols, read.synonyms) == (built.gene_ids, built.symbols, built.synonyms)
    np.testing.assert_array_equal(read.in_vocabulary, built.in_vocabulary)
    assert read.obs["cl_id"].tolist() == ["CL:1", "CL:2"]


def test_read_names_a_missing_column(tmp_path):
    AnnData(VALUES, obs=OBS, var=pd.DataFrame(index=SYMBOLS)).write_h5ad(tmp_path / "profiles.h5ad")
    with pytest.raises(ValueError, match=r"ensembl_id|in_langcell_vocab"):
        CellProfiles.read(tmp_path / "profiles.h5ad")


def test_the_shared_profiles(real_data):
    profiles = CellProfiles.read(real_data("data/cell_profiles.h5ad"))
    assert len(profiles) == 551
    assert len(set(profiles.gene_ids)) == len(profiles.gene_ids) > 20_000
    np.testing.assert_allclose(profiles.fractions.sum(axis=1), 1, atol=1e-4)
