"""`masked_gene`: guess hidden genes from the other genes of the cell (MGM in the paper, masked language modelling).

    L = - 1/|M| * sum over masked positions (b, g) in M of log softmax(logits[b, g])[gene id before masking]

Source: Devlin et al. 2019 (BERT); Theodoris et al. 2023 (Geneformer); LangCell masks 15 % likewise. A share `rate` of
the gene positions is chosen at random; of these 80 % become the mask id, 10 % a random gene, and 10 % stay as they are.
`<cls>` and padding are never chosen. What is chosen in a cell follows from a seed and the cell's own ids: with the same
seed the same genes are hidden in whatever batch, chunk or process the cell is read. Logits are computed at the chosen
positions alone: with 25,427 rows in the vocabulary, a full head would cost more than the encoder.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from langcell.training.objectives.gather import global_mean
from langcell.training.randomness import cell_keys, uniform

MASKED_SHARE = 0.8
RANDOM_SHARE = 0.1


class MaskedCells(NamedTuple):
    """Cells with some genes hidden.

    Attributes:
        input_ids: `[B, G]`, the ids that the encoder reads.
        positions: `[B, G]` bool, where the loss is taken.
        targets: `[M]`, the ids at `positions` before masking, in the order of `states[positions]`.
    """

    input_ids: Tensor
    positions: Tensor
    targets: Tensor


def mask_genes(
    input_ids: Tensor,
    *,
    gene_ids: range,
    mask_token_id: int,
    rate: float = 0.15,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> MaskedCells:
    """Choose positions for the loss and hide what stands there.

    Args:
        input_ids: `[B, G]` ids of ranked genes, with `<cls>` and padding.
        gene_ids: the ids that are genes; everything else is special and never chosen, and never drawn at random.
        mask_token_id: the id that stands for a hidden gene.
        rate: share of the genes that is chosen, in (0, 1).
        seed: random seed of the draws, the same on every process; one is drawn if it is not given.
        generator: generator of the CPU, draws the seed; the global one if not given.

    Example:
        >>> cells = torch.tensor([[9, 4, 5, 6, 0]])
        >>> masked = mask_genes(cells, gene_ids=range(2, 9), mask_token_id=1, rate=0.999)
        >>> masked.positions.tolist(), masked.targets.tolist()
        ([[False, True, True, True, False]], [4, 5, 6])
    """
    if not 0.0 < rate < 1.0:
        raise ValueError(f"Masking rate {rate} is not between 0 and 1. The usual one is 0.15.")
    if seed is None:
        seed = int(torch.randint(2**62, (), generator=generator))
    length = input_ids.shape[1]
    is_gene = (input_ids >= gene_ids.start) & (input_ids < gene_ids.stop)
    keys = cell_keys(input_ids, is_gene, seed=seed)
    chosen, fate, which = (uniform(keys, length, stream=stream) for stream in range(3))
    positions = is_gene & (chosen < rate)
    random_genes = gene_ids.start + (which * len(gene_ids)).to(input_ids.dtype)
    hidden = torch.where(positions & (fate < MASKED_SHARE), mask_token_id, input_ids)
    swapped = positions & (fate >= MASKED_SHARE) & (fate < MASKED_SHARE + RANDOM_SHARE)
    return MaskedCells(torch.where(swapped, random_genes, hidden), positions, input_ids[positions])


def masked_gene_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy over the gene vocabulary, mean over the masked positions of all processes.

    Args:
        logits: `[M, V]` at the masked positions only.
        targets: `[M]` the hidden gene ids.

    Returns:
        The loss and the share of hidden genes that the highest logit names (without gradient), both 0-dimensional.
    """
    losses = functional.cross_entropy(logits.float(), targets, reduction="none")
    correct = (logits.argmax(dim=-1) == targets).float()
    return global_mean(losses), global_mean(correct)
