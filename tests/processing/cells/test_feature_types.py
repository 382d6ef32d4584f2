import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.cells.feature_types import ChosenColumns, gene_rows
from langcell.processing.cells.matrix_rows import DenseRows


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        pytest.param("feature_types", ["Gene Expression", "Antibody Capture", "Gene Expression"], [1, 0, 1], id="tenx"),
        pytest.param("feature_type", ["Gene Expression", "CRISPR Guide Capture", "Custom"], [1, 0, 0], id="guides"),
        pytest.param("modality", ["rna", "prot", "atac"], [1, 0, 0], id="muon"),
        pytest.param("Type", ["Gene Expression", "Peaks", "Multiplexing Capture"], [1, 0, 0], id="dropletutils"),
        pytest.param("feature_types", ["Gene Expression", "Negative Control Probe", "x"], [1, 0, 0], id="xenium"),
        pytest.param("feature_type", ["protein_coding", "lncRNA", "TEC"], [1, 1, 1], id="biotypes_are_genes"),
        pytest.param("feature_types", ["Gene Expression", None, "gene_expression"], [1, 1, 1], id="missing_is_a_gene"),
        pytest.param("feature_types", ["hashtag", "ADT", "x"], [0, 0, 1], id="no_genes_named"),
        pytest.param("type", ["a", "b", "c"], [1, 1, 1], id="says_something_else"),
        pytest.param("feature_types", [1, 2, 3], [1, 1, 1], id="numbers"),
        pytest.param("genome", ["prot", "prot", "rna"], [1, 1, 1], id="another_column"),
    ],
)
def test_rows_that_a_column_calls_something_else_are_no_genes(
    column: str, values: list[object], expected: list[int]
) -> None:
    var = pd.DataFrame({column: pd.Categorical(values)}, index=["CD4", "CD14", "CD19"])
    is_gene, others = gene_rows(var)
    assert is_gene.astype(int).tolist() == expected
    assert bool(others) == (0 in expected)


def test_what_is_left_out_is_told_with_its_column_and_number() -> None:
    var = pd.DataFrame({"feature_types": ["Gene Expression", "Antibody Capture", "Antibody Capture"]})
    assert gene_rows(var)[1] == '2 Antibody Capture (var["feature_types"])'


def test_raw_without_the_column_follows_the_table_of_x() -> None:
    var = pd.DataFrame({"feature_types": ["Gene Expression", "Antibody Capture"]}, index=["CD4", "CD14"])
    adata = AnnData(np.log1p(np.array([[1.0, 700.0], [3.0, 2.0]])), var=var)
    raw = AnnData(np.array([[1.0, 700.0, 2.0], [3.0, 2.0, 9.0]]), var=pd.DataFrame(index=["CD4", "CD14", "LYZ"]))
    adata.raw = raw
    with open_cells(adata) as cells:
        assert cells.location == "raw/X"
        assert cells.gene_names == ["CD4", "LYZ"]
        assert cells.counts_of(np.arange(2)).toarray().tolist() == [[1, 2], [3, 9]]
        assert any("1 Antibody Capture" in note for note in cells.notes)


def test_a_table_without_any_gene_is_refused() -> None:
    var = pd.DataFrame({"feature_types": ["Antibody Capture", "Antibody Capture"]}, index=["CD4", "CD14"])
    with pytest.raises(ValueError, match=r"X holds no genes: 2 Antibody Capture"):
        open_cells(AnnData(np.ones((2, 2)), var=var))


def test_chosen_columns_are_sampled_and_read_alone() -> None:
    counts = sparse.random(300, 6, 0.4, random_state=np.random.default_rng(0)).toarray()
    chosen = np.array([True, False, True, True, False, False])
    rows = ChosenColumns(DenseRows(counts), chosen)
    np.testing.assert_array_equal(rows.read(3, 9).toarray(), counts[3:9][:, chosen])
    seen = np.concatenate(list(rows.sample()))
    assert set(seen) <= set(counts[:, chosen].ravel())
    assert len(seen)
