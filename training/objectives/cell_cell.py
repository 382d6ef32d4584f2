"""`cell_cell`: is this the same cell? (C-C in the paper, SimCSE for cells.)

    L = (info_nce(S) + info_nce(S^T)) / 2,    S[i, j] = cos(first view of cell i, second view of cell j) / temperature

`info_nce.multi_positive_info_nce` is the loss of a side. S is `[B, B]` over the cells of all processes. The two views
of a cell differ by dropout (Gao et al. 2021) and by the genes that `masked_gene` hides in the first of them, which
saves a pass. With dropout 0, as in langcell-mini, the hidden genes alone make the difference; without these, too, a
cell would be contrasted with itself, and `stages.build_stage` refuses.
"""

from torch import Tensor

from langcell.training.objectives.gather import gather_with_gradient
from langcell.training.objectives.info_nce import contrast_both_ways
from langcell.training.objectives.relations import Positives, relate


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
    """Return two views of the same cells, contrasted with all other cells of the global batch (C-C in the paper).

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
    return contrast_both_ways(first, second, relations, temperature)
