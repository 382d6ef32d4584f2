"""Losses of fine-tuning on labelled cells: the right label among all labels, by similarity and by match.

    similarity = - log softmax over labels of (cos / temperature)[own label]
    match      = mean over labels of cross-entropy(match logits, 1 if it is the own label else 0)
                 - log softmax over labels of (match logit 1 - match logit 0)[own label]

The first part of the match keeps its probability what it is in pre-training (`cell_text_matching`, with every label as
a negative); the second asks what naming asks, that the own label has the highest one, and is not drowned by the many
easy negatives. Each loss is a sum over cells of weight x loss over a normalizer that the caller knows for the whole
batch, so that processes that hold parts of it add up to it.
"""

import torch
from torch import Tensor
from torch.nn import functional


def similarity_loss(similarity: Tensor, codes: Tensor) -> Tensor:
    """Return the cross-entropy of every cell, `[B]`.

    Args:
        similarity: `[B, L]` cos / temperature.
        codes: `[B]` index of the own label.
    """
    return functional.cross_entropy(similarity.float(), codes, reduction="none")


def label_matching_loss(match_logits: Tensor, own: Tensor) -> Tensor:
    """Return both parts of the match loss of every cell, `[B]`.

    Args:
        match_logits: `[B, M, 2]` of each cell with M labels, its own among them.
        own: `[B]` which of the M is the cell's own.

    Example:
        >>> sure = torch.tensor([[[0.0, 20.0], [20.0, 0.0]]])
        >>> round(label_matching_loss(sure, torch.tensor([0])).item(), 6)
        0.0
    """
    logits = match_logits.float()
    n_cells, n_labels, _ = logits.shape
    targets = functional.one_hot(own, n_labels)
    pairs = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    among = functional.cross_entropy(logits[..., 1] - logits[..., 0], own, reduction="none")
    return pairs.view(n_cells, n_labels).mean(1) + among


def hardest_labels(similarity: Tensor, codes: Tensor, most: int) -> Tensor:
    """Return the labels whose match is trained for each cell: its own first, then the most similar others.

    Args:
        similarity: `[B, L]`.
        codes: `[B]` index of the own label.
        most: labels a cell; all when there are no more.

    Returns:
        `[B, min(most, L)]` label indices; column 0 is the own label.

    Example:
        >>> hardest_labels(torch.tensor([[0.3, 0.1, 0.9]]), torch.tensor([1]), 2).tolist()
        [[1, 2]]
    """
    own_first = similarity.detach().scatter(1, codes[:, None], torch.inf)
    return own_first.topk(min(most, similarity.shape[1]), dim=1).indices
