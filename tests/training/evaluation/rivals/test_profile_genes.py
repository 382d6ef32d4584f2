import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.genes import GeneVocabulary
from langcell.training.evaluation.rivals.profile_genes import LogCells, ReferenceProfiles


@pytest.fixture
def profiles():
    genes = GeneVocabulary(["ENSG00000000001", "ENSG00000000002"], np.ones(2), ["A", "B"])
    return ReferenceProfiles(sparse.csr_matrix((1, 2)), genes, ["CL:1"])


def test_cells_are_read_in_the_genes_of_the_profiles_with_columns_of_one_gene_summed(profiles):
    counts = np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 5.0, 0.0, 5.0]], dtype=np.float32)
    var = pd.DataFrame(index=["ENSG00000000002", "ENSG00000000001", "ENSG00000000002.7", "ENSG00000000099"])
    with open_cells(anndata.AnnData(counts, var=var)) as source:
        (block,) = LogCells(source, profiles, None)
        (second,) = LogCells(source, profiles, np.array([False, True]))
    np.testing.assert_allclose(block.toarray(), np.log1p([[2000.0, 4000.0], [5000.0, 0.0]]))
    np.testing.assert_allclose(second.toarray(), block.toarray()[1:])


def test_cells_without_a_gene_of_the_profiles_are_refused(profiles):
    strange = anndata.AnnData(np.ones((2, 1), dtype=np.float32), var=pd.DataFrame(index=["Z"]))
    with open_cells(strange) as source, pytest.raises(ValueError, match="have no gene in common"):
        LogCells(source, profiles, None)
