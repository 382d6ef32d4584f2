"""`cell_text_matching`: does this text describe this cell? (CTM in the paper, ITM in ALBEF and BLIP.)

    L = mean over pairs of cross-entropy(match logits of the pair, 1 if the text describes the cell else 0)

The pairs of a batch of B cells and T distinct texts, at most 2 B + T of them:
    each cell with its own text (1);
    each cell with one hard negative text (0);
    each text with one hard negative cell (0).
A hard negative is drawn in proportion to exp(cos / temperature) among the pairs that are surely wrong: those of the
same or related cell types are never drawn. Source: Li et al. 2021 (ALBEF). Negatives come from the process's own
cells, whose hidden states are here; to send states of 2,048 genes between processes would cost more than the negatives
are worth.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from langcell.training.objectives.gather import global_mean
from langcell.training.objectives.relations import Relations

NOT_JUDGED = -100  # the target that cross_entropy leaves out


class MatchingPairs(NamedTuple):
    """Pairs to be judged: two for each cell, side by side so that they can share its keys and values, then the others.

    Attributes:
        texts_of_cells: `[B, 2]`, the own text of each cell and its hard negative text.
        texts: `[N]` texts that have a hard negative cell.
        cells: `[N]` the hard negative cell of each of them.
        targets: `[2 B + N]` for the pairs in this order: 1 if the text describes the cell, else 0; `NOT_JUDGED` for a
            cell that has no negative in the batch (its own text stands in both columns).
    """

    texts_of_cells: Tensor
    texts: Tensor
    cells: Tensor
    targets: Tensor


def draw_matching_pairs(
    cell_embeds: Tensor,
    text_embeds: Tensor,
    *,
    own_text: Tensor,
    relations: Relations,
    temperature: float,
    generator: torch.Generator | None = None,
) -> MatchingPairs:
    """True pairs and hard negatives of a batch.

    Args:
        cell_embeds: `[B, D]` unit length.
        text_embeds: `[T, D]` unit length.
        own_text: `[B]` index of the text of each cell.
        relations: `[B, T]`; negatives are drawn among `relations.negative` alone.
        temperature: low: the most similar wrong partner nearly always; high: any wrong partner.
        generator: source of randomness; the global one of the device if not given.
    """
    with torch.no_grad(), torch.autocast(cell_embeds.device.type, enabled=False):
        similarity = cell_embeds.float() @ text_embeds.float().T / temperature
        cells_with_negative, negative_texts = _draw(similarity, relations.negative, generator)
        texts, cells = _draw(similarity.T, relations.negative.T, generator)
    second_text, second_target = own_text.clone(), torch.full_like(own_text, NOT_JUDGED)
    second_text[cells_with_negative] = negative_texts
    second_target[cells_with_negative] = 0
    of_cells = torch.stack([torch.ones_like(own_text), second_target], dim=1)
    return MatchingPairs(
        texts_of_cells=torch.stack([own_text, second_text], dim=1),
        texts=texts,
        cells=cells,
        targets=torch.cat([of_cells.flatten(), torch.zeros_like(texts)]),
    )


def _draw(similarity: Tensor, negative: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """One negative column for each row that has one: row indices and column indices."""
    rows = negative.any(dim=1).nonzero().squeeze(1)
    if len(rows) == 0:
        return rows, rows
    weights = similarity[rows].masked_fill(~negative[rows], -torch.inf).softmax(dim=1)
    return rows, torch.multinomial(weights, 1, generator=generator).squeeze(1)


def cell_text_matching_loss(match_logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of the matching head, mean over the judged pairs of all processes.

    Args:
        match_logits: `[P, 2]`; class 1 says that the text describes the cell.
        targets: `[P]` 0, 1 or `NOT_JUDGED`.

    Returns:
        The loss, and the share of pairs judged right (without gradient).
    """
    judged = targets != NOT_JUDGED
    losses = functional.cross_entropy(match_logits[judged].float(), targets[judged], reduction="none")
    correct = (match_logits[judged].argmax(dim=-1) == targets[judged]).float()
    return global_mean(losses), global_mean(correct)
