"""`cell_text`: which text describes this cell, and which cell this text? (C-T in the paper, CLIP for cells.)

    L = (info_nce(S) + info_nce(S^T)) / 2,    S[i, j] = cos(cell i, text j) / temperature

`info_nce.multi_positive_info_nce` is the loss of a side. S is `[B, T]` over the cells and the distinct texts of all
processes: a text that many cells share is read once and stands in one column.
"""

from torch import Tensor

from langcell.training.objectives.gather import gather_with_gradient
from langcell.training.objectives.info_nce import contrast_both_ways
from langcell.training.objectives.relations import Positives, relate


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
    """Contrast cells with the distinct texts of the global batch, and texts with cells (C-T in the paper).

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
    return contrast_both_ways(cells, texts[first], relations, temperature)


def _first_occurrences(codes: Tensor) -> Tensor:
    """Indices of the first time each code appears, ascending."""
    earlier = (codes[:, None] == codes[None, :]).tril(diagonal=-1).any(dim=1)
    return (~earlier).nonzero().squeeze(1)
