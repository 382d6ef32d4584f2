"""Who is a positive of whom, who is a negative, and who is neither.

Contrast against a description that is also true of the cell teaches the model to contradict itself. So pairs have three
fates: positive, negative, or left out. Descriptions and cell types are compared as integer codes; -1 means unknown.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Positives = Literal["cell", "description", "cell_type"]


class Relations(NamedTuple):
    """Pairs of rows and columns.

    Attributes:
        positive: `[R, C]` bool.
        negative: `[R, C]` bool; a pair that is neither is left out of the loss.
    """

    positive: Tensor
    negative: Tensor

    def transpose(self) -> "Relations":
        """Return the same pairs seen from the columns."""
        return Relations(self.positive.T, self.negative.T)


def relate(
    *,
    descriptions: tuple[Tensor, Tensor],
    cell_types: tuple[Tensor, Tensor],
    positives: Positives,
    related_types: Tensor | None = None,
    identity: bool = False,
) -> Relations:
    """Return the relations of rows and columns by their descriptions and cell types.

    Args:
        descriptions: description codes of rows `[R]` and columns `[C]`.
        cell_types: cell type codes of rows `[R]` and columns `[C]`.
        positives: `"cell"`: only a row and the column of the same index; `"description"`: the same description;
            `"cell_type"`: the same description or the same cell type.
        related_types: `[K, K]` bool over cell type codes, true where one type is the other or its ancestor or
            descendant. Pairs so related that are not positive are left out, and so are pairs with an unknown type.
            None: every pair that is not positive is a negative.
        identity: rows and columns are the same cells in the same order, so row i and column i are positives.

    Example:
        >>> codes = torch.tensor([0, 0, 1])
        >>> pairs = relate(descriptions=(codes, codes), cell_types=(codes, codes), positives="description")
        >>> pairs.positive.int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    if positives not in get_args(Positives):
        raise ValueError(f"Unknown positives {positives!r}. Legal ones: {', '.join(get_args(Positives))}.")
    positive = torch.zeros(len(descriptions[0]), len(descriptions[1]), dtype=torch.bool, device=descriptions[0].device)
    if identity:
        positive.fill_diagonal_(True)
    if positives != "cell":
        positive |= _same(*descriptions)
    if positives == "cell_type":
        positive |= _same(*cell_types)
    negative = ~positive
    if related_types is not None:
        rows, columns = cell_types[0][:, None], cell_types[1][None, :]
        known = (rows >= 0) & (columns >= 0)
        negative &= known & ~related_types[rows.clamp(min=0), columns.clamp(min=0)]
    return Relations(positive, negative)


def _same(rows: Tensor, columns: Tensor) -> Tensor:
    return (rows[:, None] == columns[None, :]) & (rows >= 0)[:, None]


def related_cell_types(term_ids: Sequence[str], *, ancestors: Callable[[str], Iterable[str]]) -> Tensor:
    """Return which cell types are the same as, an ancestor of, or a descendant of which.

    Args:
        term_ids: ontology ids in the order of their codes, for example `["CL:0000236", "CL:0000084"]`.
        ancestors: gives the ids of all ancestors of a term.

    Returns:
        `[K, K]` bool, symmetric, with a true diagonal.

    Example:
        >>> related_cell_types(["T", "CD4 T", "B"], ancestors={"T": [], "CD4 T": ["T"], "B": []}.get).int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    code_of = {term_id: code for code, term_id in enumerate(term_ids)}
    related = torch.eye(len(term_ids), dtype=torch.bool)
    for term_id, code in code_of.items():
        for ancestor in ancestors(term_id):
            if ancestor in code_of:
                related[code, code_of[ancestor]] = related[code_of[ancestor], code] = True
    return related
