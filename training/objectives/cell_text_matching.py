"""`cell_text_matching`: does this text describe this cell? (CTM in the paper, ITM in ALBEF and BLIP.)

    L = mean over pairs of cross-entropy(match logits of the pair, 1 if the text describes the cell else 0)
        - [K > 1] (1 + K) log softmax over the cell's texts of (match logit 1 - match logit 0), for its own text

The pairs of a batch of B cells and T distinct texts, at most (1 + K) B + T of them:
    each cell with its own text (1);
    each cell with K hard negative texts (0); K = 1 in ALBEF;
    each text with one hard negative cell (0).
The second part is what naming asks, that of several texts the own one matches best; a single negative says little of it
(measured in `training/EXPERIMENTS.md`). The texts of a cell share its keys and values, so further ones are cheap.
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
    """Pairs to be judged: those of each cell side by side so that they can share its keys and values, then the others.

    Attributes:
        texts_of_cells: `[B, 1 + K]`, the own text of each cell and its hard negative texts.
        texts: `[N]` texts that have a hard negative cell.
        cells: `[N]` the hard negative cell of each of them.
        targets: `[(1 + K) B + N]` for the pairs in this order: 1 if the text describes the cell, else 0; `NOT_JUDGED`
            where a cell has fewer negatives in the batch (its own text stands in those columns).
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
    negatives: int = 1,
    generator: torch.Generator | None = None,
) -> MatchingPairs:
    """Return true pairs and hard negatives of a batch.

    Args:
        cell_embeds: `[B, D]` unit length.
        text_embeds: `[T, D]` unit length.
        own_text: `[B]` index of the text of each cell.
        relations: `[B, T]`; negatives are drawn among `relations.negative` alone.
        temperature: low: the most similar wrong partner nearly always; high: any wrong partner.
        negatives: hard negative texts a cell, K.
        generator: source of randomness; the global one of the device if not given.
    """
    with torch.no_grad(), torch.autocast(cell_embeds.device.type, enabled=False):
        similarity = cell_embeds.float() @ text_embeds.float().T / temperature
        negative_texts, is_text = _draw(similarity, relations.negative, negatives, generator)
        negative_cells, is_cell = _draw(similarity.T, relations.negative.T, 1, generator)
    own, texts = own_text.unsqueeze(1), is_cell.squeeze(1).nonzero().squeeze(1)
    of_cells = torch.cat([torch.ones_like(own), torch.zeros_like(negative_texts).where(is_text, NOT_JUDGED)], dim=1)
    return MatchingPairs(
        texts_of_cells=torch.cat([own, negative_texts.where(is_text, own)], dim=1),
        texts=texts,
        cells=negative_cells.squeeze(1)[texts],
        targets=torch.cat([of_cells.flatten(), torch.zeros_like(texts)]),
    )


def _draw(similarity: Tensor, negative: Tensor, count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """`[R, count]` negative columns of each row without repetition, and whether the row had that many.

    The `count` largest of similarity plus Gumbel noise are a draw in proportion to exp(similarity) (Kool et al. 2019).
    """
    noise = torch.empty_like(similarity).exponential_(generator=generator).log()
    scores = (similarity - noise).masked_fill(~negative, -torch.inf)
    missing = count - scores.shape[1]
    if missing > 0:
        scores = functional.pad(scores, (0, missing), value=-torch.inf)
    top = scores.topk(count, dim=1)
    found = top.values.isfinite()
    return top.indices.where(found, 0), found


def cell_text_matching_loss(match_logits: Tensor, targets: Tensor, *, of_cells: int = 2) -> tuple[Tensor, Tensor]:
    """Return the match loss of all processes.

    Args:
        match_logits: `[P, 2]`; class 1 says that the text describes the cell.
        targets: `[P]` 0, 1 or `NOT_JUDGED`.
        of_cells: texts that stand side by side for each cell, 1 + K; the rest of the P pairs follow those of all cells.

    Returns:
        The loss, and the share of pairs judged right (without gradient).
    """
    judged, logits = targets != NOT_JUDGED, match_logits.float()
    losses = functional.cross_entropy(logits, targets.clamp(min=0), reduction="none")
    if of_cells > 2:
        losses = losses + of_cells * _among_texts(logits, targets, of_cells)
    correct = (logits.argmax(dim=-1) == targets)[judged].float()
    return global_mean(losses[judged]), global_mean(correct)


def _among_texts(logits: Tensor, targets: Tensor, of_cells: int) -> Tensor:
    """`[P]` cross-entropy of each cell's own text among its texts, at the place of that pair; 0 elsewhere."""
    own = (targets == 1).nonzero().squeeze(1)  # each cell has one text that describes it, its first
    pairs = slice(0, len(own) * of_cells)
    margins = (logits[pairs, 1] - logits[pairs, 0]).masked_fill(targets[pairs] == NOT_JUDGED, -torch.inf)
    first = torch.zeros_like(own)
    among = functional.cross_entropy(margins.view(len(own), of_cells), first, reduction="none")
    return torch.zeros(len(logits), device=logits.device).index_put((own,), among)
