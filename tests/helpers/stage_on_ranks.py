"""One pass of the real stage over a global batch, by one process or as many as torchrun starts; run by two test files.

python stage_on_ranks.py OUT: for each case a dictionary of losses and gradients, by name, in one file.
"""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from tiny import tiny_config, tiny_model
from tiny_shards import DESCRIPTIONS, TYPES
from torch import Tensor

from langcell.training.objectives import MatchingPairs
from langcell.training.settings.sections import CellCell, CellText, CellTextMatching, MaskedGene, Objectives
from langcell.training.stage.distribution import distribute, whole_tensors
from langcell.training.stage.gradient_caching import backward_in_chunks
from langcell.training.stage.stage import LOSSES_OF_PART, PretrainingStage, active_losses, freeze

CELLS, GENES, WORDS = 12, 20, 7
# Of each cell. T cell (1) is an ancestor of CD4-positive T cell (2); 3 and 4 are texts of the same type. The halves
# share texts and have different numbers of them, so that cells have positives on both, and texts come up twice.
CODES = torch.tensor([0, 1, 2, 3, 4, 0, 0, 1, 3, 3, 0, 3])
# Description 0 has two texts, the first five and this one; each half has read another of them.
TEXTS = torch.tensor([0, 1, 2, 3, 4, 0])
OWN_TEXT = torch.tensor([5, 1, 2, 3, 4, 5, 0, 1, 3, 3, 0, 3])
TYPE_OF_CODE = torch.tensor([TYPES.index(row.cell_type_ontology_term_id) for row in DESCRIPTIONS])
RELATED = torch.eye(4, dtype=torch.bool)
RELATED[1, 2] = RELATED[2, 1] = True

STAGE_1 = Objectives(cell_cell=CellCell(weight=0.7, positives="description"))
STAGE_2 = Objectives(
    masked_gene=MaskedGene(weight=0.9),
    cell_cell=CellCell(weight=0.7, positives="cell_type"),
    cell_text=CellText(weight=1.1, positives="cell_type"),
    cell_text_matching=CellTextMatching(weight=0.8),
)
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@dataclass(frozen=True)
class Case:
    """What is run; `as_processes` is how many the matching pairs are drawn for."""

    objectives: Objectives
    chunk: int = 0
    fsdp: bool = False
    as_processes: int = 2
    frozen: tuple[str, ...] = ()


CASES = {
    "stage_1": Case(STAGE_1),
    "stage_2": Case(STAGE_2),
    "stage_2_without_cell_text": Case(
        replace(STAGE_2, cell_text=CellText(weight=0.0), cell_text_matching=CellTextMatching(weight=0.8, negatives=3))
    ),
    "stage_2_frozen_text_encoder": Case(STAGE_2, frozen=(r"^text_encoder\.(?!.*crossattention)",)),
}
CASES |= {f"{name}_in_chunks": replace(case, chunk=2) for name, case in CASES.items()}
CASES |= {f"{name}_fsdp": replace(CASES[name], fsdp=True) for name in ("stage_2", "stage_2_in_chunks")}


class DrawsAsProcesses(PretrainingStage):
    """One process that draws the pairs of the match as several would, each among its own cells."""

    parts = 1

    def draw_pairs(
        self, batch: dict[str, Tensor], *, cells: Tensor, texts: Tensor, draw: int, rank: int | None = None
    ) -> MatchingPairs:
        if self.parts == 1:
            return super().draw_pairs(batch, cells=cells, texts=texts, draw=draw, rank=rank)
        drawn: list[MatchingPairs] = []
        size = len(cells) // self.parts
        for part in range(self.parts):
            rows = slice(part * size, (part + 1) * size)
            local = part_of(batch, rows)
            whose = local["text_rows"]
            pairs = super().draw_pairs(local, cells=cells[rows], texts=texts[whose], draw=draw, rank=part)
            drawn.append(
                MatchingPairs(whose[pairs.texts_of_cells], whose[pairs.texts], pairs.cells + rows.start, pairs.targets)
            )
        of_cells, others = zip(
            *(pairs.targets.tensor_split([pairs.texts_of_cells.numel()]) for pairs in drawn), strict=True
        )
        joined = (torch.cat(column) for column in zip(*(pairs[:3] for pairs in drawn), strict=True))
        return MatchingPairs(*joined, torch.cat([*of_cells, *others]))


