"""InfoNCE over the global batch with any number of positives: what `cell_cell` and `cell_text` share.

For one row with similarities s, positives P and negatives N:

    L_row = 1/|P| * sum over p in P of -log( exp(s_p) / (exp(s_p) + sum over n in N of exp(s_n)) )

With one positive this is InfoNCE (van den Oord et al. 2018) as in SimCSE (Gao et al. 2021) and CLIP (Radford et al.
2021). With more it is epsilon-SupInfoNCE at epsilon 0 (Barbano et al. 2023, ICLR). Chosen over the two common ways: in
SupCon (Khosla et al. 2020) the other positives stand in the denominator, so positives push each other away and the loss
cannot reach 0; in -log of the summed positives one good positive satisfies the row and the others get no gradient.
Pairs that are neither positive nor negative appear nowhere. A loss is the mean over rows with a positive, and over both
directions.

Similarity is the dot product of unit-length embeddings over a temperature. Always float32: at temperature 0.05 the
rounding of bfloat16 would move a logit by 0.08.
"""

import torch
from torch import Tensor
from torch.nn import functional

from langcell.training.objectives.relations import Relations


def multi_positive_info_nce(similarity: Tensor, relations: Relations) -> Tensor:
    """Return the loss of every row of `similarity`, mean over the rows that have a positive.

    Args:
        similarity: `[R, C]`, already divided by the temperature.
        relations: `[R, C]` positives and negatives.

    Example:
        >>> similarity = torch.tensor([[20.0, -20.0], [-20.0, 20.0]])
        >>> pairs = Relations(torch.eye(2, dtype=torch.bool), ~torch.eye(2, dtype=torch.bool))
        >>> round(multi_positive_info_nce(similarity, pairs).item(), 6)
        0.0
    """
    # -log(e^p / (e^p + sum e^n)) = softplus(logsumexp(n) - p). A row without negatives gets a finite, very low
    # logsumexp, hence loss 0 and gradient 0, where -inf would give NaN gradients.
    lowest = torch.finfo(similarity.dtype).min / 4
    negatives = similarity.masked_fill(~relations.negative, lowest).logsumexp(dim=1, keepdim=True)
    losses = functional.softplus(negatives - similarity).masked_fill(~relations.positive, 0.0)
    counts = relations.positive.sum(dim=1)
    per_row = losses.sum(dim=1) / counts.clamp(min=1)
    return per_row.sum() / (counts > 0).sum().clamp(min=1)


def contrast_both_ways(
    rows: Tensor, columns: Tensor, relations: Relations, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the rows against columns and columns against rows.

    Args:
        rows: `[R, D]` unit-length embeddings.
        columns: `[C, D]` unit-length embeddings.
        relations: `[R, C]` positives and negatives.
        temperature: divisor of the cosine.

    Returns:
        The mean of both losses, and the share of rows whose nearest column is a positive (without gradient).
    """
    with torch.autocast(rows.device.type, enabled=False):
        similarity = rows @ columns.T / temperature
    forward = multi_positive_info_nce(similarity, relations)
    backward = multi_positive_info_nce(similarity.T, relations.transpose())
    with torch.no_grad():
        judged = similarity.masked_fill(~(relations.positive | relations.negative), -torch.inf)
        nearest = judged.argmax(dim=1, keepdim=True)
        accuracy = relations.positive.gather(1, nearest).float().mean()
    return (forward + backward) / 2, accuracy
