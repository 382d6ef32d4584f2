"""Re-ranking that stops early and still returns the label of the full computation.

The score of label i of one cell is (Zhao et al. 2024)

    f_i = alpha * s_i + (1 - alpha) * exp(p_i) / Z,    Z = sum over all T labels of exp(p_j),

with s the softmax of the similarities, known for all labels, and p_i in [0, 1] the match probability, which costs a
pass of the text encoder. Say p is known for a set C of c labels, and S = sum over C of exp(p_i).

1. Every unknown p_j lies in [0, 1], so S + (T - c) <= Z <= S + (T - c) * e.
2. For two labels b, i of C the difference f_b - f_i = alpha * (s_b - s_i) + (1 - alpha) * (exp(p_b) - exp(p_i)) / Z is
   linear in 1/Z. If it is positive at both ends of the interval of Z, it is positive everywhere in it.
3. For an unknown label j, f_j <= alpha * s_j + (1 - alpha) * e / Z <= alpha * s_max + (1 - alpha) * e / Z with s_max
   the largest s outside C. f_b minus that bound is linear in 1/Z too, so again both ends suffice.

If one label b wins 2 against all of C and 3 at both ends, it wins for the true Z, whatever the unknown p are: b is
what the full computation returns. Labels are walked by falling s, so that s_max falls as fast as it can. A difference
has to exceed `MARGIN`, so that a tie, or a lead within rounding error, is never certified: such a cell is evaluated in
full. For the t best labels in their order, each has to win 2 against the next, and the last of them 2 and 3 against the
others.

`rerank_top` is the usual approximation beside it: the match of the k most similar labels only, whatever it says.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Larger than the rounding error of a float32 score, smaller than any difference that matters.
MARGIN = 1e-6
FIRST_BLOCK = 8

# (cells as row numbers (rows,), labels as column numbers (rows, k)) -> match probabilities (rows, k)
Evaluate = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Reranked:
    """Match probabilities as far as they were needed.

    Attributes:
        match: (cells, labels); NaN where not evaluated.
        score: (cells, labels); NaN where the match is. Where a cell was not evaluated in full, the score at the upper
            end of Z: the least that it can be. Where it was, the very score of the full computation.
        best: (cells,); the label with the greatest score, the first of equals. Of `rerank_exact` this is the label of
            the full computation; of `rerank_top` it is the best of the labels that were looked at.
        pairs_evaluated: number of (cell, label) pairs.
    """

    match: Tensor
    score: Tensor
    best: Tensor
    pairs_evaluated: int


def rerank_exact(
    prior: Tensor, alpha: float, evaluate: Evaluate, *, top: int = 1, first_block: int = FIRST_BLOCK
) -> Reranked:
    """Evaluate labels by falling prior, in blocks that double, until the best labels of each cell are certain.

    Args:
        prior: softmax of the similarities, (cells, labels).
        alpha: weight of the prior.
        evaluate: gives the match probabilities of chosen pairs.
        top: how many of the best labels, with their order, have to be certain.
        first_block: labels evaluated before the first look; `top` where that is more.

    >>> match = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.6, 0.1]])
    >>> prior = torch.tensor([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25]])
    >>> reranked = rerank_exact(prior, 0.5, lambda rows, columns: match[rows[:, None], columns], first_block=1)
    >>> reranked.best.tolist(), reranked.pairs_evaluated
    ([0, 0], 4)
    """
    n_labels = prior.shape[1]
    order = prior.argsort(dim=-1, descending=True, stable=True)
    match = torch.full_like(prior, torch.nan)
    active = torch.arange(len(prior), device=prior.device)
    seen, block = 0, max(first_block, top)
    while len(active):
        columns = order[active, seen : seen + block]
        match[active[:, None], columns] = evaluate(active, columns).to(match.dtype)
        seen, block = min(seen + block, n_labels), block * 2
        if seen == n_labels:
            break
        known = order[active, :seen]
        certain = _certain(
            prior[active[:, None], known],
            match[active[:, None], known],
            alpha,
            top=top,
            n_unseen=n_labels - seen,
            best_unseen=prior[active, order[active, seen]],
        )
        active = active[~certain]
    return _scored(prior, match, alpha)


def rerank_top(prior: Tensor, alpha: float, evaluate: Evaluate, *, k: int) -> Reranked:
    """Evaluate the k labels of the greatest prior and nothing else: an approximation.

    A label further down cannot win, however well it matches. The scores follow the convention of `rerank_exact`: the
    least that they can be, so that they stay comparable with those of the full computation; with k >= labels they are
    the full ones. A sum over the k labels alone would instead make the match weigh n / k times as much.

    Args:
        prior: softmax of the similarities, (cells, labels).
        alpha: weight of the prior.
        evaluate: gives the match probabilities of chosen pairs.
        k: labels evaluated for each cell.

    >>> match = torch.tensor([[0.1, 0.2, 0.9]])
    >>> reranked = rerank_top(torch.tensor([[0.5, 0.3, 0.2]]), 0.5, lambda rows, cols: match[rows[:, None], cols], k=2)
    >>> reranked.best.tolist(), reranked.pairs_evaluated
    ([0], 2)
    """
    # As in rerank_exact, the first of equal priors comes first.
    columns = prior.argsort(dim=-1, descending=True, stable=True)[:, :k]
    rows = torch.arange(len(prior), device=prior.device)
    match = torch.full_like(prior, torch.nan)
    match[rows[:, None], columns] = evaluate(rows, columns).to(match.dtype)
    return _scored(prior, match, alpha)


def _scored(prior: Tensor, match: Tensor, alpha: float) -> Reranked:
    """Scores at the upper end of Z, and by the full computation's own formula where nothing is missing."""
    evaluated = ~match.isnan()
    n_unseen = (~evaluated).sum(-1, keepdim=True)
    largest_z = match.exp().nansum(-1, keepdim=True) + n_unseen * math.e
    # Two formulas that agree on paper may round a tie in two ways, and so to two labels.
    weight = torch.where(n_unseen == 0, match.softmax(-1), match.exp() / largest_z)
    score = alpha * prior + (1 - alpha) * weight
    return Reranked(match, score, score.nan_to_num(-torch.inf).argmax(-1), int(evaluated.sum()))


def _certain(prior: Tensor, match: Tensor, alpha: float, *, top: int, n_unseen: int, best_unseen: Tensor) -> Tensor:
    """Whether the best of the known labels at the upper end of Z, in order, are those of all for every Z; (cells,)."""
    exp_match = match.exp()
    known_sum = exp_match.sum(-1, keepdim=True)
    upper = alpha * prior + (1 - alpha) * exp_match / (known_sum + n_unseen * math.e)
    winners = upper.topk(top).indices
    certain = torch.ones_like(winners[:, 0], dtype=torch.bool)
    for largest_p in (1.0, math.e):  # exp of the least and the greatest p that an unseen label can have
        z = known_sum + n_unseen * largest_p
        score = alpha * prior + (1 - alpha) * exp_match / z
        own = score.gather(1, winners)
        others = score.scatter(1, winners, -torch.inf).amax(-1)
        bound = alpha * best_unseen + (1 - alpha) * math.e / z.squeeze(1)
        certain &= ((own[:, :-1] - own[:, 1:]) > MARGIN).all(-1)
        certain &= (own[:, -1] - torch.maximum(others, bound)) > MARGIN
    return certain
