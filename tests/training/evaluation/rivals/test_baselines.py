import numpy as np
import pytest
import scanpy
from anndata import AnnData
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from langcell.training.evaluation.inputs.expression import log_normalize, principal_components
from langcell.training.evaluation.rivals.baselines import (
    logistic_regression,
    logistic_regression_on_genes,
    multi_label_regression,
    nearest_centroid,
)


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 2, size=(1, 30)), size=(20, 30))
    counts[3] = 0
    return csr_matrix(counts.astype(np.float32))


def test_log_normalization_is_scanpys_and_an_empty_cell_stays_empty(counts):
    assert not log_normalize(counts)[3].nnz
    counts = counts[[0, 1, 2, *range(4, 20)]]
    adata = AnnData(counts.copy())
    scanpy.pp.normalize_total(adata, target_sum=1e4)
    scanpy.pp.log1p(adata)
    np.testing.assert_allclose(log_normalize(counts).toarray(), adata.X.toarray(), rtol=1e-5)


def test_components_are_orthogonal_repeatable_and_as_many_as_there_can_be(counts):
    values = log_normalize(counts)
    components = principal_components(values, seed=0)
    assert components.shape == (20, 19)
    np.testing.assert_array_equal(components, principal_components(values, seed=0))
    products = components.T @ components
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-2)
    np.testing.assert_allclose(np.square(components).sum(), np.square(values.toarray() - values.toarray().mean(0)).sum(), rtol=1e-4)  # fmt: skip  # noqa: E501


def test_logistic_regression_keeps_the_columns_of_absent_classes():
    rng = np.random.default_rng(0)
    classes = np.repeat([1, 3], 10)
    features = rng.normal(size=(20, 4)) + classes[:, None]
    found = logistic_regression(features, classes, features, n_classes=5)
    assert found.shape == (20, 5)
    assert not found[:, [0, 2, 4]].any()
    scaled = (features - features.mean(axis=0)) / np.sqrt(features.var(axis=0).mean())
    expected = LogisticRegression(max_iter=2000).fit(scaled, classes).predict_proba(scaled)
    np.testing.assert_allclose(found[:, [1, 3]], expected)


def test_nearest_centroid_is_the_nearest_mean():
    train, classes = np.array([[0.0], [2.0], [10.0]]), np.array([4, 4, 7])
    assert nearest_centroid(train, classes, np.array([[1.0], [5.4], [5.6]])).tolist() == [4, 4, 7]


def test_noise_in_many_small_components_does_not_drown_a_large_one():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], 20)
    features = np.column_stack([10.0 * classes, rng.normal(scale=0.1, size=(40, 60))])
    rows = np.array([0, 1, 20, 21])
    found = logistic_regression(features[rows], classes[rows], features, n_classes=2)
    assert (found.argmax(axis=1) == classes).all()


@pytest.mark.parametrize("n_labels", [1, 3])
def test_multi_label_regression_has_a_probability_for_each_label(n_labels):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 5))
    active = (features[:, :n_labels] > 0).astype(int)
    found = multi_label_regression(features, active, features)
    assert found.shape == (40, n_labels)
    assert ((found > 0.5) == active).mean() > 0.9


def test_regression_on_genes_finds_the_gene_of_a_type_and_leaves_absent_classes_out():
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 2
    values = csr_matrix(rng.poisson(0.3, (60, 25)) + 3.0 * (np.arange(25) == classes[:, None] * 2 + 1))
    found = logistic_regression_on_genes(values[:10], classes[:10] * 2, values, n_classes=4)
    assert found.shape == (60, 4)
    assert (found.argmax(axis=1) == classes * 2).mean() > 0.95
    assert not found[:, [1, 3]].any()
