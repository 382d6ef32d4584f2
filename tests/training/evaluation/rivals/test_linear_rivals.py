import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from langcell.processing.genes import GeneVocabulary
from langcell.training.evaluation.rivals.linear_rivals import LinearRivals
from langcell.training.evaluation.rivals.profile_genes import ReferenceProfiles

N_GENES = 120
TYPE_IDS = ["CL:1", "CL:2", None, "CL:3"]


@pytest.fixture(scope="module")
def profiles():
    """Two profiles of the first type and one of each other; forty genes each that it expresses ten times as much."""
    values = np.full((5, N_GENES), 20.0)
    for row, code in enumerate((0, 0, 1, 2, 2)):
        values[row, 40 * code : 40 * code + 40] = 200.0
    ids = [f"ENSG{i:011d}" for i in range(N_GENES)]
    genes = GeneVocabulary(ids, np.ones(N_GENES), [f"G{i}" for i in range(N_GENES)])
    return ReferenceProfiles(sparse.csr_matrix(values), genes, ["CL:1", "CL:1", "CL:2", "CL:3", "CL:9"])


@pytest.fixture(scope="module")
def cells(profiles):
    """Sixty cells, twenty of each type that has a profile; the last has no count."""
    rng, truth = np.random.default_rng(0), np.repeat([0, 1, 3], 20)
    rates = profiles.expression.toarray()[{0: 0, 1: 2, 3: 3}[0] + np.searchsorted([0, 1, 3], truth) + (truth > 0)]
    counts = rng.poisson(rates / 20).astype(np.float32)
    counts[-1] = 0
    return truth, anndata.AnnData(counts, var=pd.DataFrame(index=profiles.genes.gene_ids))


@pytest.fixture(scope="module")
def rivals(cells, profiles):
    _, adata = cells
    return LinearRivals(adata, profiles, TYPE_IDS, genes=np.arange(N_GENES), cells=np.ones(60, dtype=bool))


def test_markers_name_the_types_that_they_mark(rivals, cells):
    truth, _ = cells
    scores = rivals.marker_scores()
    assert rivals.types.tolist() == [0, 1, 3]
    assert np.isnan(scores[:, 2]).all()  # no profile
    assert (np.nanargmax(scores[:-1], axis=1) == truth[:-1]).all()


def test_a_regression_on_simulated_cells_names_real_ones(rivals, cells):
    truth, _ = cells
    scores = rivals.regression_scores(seed=0)
    assert np.isnan(scores[:, 2]).all()
    assert (np.nanargmax(scores[:-1], axis=1) == truth[:-1]).mean() > 0.95
    np.testing.assert_array_equal(scores, rivals.regression_scores(seed=0))
    assert not np.array_equal(scores[:, 0], rivals.regression_scores(seed=1)[:, 0])


def test_two_types_are_told_apart_by_one_predictor(cells, profiles):
    truth, adata = cells
    kept = truth != 3
    two = LinearRivals(adata, profiles, ["CL:2", "CL:1"], genes=np.arange(N_GENES), cells=kept)
    assert (two.regression_scores(seed=0).argmax(axis=1) == 1 - truth[kept]).all()
