import numpy as np
import pytest
from scipy import stats

from langcell.processing.simulation.count_sampling import sample_counts


@pytest.mark.parametrize("cv", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rate", [0.003, 0.2, 0.999, 1.0, 7.0, 300.0])
def test_counts_follow_the_negative_binomial(rate, cv):
    rates = np.full((1, 100_000), rate, dtype=np.float32)
    counts = sample_counts(rates, cv=cv, rng=np.random.default_rng(0)).toarray().ravel()
    law = stats.nbinom(cv**-2, 1 / (1 + cv**2 * rate)) if cv else stats.poisson(rate)
    assert counts.mean() == pytest.approx(law.mean(), abs=5 * law.std() / np.sqrt(counts.size))
    edges = np.unique(law.ppf([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999]))
    for edge in edges:
        share = law.cdf(edge)
        error = np.sqrt(share * (1 - share) / counts.size)
        assert np.mean(counts <= edge) == pytest.approx(share, abs=5 * error + 1e-6)


def test_zero_rates_give_no_counts():
    counts = sample_counts(np.zeros((3, 50_000), dtype=np.float32), cv=0.5, rng=np.random.default_rng(0))
    assert counts.nnz == 0
    assert counts.shape == (3, 50_000)


def test_tiny_rates_never_count_for_ever():
    # A uniform number of exactly 0 comes once in 17 million draws.
    rates = np.full((40, 1_000_000), 1e-12, dtype=np.float32)
    assert sample_counts(rates, cv=1.0, rng=np.random.default_rng(0)).nnz == 0


def test_result_is_canonical():
    rates = np.random.default_rng(1).exponential(2, (20, 300)).astype(np.float32)
    counts = sample_counts(rates, cv=0.5, rng=np.random.default_rng(0))
    assert counts.dtype == np.float32
    assert counts.has_canonical_format
    assert counts.data.min() >= 1
