"""`cell_cell` and `cell_text`: InfoNCE over the global batch, with any number of positives.

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

from langcell.training.objectives.gather import gather_with_gradient
from langcell.training.objectives.relations import Positives, Relations, relate


def multi_positive_info_nce(similarity: Tensor, relations: Relations) -> Tensor:
    """The loss of every row of `similarity`, mean over the rows that have a positive.

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


def cell_cell_loss(
    first_view: Tensor,
    second_view: Tensor,
    *,
    descriptions: Tensor,
    cell_types: Tensor,
    temperature: float,
    positives: Positives = "cell",
    related_types: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Two views of the same cells, contrasted with all other cells of the global batch (C-C in the paper).

    Args:
        first_view: `[B, D]` unit-length embeddings of this process's cells.
        second_view: `[B, D]`, the same cells read again with other dropout, or with genes masked.
        descriptions: `[B]` description codes, -1 where unknown.
        cell_types: `[B]` cell type codes, -1 where unknown.
        temperature: divisor of the cosine.
        positives: `"cell"`: the other view of the same cell alone (SimCSE; needs no annotation). The other two let
            cells of one description or type, from whatever study, be views of each other.
        related_types: `[K, K]`; leaves out pairs of related types. Not used with `positives="cell"`.

    Returns:
        The loss, and the share of cells whose nearest second view is a positive (without gradient).
    """
    first, second = gather_with_gradient(first_view.float()), gather_with_gradient(second_view.float())
    descriptions, cell_types = gather_with_gradient(descriptions), gather_with_gradient(cell_types)
    relations = relate(
        descriptions=(descriptions, descriptions),
        cell_types=(cell_types, cell_types),
        positives=positives,
        related_types=None if positives == "cell" else related_types,
        identity=True,
    )
    return _both_directions(first, second, relations, temperature)


def cell_text_loss(
    cell_embeds: Tensor,
    text_embeds: Tensor,
    *,
    cell_descriptions: Tensor,
    cell_types: Tensor,
    text_descriptions: Tensor,
    text_types: Tensor,
    temperature: float,
    positives: Positives = "description",
    related_types: Tensor | None = None,
    text_rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cells against the distinct texts of the global batch, and texts against cells (C-T in the paper).

    Args:
        cell_embeds: `[B, D]` unit-length embeddings of this process's cells.
        text_embeds: `[T, D]` unit-length embeddings of this process's distinct texts.
        cell_descriptions: `[B]` description codes of the cells.
        cell_types: `[B]` cell type codes of the cells.
        text_descriptions: `[T]` description codes of the texts.
        text_types: `[T]` cell type codes of the texts.
        temperature: divisor of the cosine; the model's `logit_temperature`, so that scores mean what was trained.
        positives: `"description"` or `"cell_type"`.
        related_types: `[K, K]`; leaves out pairs of related types.
        text_rows: `[T]` numbers of the texts, where a description has several; its code if not given.

    Returns:
        The loss, and the share of cells whose nearest text is a positive (without gradient).
    """
    cells, texts = gather_with_gradient(cell_embeds.float()), gather_with_gradient(text_embeds.float())
    text_descriptions, text_types = gather_with_gradient(text_descriptions), gather_with_gradient(text_types)
    # Two processes may have read the same text: as two columns it would count twice.
    first = _first_occurrences(text_descriptions if text_rows is None else gather_with_gradient(text_rows))
    relations = relate(
        descriptions=(gather_with_gradient(cell_descriptions), text_descriptions[first]),
        cell_types=(gather_with_gradient(cell_types), text_types[first]),
        positives=positives,
        related_types=related_types,
    )
    return _both_directions(cells, texts[first], relations, temperature)


def _both_directions(rows: Tensor, columns: Tensor, relations: Relations, temperature: float) -> tuple[Tensor, Tensor]:
    with torch.autocast(rows.device.type, enabled=False):
        similarity = rows @ columns.T / temperature
    forward = multi_positive_info_nce(similarity, relations)
    backward = multi_positive_info_nce(similarity.T, relations.transpose())
    with torch.no_grad():
        judged = similarity.masked_fill(~(relations.positive | relations.negative), -torch.inf)
        nearest = judged.argmax(dim=1, keepdim=True)
        accuracy = relations.positive.gather(1, nearest).float().mean()
    return (forward + backward) / 2, accuracy


def _first_occurrences(codes: Tensor) -> Tensor:
    """Indices of the first time each code appears, ascending."""
    earlier = (codes[:, None] == codes[None, :]).tril(diagonal=-1).any(dim=1)
    return (~earlier).nonzero().squeeze(1)
