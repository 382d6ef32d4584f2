"""The certified early stop returns what the full computation returns, whatever priors and matches are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from langcell.inference.rerank import rerank_exact


def full_labels(prior, match, alpha):
    return (alpha * prior + (1 - alpha) * match.softmax(-1)).argmax(-1)


def run(prior, match, alpha, first_block=8):
    return rerank_exact(prior, alpha, lambda rows, columns: match[rows[:, None], columns], first_block=first_block)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_labels=st.integers(2, 1000),
    alpha=st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.9, 1.0]),
    sharpness=st.sampled_from([0.0, 0.1, 1.0, 5.0, 20.0]),
    first_block=st.integers(1, 32),
)
def test_label_is_that_of_the_full_computation(seed, n_labels, alpha, sharpness, first_block):
    generator = torch.Generator().manual_seed(seed)
    prior = (torch.randn(6, n_labels, generator=generator) * sharpness).softmax(-1)
    match = torch.rand(6, n_labels, generator=generator)
    reranked = run(prior, match, alpha, first_block)
    assert reranked.best.tolist() == full_labels(prior, match, alpha).tolist()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_labels=st.integers(2, 60), alpha=st.floats(0, 1))
def test_ties_are_resolved_as_in_the_full_computation(seed, n_labels, alpha):
    # Few distinct values, so that equal priors, equal matches and equal scores abound.
    rng = np.random.default_rng(seed)
    prior = torch.tensor(rng.choice([0.1, 0.2, 0.3], size=(8, n_labels)), dtype=torch.float32)
    prior /= prior.sum(-1, keepdim=True)
    match = torch.tensor(rng.choice([0.0, 0.5, 1.0], size=(8, n_labels)), dtype=torch.float32)
    assert run(prior, match, alpha, first_block=2).best.tolist() == full_labels(prior, match, alpha).tolist()


def test_adversary_gives_the_unseen_labels_the_best_match():
    prior = torch.tensor([[0.34, 0.33, 0.33]])
    match = torch.tensor([[0.0, 0.0, 1.0]])
    assert run(prior, match, 0.5, first_block=1).best.item() == 2


def test_a_clear_winner_stops_early():
    prior = torch.full((1, 1000), 0.1 / 999)
    prior[0, 7] = 0.9
    match = torch.zeros(1, 1000)
    match[0, 7] = 1.0
    reranked = run(prior, match, 0.5)
    assert reranked.best.item() == 7
    assert reranked.pairs_evaluated == 8


def test_what_was_not_evaluated_is_nan_and_scores_are_lower_bounds():
    generator = torch.Generator().manual_seed(0)
    prior = (torch.randn(50, 200, generator=generator) * 4).softmax(-1)
    match = torch.rand(50, 200, generator=generator)
    reranked = run(prior, match, 0.5)
    assert reranked.pairs_evaluated == (~reranked.match.isnan()).sum() < 50 * 200
    assert torch.equal(reranked.match.isnan(), reranked.score.isnan())
    full = 0.5 * prior + 0.5 * match.softmax(-1)
    seen = ~reranked.match.isnan()
    assert (reranked.score[seen] <= full[seen] + 1e-6).all()


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_full_evaluation_gives_exact_scores(alpha):
    match = torch.tensor([[0.5, 0.5], [0.2, 0.9]])  # a tie in the first row: never certified
    prior = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    reranked = run(prior, match, alpha, first_block=1)
    full = alpha * prior + (1 - alpha) * match.softmax(-1)
    torch.testing.assert_close(reranked.score, full)
    assert reranked.best.tolist() == [0, 1]