def global_batch() -> dict[str, Tensor]:
    """Cells of unequal lengths, sorted as a run sorts them, and their distinct texts."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.linspace(6, GENES, CELLS).long()
    ids = torch.stack([torch.randperm(40, generator=generator)[:GENES] + 2 for _ in range(CELLS)])
    ids[:, 0] = 42  # <cls>
    mask = (torch.arange(GENES) < lengths[:, None]).long()
    words = torch.randint(5, 28, (len(TEXTS), WORDS), generator=generator)
    words[:, 0] = 2
    word_mask = (torch.arange(WORDS) < torch.tensor([4, 7, 5, 6, 3, 6])[:, None]).long()
    return {
        "cell_input_ids": ids * mask,
        "cell_attention_mask": mask,
        "cell_description": CODES,
        "cell_type": TYPE_OF_CODE[CODES],
        "input_ids": words * word_mask,
        "attention_mask": word_mask,
        "text_description": TEXTS,
        "text_type": TYPE_OF_CODE[TEXTS],
        "text_row": torch.arange(len(TEXTS)),
        "own_text": OWN_TEXT,
    }


def part_of(batch: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    """What a process that has these rows would have read; `text_rows` says which texts."""
    cells = {name: batch[name][rows] for name in batch if name.startswith("cell_")}
    distinct, own = batch["own_text"][rows].unique(return_inverse=True)
    texts = {name: batch[name][distinct] for name in batch if name.startswith(("input", "attention", "text_"))}
    return cells | texts | {"own_text": own, "text_rows": distinct}


def run(case: Case, accelerator: Accelerator, *, dropout: bool = False) -> dict[str, Tensor]:
    """Losses and gradients of this case; on several processes, means of the losses over them."""
    os.environ["ACCELERATE_USE_FSDP"] = str(case.fsdp).lower()
    options = {} if dropout else NO_DROPOUT
    model = tiny_model(tiny_config(cell=options, text=options))
    on = active_losses(case.objectives).keys()
    freeze(model, patterns=[*case.frozen, *(part for part, losses in LOSSES_OF_PART.items() if not losses & on)])
    if "cell_text" not in on and "cell_text_matching" not in on:
        freeze(model, patterns=[r"^text_", r"^match_head\."])
    stage = DrawsAsProcesses(model, case.objectives, related_types=RELATED)
    ranks, rank = accelerator.num_processes, accelerator.process_index
    stage.parts = case.as_processes if ranks == 1 else 1
    wrapped = distribute(stage, accelerator).train()
    size = CELLS // ranks
    batch = part_of(global_batch(), slice(rank * size, (rank + 1) * size))
    if case.chunk:
        losses = backward_in_chunks(wrapped, stage, batch, accelerator=accelerator, chunk=case.chunk, draw=7)
    else:
        losses = wrapped(batch, draw=7)
        accelerator.backward(losses["loss"])
    losses = {name: loss.detach() for name, loss in losses.items()}
    results = {name: accelerator.reduce(loss, reduction="mean") for name, loss in losses.items()}
    gradients = {name: weight.grad for name, weight in stage.named_parameters() if weight.grad is not None}
    return results | whole_tensors(gradients)


def main(out: Path) -> None:
    """Run all cases."""
    accelerator = Accelerator(cpu=True)
    results = {name: run(case, accelerator) for name, case in CASES.items()}
    if accelerator.is_main_process:
        torch.save(results, out)
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
