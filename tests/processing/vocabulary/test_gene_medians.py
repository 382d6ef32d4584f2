import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.vocabulary.gene_medians import (
    RELATIVE_ERROR,
    MedianSketch,
    fit_medians,
    fit_vocabulary_from_profiles,
    make_vocabulary,
)


def random_counts(n_cells: int = 400, n_genes: int = 50) -> sparse.csr_matrix:
    rng = np.random.default_rng(0)
    rates = rng.lognormal(0, 2, n_genes) * rng.lognormal(0, 1, (n_cells, 1))
    return sparse.csr_matrix(rng.poisson(rates).astype(np.float32))


def exact_medians(counts: sparse.csr_matrix) -> np.ndarray:
    dense = counts.toarray().astype(np.float64)
    relative = dense / dense.sum(axis=1, keepdims=True) * 1e4
    return np.array([np.median(column[column > 0]) if (column > 0).any() else np.nan for column in relative.T])


def sketch_of(counts: sparse.csr_matrix) -> MedianSketch:
    return fit_medians([(counts, None)], counts.shape[1])


def test_medians_are_within_the_stated_error():
    counts = random_counts()
    assert set(np.diff(counts.tocsc().indptr) % 2) == {0, 1}  # one middle value, or two far neighbours
    found, exact = sketch_of(counts).medians(), exact_medians(counts)
    np.testing.assert_allclose(found, exact, rtol=RELATIVE_ERROR)
    assert np.nanmedian(found / exact) == pytest.approx(1, rel=0.005)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_stated_error_holds_for_any_counts(data):
    """Also for few cells, for gaps between the middle values, and for counts from 1 to millions."""
    n_cells = data.draw(st.integers(1, 30))
    exponents = data.draw(st.lists(st.floats(0, 6), min_size=2 * n_cells, max_size=2 * n_cells))
    counts = sparse.csr_matrix(np.floor(10.0 ** np.array(exponents).reshape(n_cells, 2)))
    np.testing.assert_allclose(sketch_of(counts).medians(), exact_medians(counts), rtol=RELATIVE_ERROR)


def test_a_stored_sketch_comes_back():
    sketch = sketch_of(random_counts())
    back = MedianSketch.from_arrays(sketch.to_arrays())
    np.testing.assert_array_equal(back.medians(), sketch.medians())
    np.testing.assert_array_equal(back.n_cells_with_gene, sketch.n_cells_with_gene)


def test_sketches_of_other_genes_are_merged_where_they_belong():
    counts = random_counts()
    whole, part = MedianSketch(50), sketch_of(counts[:, 10:20])
    whole.merge_at(np.arange(10, 20), part)
    np.testing.assert_array_equal(whole.medians()[10:20], part.medians())
    assert np.isnan(whole.medians()[20:]).all()


def test_merged_parts_are_one_pass():
    counts = random_counts()
    whole, first, second = sketch_of(counts), sketch_of(counts[:150]), sketch_of(counts[150:])
    first.merge(second)
    np.testing.assert_array_equal(first.medians(), whole.medians())
    np.testing.assert_array_equal(first.n_cells_with_gene, np.diff(counts.tocsc().indptr))


def test_merging_other_genes():
    with pytest.raises(ValueError, match="sketches of 2 and 3 genes"):
        MedianSketch(2).merge(MedianSketch(3))


def test_columns_of_one_gene_are_summed_and_unknown_ones_count_in_the_total():
    sketch = MedianSketch(2)
    sketch.add(sparse.csr_matrix([[1.0, 2.0, 5.0, 2.0]]), gene_index=np.array([1, 1, -1, 0]))
    np.testing.assert_allclose(sketch.medians(), [2_000, 3_000], rtol=RELATIVE_ERROR)


def test_genes_never_found_and_cells_without_counts():
    sketch = sketch_of(sparse.csr_matrix([[0.0, 0.0], [0.0, 4.0]]))
    assert np.isnan(sketch.medians()[0])
    assert sketch.n_cells_with_gene.tolist() == [0, 1]


def test_wrong_number_of_columns():
    with pytest.raises(ValueError, match="2 columns, but 3 genes"):
        MedianSketch(3).add(sparse.csr_matrix((1, 2)))


def test_vocabulary_keeps_wanted_genes_in_enough_cells():
    sketch = sketch_of(sparse.csr_matrix([[1.0, 1.0, 2.0], [0.0, 1.0, 3.0]]))
    keep = np.array([True, True, False])
    arguments = (["ENSG1", "ENSG2", "ENSG3"], ["A", "B", "C"], [(), ("BB",), ()])
    vocabulary = make_vocabulary(sketch, *arguments, keep=keep, min_cells=2)
    assert (list(vocabulary.gene_ids), vocabulary.match(["BB"]).tolist()) == (["ENSG2"], [0])
    with pytest.raises(ValueError, match="No gene to keep was found in 3 cells"):
        make_vocabulary(sketch, *arguments, keep=keep, min_cells=3)


@pytest.fixture
def profiles() -> CellProfiles:
    obs = pd.DataFrame({"cl_id": ["CL:1", "CL:2"], "tissue_clean": "t", "study": "s", "profile_scale": "linear"})
    values = np.random.default_rng(0).lognormal(0, 1, (2, 60))
    ids, symbols = [f"ENSG{i:011d}" for i in range(60)], [f"G{i}" for i in range(60)]
    return CellProfiles.from_matrix(values, obs, gene_ids=ids, symbols=symbols, in_vocabulary=np.arange(60) > 3)


def test_vocabulary_of_profiles(profiles):
    vocabulary = fit_vocabulary_from_profiles(profiles, n_cells=300, progress=False)
    assert list(vocabulary.gene_ids) == profiles.gene_ids[4:]
    # Half of the cells are of each type: where the types agree, the median is theirs.
    low, high = np.sort(profiles.fractions[:, 4:] * 1e4, axis=0)
    alike = high < 1.2 * low
    assert alike.sum() >= 3
    np.testing.assert_allclose(vocabulary.medians[alike], (low[alike] + high[alike]) / 2, rtol=0.25)
    again = fit_vocabulary_from_profiles(profiles, n_cells=300, progress=False)
    assert again.fingerprint == vocabulary.fingerprint


def test_real_cells_move_the_medians(profiles):
    counts = np.ones((3_000, 60), dtype=np.float32)
    counts[:, 10] = 60
    real = AnnData(counts, var=pd.DataFrame(index=[f"G{i}" for i in range(60)]))
    plain = fit_vocabulary_from_profiles(profiles, n_cells=300, progress=False)
    fitted = fit_vocabulary_from_profiles(profiles, n_cells=300, real=[real], progress=False)
    assert fitted.medians[6] == pytest.approx(1e4 * 60 / 119, rel=0.02)
    assert plain.medians[6] < fitted.medians[6] / 3


def test_real_cells_of_other_genes(profiles):
    real = AnnData(np.ones((2, 2), dtype=np.float32), var=pd.DataFrame(index=["X", "Y"]))
    with pytest.raises(ValueError, match="None of the 2 genes"):
        fit_vocabulary_from_profiles(profiles, n_cells=10, real=[real], progress=False)
