"""Gamma-Poisson (negative binomial) counts for whole blocks of cells, exact, and only as slow as what is expressed."""

import numpy as np
from scipy import sparse

_HALF_STEP = 2.0**-25  # uniform float32 numbers are multiples of 2**-24; 0 would count for ever


def sample_counts(rates: np.ndarray, *, cv: float, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw counts around their expected values.

    Each gene's rate is multiplied by a gamma factor of mean 1 and standard deviation `cv`, then counted (Poisson),
    which gives a negative binomial with variance `rate + (cv * rate) ** 2`. Most rates of a cell are far below 1. As
    P(count > 0) <= rate, only genes whose uniform number lies below their rate can have a count: these numbers go
    through the inverse distribution function, and all others are zero for sure.

    Args:
        rates: float32, shape (cells, genes); expected counts, non-negative.
        cv: Coefficient of variation of the gamma factor; 0 gives plain Poisson counts.
        rng: Source of randomness.

    Returns:
        csr float32 with sorted indices and no explicit zeros.

    >>> sample_counts(np.array([[0.0, 1e6]], dtype=np.float32), cv=0.0, rng=np.random.default_rng(0)).indices
    array([1], dtype=int32)
    """
    uniform = rng.random(rates.shape, dtype=np.float32)
    candidates = np.flatnonzero(uniform < rates)
    rate = rates.ravel()[candidates].astype(np.float64)
    values = np.empty(len(candidates), dtype=np.float32)
    is_low = rate < 1
    values[is_low] = _invert(uniform.ravel()[candidates[is_low]] + _HALF_STEP, rate[is_low], cv)
    values[~is_low] = _gamma_poisson(rate[~is_low], cv, rng)
    expressed = values > 0
    rows, columns = np.divmod(candidates[expressed], rates.shape[1])
    indptr = np.zeros(len(rates) + 1, dtype=np.int32)
    np.cumsum(np.bincount(rows, minlength=len(rates)), out=indptr[1:])
    return sparse.csr_matrix((values[expressed], columns.astype(np.int32), indptr), shape=rates.shape)


def _gamma_poisson(rate: np.ndarray, cv: float, rng: np.random.Generator) -> np.ndarray:
    if cv > 0:
        rate = rate * rng.standard_gamma(cv**-2, size=len(rate)) * cv**2
    return rng.poisson(rate)


def _invert(uniform: np.ndarray, rate: np.ndarray, cv: float) -> np.ndarray:
    """Return the count k with P(count > k) <= uniform < P(count > k - 1), for negative binomials of mean `rate`."""
    dispersion = cv**2
    # log P(0) of the negative binomial; its limit without dispersion is that of the Poisson.
    log_zero = -np.log1p(dispersion * rate) / dispersion if dispersion > 0 else -rate
    counts = np.zeros(len(rate), dtype=np.float32)
    alive = np.arange(len(rate))
    above = -np.expm1(log_zero)  # P(count > k), from k = 0
    mass = np.exp(log_zero)  # P(count = k)
    growth = rate / (1 + dispersion * rate)
    k = 0
    while True:
        go_on = uniform[alive] < above
        alive, above, mass = alive[go_on], above[go_on], mass[go_on]
        if not alive.size:
            return counts
        counts[alive] = k + 1
        mass = mass * growth[alive] * ((1 + dispersion * k) / (k + 1))
        above = above - mass
        k += 1
