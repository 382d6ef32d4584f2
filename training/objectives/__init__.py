"""The four pre-training losses, one a file: `masked_gene`, `cell_cell`, `cell_text`, `cell_text_matching`.

Every loss is a function of tensors: it knows nothing of the model, of the data or of the loop.
`langcell.training.stage.stage` binds them to the model.
"""

from langcell.training.objectives.cell_cell import cell_cell_loss
from langcell.training.objectives.cell_text import cell_text_loss
from langcell.training.objectives.cell_text_matching import (
    MatchingPairs,
    cell_text_matching_loss,
    draw_matching_pairs,
)
from langcell.training.objectives.gather import gather_with_gradient, global_mean
from langcell.training.objectives.info_nce import multi_positive_info_nce
from langcell.training.objectives.masked_gene import MaskedCells, mask_genes, masked_gene_loss
from langcell.training.objectives.relations import Relations, relate, related_cell_types

__all__ = [
    "MaskedCells",
    "MatchingPairs",
    "Relations",
    "cell_cell_loss",
    "cell_text_loss",
    "cell_text_matching_loss",
    "draw_matching_pairs",
    "gather_with_gradient",
    "global_mean",
    "mask_genes",
    "masked_gene_loss",
    "multi_positive_info_nce",
    "relate",
    "related_cell_types",
]
