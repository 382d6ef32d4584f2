"""The certified early stop returns what the full computation returns, whatever priors and matches are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from langcell.reranking_langcell import rerank_exact, rerank_top


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
@given(
    seed=st.integers(0, 2**32 - 1),
    n_labels=st.integers(2, 1000),
    alpha=st.floats(0, 1),
    n_values=st.integers(1, 3),
    first_block=st.integers(1, 16),
)
def test_ties_are_resolved_as_in_the_full_computation(seed, n_labels, alpha, n_values, first_block):
    # Few distinct values, so that equal priors, equal matches and equal scores abound.
    rng = np.random.default_rng(seed)
    prior = torch.tensor(rng.choice([0.1, 0.2, 0.3][:n_values], size=(4, n_labels)), dtype=torch.float32)
    prior /= prior.sum(-1, keepdim=True)
    match = torch.tensor(rng.choice([0.0, 0.5, 1.0][:n_values], size=(4, n_labels)), dtype=torch.float32)
    assert run(prior, match, alpha, first_block=first_block).best.tolist() == full_labels(prior, match, alpha).tolist()


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_labels=st.integers(2, 1000),
    alpha=st.sampled_from([0.05, 0.1, 0.5, 0.9]),
    lead=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1e-4]),
)
def test_an_adversary_lets_the_last_label_catch_up_with_the_first(seed, n_labels, alpha, lead):
    # The label of the lowest prior has just the match that makes up for it, but for the lead; the others have none.
    rng = np.random.default_rng(seed)
    prior = torch.tensor(np.sort(rng.dirichlet(np.full(n_labels, 5.0)))[::-1].copy(), dtype=torch.float32)[None]
    match = torch.zeros(1, n_labels)
    gap = alpha * (prior[0, 0] - prior[0, -1]).item() / (1 - alpha) + lead
    for _ in range(20):  # exp(p) = 1 + gap * Z, and Z has p in it
        match[0, -1] = min(1.0, float(np.log1p(gap * match.exp().sum().item())))
    assert run(prior, match, alpha).best.tolist() == full_labels(prior, match, alpha).tolist()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_labels=st.integers(2, 300), alpha=st.floats(0, 1), k=st.integers(1, 400))
def test_top_k_evaluates_the_k_greatest_priors_and_gives_lower_bounds(seed, n_labels, alpha, k):
    generator = torch.Generator().manual_seed(seed)
    prior = (torch.randn(5, n_labels, generator=generator) * 3).softmax(-1)
    match = torch.rand(5, n_labels, generator=generator)
    reranked = rerank_top(prior, alpha, lambda rows, columns: match[rows[:, None], columns], k=k)
    evaluated = ~reranked.match.isnan()
    assert (evaluated.sum(1) == min(k, n_labels)).all()
    assert reranked.pairs_evaluated == 5 * min(k, n_labels)
    left_out = prior.masked_fill(evaluated, -1).amax(1)
    assert (prior.masked_fill(~evaluated, 2).amin(1) >= left_out).all()
    full = alpha * prior + (1 - alpha) * match.softmax(-1)
    assert (reranked.score[evaluated] <= full[evaluated] + 1e-6).all()
    if k >= n_labels:
        assert reranked.best.tolist() == full_labels(prior, match, alpha).tolist()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_labels=st.integers(2, 300),
    alpha=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    sharpness=st.sampled_from([0.1, 1.0, 5.0, 20.0]),
    top=st.integers(1, 12),
    first_block=st.integers(1, 16),
)
def test_the_top_labels_and_their_order_are_those_of_the_full_computation(
    seed, n_labels, alpha, sharpness, top, first_block
):
    generator = torch.Generator().manual_seed(seed)
    prior = (torch.randn(6, n_labels, generator=generator) * sharpness).softmax(-1)
    match = torch.rand(6, n_labels, generator=generator)
    top = min(top, n_labels)

    def evaluate(rows, columns):
        return match[rows[:, None], columns]

    reranked = rerank_exact(prior, alpha, evaluate, top=top, first_block=first_block)
    found = reranked.score.nan_to_num(-torch.inf).sort(descending=True, stable=True).indices[:, :top]
    full = alpha * prior + (1 - alpha) * match.softmax(-1)
    expected = full.sort(descending=True, stable=True).values[:, :top]
    torch.testing.assert_close(full.gather(1, found), expected, rtol=0, atol=1e-7)


def test_the_top_labels_stop_early_too():
    prior = torch.full((1, 1000), 0.1 / 997)
    prior[0, [7, 3, 5]] = torch.tensor([0.5, 0.25, 0.15])
    match = torch.zeros(1, 1000)
    reranked = rerank_exact(prior, 0.9, lambda rows, columns: match[rows[:, None], columns], top=3)
    assert reranked.score.nan_to_num(-1).topk(3).indices.tolist() == [[7, 3, 5]]
    assert reranked.pairs_evaluated == 8


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
