"""Losses and gradients of one global batch by one process or several; run by test_objectives_gather."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from langcell.training.objectives import cell_cell_loss, cell_text_loss, masked_gene_loss

CELLS, FEATURES = 8, 5
DESCRIPTIONS = torch.tensor([4, 9, 4, 2, 2, 9, 4, 7])  # distinct: 3 on each half, so texts are shared and unequal
TYPE_OF_DESCRIPTION = torch.tensor([0, 0, 1, 0, 2, 0, 0, 3, 0, 3])


class Towers(nn.Module):
    """One linear map for cells and one for texts, and the losses over them."""

    def __init__(self):
        super().__init__()
        self.cells, self.texts, self.genes = nn.Linear(FEATURES, 4), nn.Linear(FEATURES, 4), nn.Linear(FEATURES, 6)

    def forward(self, cells, other_view, texts, codes, distinct):
        """All losses that look at the global batch."""
        types, text_types = TYPE_OF_DESCRIPTION[codes], TYPE_OF_DESCRIPTION[distinct]
        first, second = normalize(self.cells(cells), dim=1), normalize(self.cells(other_view), dim=1)
        embeds = normalize(self.texts(texts), dim=1)
        masked = codes > 2  # another number of masked positions on each half
        return {
            "cell_cell": cell_cell_loss(first, second, descriptions=codes, cell_types=types, temperature=0.1)[0],
            "cell_text": cell_text_loss(
                first,
                embeds,
                cell_descriptions=codes,
                cell_types=types,
                text_descriptions=distinct,
                text_types=text_types,
                temperature=0.1,
                positives="cell_type",
                related_types=torch.eye(4, dtype=torch.bool),
            )[0],
            "masked_gene": masked_gene_loss(self.genes(cells)[masked], codes[masked] % 6)[0],
        }


def main(out: Path, meeting_place: Path) -> None:
    """Write losses and gradients as lists; processes find each other by a file."""
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if ranks > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting_place}", rank=rank, world_size=ranks)
    torch.manual_seed(0)
    cells, other_view, texts = torch.randn(CELLS, FEATURES), torch.randn(CELLS, FEATURES), torch.randn(10, FEATURES)
    towers = Towers()
    model = DistributedDataParallel(towers) if ranks > 1 else towers
    mine = slice(rank * CELLS // ranks, (rank + 1) * CELLS // ranks)
    distinct = DESCRIPTIONS[mine].unique()
    losses = model(cells[mine], other_view[mine], texts[distinct], DESCRIPTIONS[mine], distinct)
    torch.stack(list(losses.values())).sum().backward()
    for loss in losses.values():
        loss.detach_()
        if ranks > 1:
            dist.all_reduce(loss)
        loss /= ranks
    results = {name: loss.item() for name, loss in losses.items()}
    results |= {name: p.grad.flatten().tolist() for name, p in towers.named_parameters() if p.grad is not None}
    if rank == 0:
        torch.save(results, out)
    if ranks > 1:
        # A process that frees its connections when the other one is gone may wait for it for ever.
        del model
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
