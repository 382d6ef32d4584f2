"""Gradient caching: the gradient of a large batch in the memory of a small one (GradCache, Gao et al. 2021).

Contrast needs the embeddings of the whole batch, the encoders do not. So a pass is made in two rounds:

    1. Encode all cells and texts chunk by chunk without gradients. From the embeddings: the contrastive losses over the
       global batch, their gradients with respect to each embedding e, g = dL/de, and the negatives of the match.
    2. Encode each chunk again, now with gradients, and run backward from <e, g> plus what is a sum over cells
       (`masked_gene`, `cell_text_matching`). Texts come last: g of their states before the match is complete only when
       every cell has been read.

The chain rule makes this the direct gradient, not an estimate of it. Dropout falls alike in both rounds, because each
chunk seeds it. Cost: a second forward pass of what is embedded, 2 encoder passes becoming 4 with all four losses (the
backward passes stay 2). Memory: activations of `chunk` cells, and everything that is one vector a cell or a text state.

Processes sum up their gradients once, after the last chunk. Under FSDP they do so for each chunk.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from langcell.training.objectives import MatchingPairs, cell_text_matching_loss, masked_gene_loss
from langcell.training.objectives.cell_text_matching import NOT_JUDGED
from langcell.training.objectives.gather import process_rank, world_size
from langcell.training.randomness import DROPOUT, draw_number
from langcell.training.stage.distribution import sync_gradients, without_sync
from langcell.training.stage.stage import PretrainingStage, ResultParts

_CELLS, _TEXTS = 1, 2  # what a chunk's dropout is drawn for


def backward_in_chunks(
    wrapped: nn.Module,
    stage: PretrainingStage,
    batch: dict[str, Tensor],
    *,
    accelerator: Accelerator,
    chunk: int,
    draw: int,
    scale: float = 1.0,
    sync: bool = True,
) -> dict[str, Tensor]:
    """Add the gradient of a batch to the parameters; every process calls it.

    Args:
        wrapped: the stage as `distribute` gave it.
        stage: model and losses.
        batch: as `PretrainingStage.forward` takes it.
        accelerator: accelerator of the run.
        chunk: most cells, and most texts, that are encoded with gradients at once.
        draw: as `PretrainingStage.forward` takes it.
        scale: scale of the gradient; 1 / passes where several are accumulated.
        sync: average the gradients of all processes; False where more passes follow.

    Returns:
        What `PretrainingStage.forward` returns, without gradients.

    Raises:
        ValueError: this process has fewer cells than another has chunks.
    """
    with without_sync(wrapped):
        losses = _ChunkedPass(wrapped, stage, batch, accelerator=accelerator, chunk=chunk, draw=draw, scale=scale).run()
    if sync:
        sync_gradients(wrapped, batch, accelerator)
    return losses


class _ChunkedPass:
    """One pass; `embedded` are leaves that collect the gradients g of the head of this file."""

    def __init__(
        self,
        wrapped: nn.Module,
        stage: PretrainingStage,
        batch: dict[str, Tensor],
        *,
        accelerator: Accelerator,
        chunk: int,
        draw: int,
        scale: float,
    ):
        self.wrapped, self.stage, self.batch, self.accelerator = wrapped, stage, batch, accelerator
        self.draw, self.scale = draw, scale
        self.cells = _chunks(len(batch["cell_input_ids"]), chunk, device=accelerator.device)
        self.texts = _chunks(len(batch["input_ids"]), chunk, device=accelerator.device) if stage.reads_texts else []
        if not all(len(rows) for rows in self.cells):
            raise ValueError(
                f"batch.chunk is {chunk}: a process has {len(batch['cell_input_ids'])} cells, fewer than the "
                f"{len(self.cells)} chunks of another. Give a larger chunk."
            )
        self.embedded: dict[str, Tensor] = {}
        self.pairs: MatchingPairs | None = None
        self.shares: dict[str, list[float]] = {}
        self.parts: ResultParts = {}

    def run(self) -> dict[str, Tensor]:
        """Run both rounds."""
        with torch.no_grad():
            self.embedded = self._embed()
        for name, embeds in self.embedded.items():
            embeds.requires_grad_(name != "before" or not self.stage.text_is_frozen)
        self._contrast()
        if "cell_text_matching" in self.stage.on:
            cells, texts = self.embedded["cells"], self.embedded["texts"]
            self.pairs = self.stage.draw_pairs(self.batch, cells=cells, texts=texts, draw=self.draw)
        self.shares = self._shares()
        for index, rows in enumerate(self.cells):
            self._read_cells_again(index, rows)
        for index, rows in enumerate(self.texts):
            products = self._ask(_TEXTS, index, self._text_part(rows), lambda part, rows=rows: self._again(part, rows))
            self._backward(products["total"])
        return self.stage.summed(self.parts)

    def _embed(self) -> dict[str, Tensor]:
        """First round: what the losses need of the whole batch at once."""
        read: dict[str, list[Tensor]] = {}
        if self.stage.on.keys() - {"masked_gene"}:
            for index, rows in enumerate(self.cells):
                for name, tensor in self._ask(_CELLS, index, self._cell_part(rows), self._embed_cells).items():
                    read.setdefault(name, []).append(tensor)
        for index, rows in enumerate(self.texts):
            for name, tensor in self._ask(_TEXTS, index, self._text_part(rows), self._embed_texts).items():
                read.setdefault(name, []).append(tensor[: len(rows)])
        return {name: torch.cat(tensors) for name, tensors in read.items()}

    def _embed_cells(self, part: dict[str, Tensor]) -> dict[str, Tensor]:
        read = self.stage.read_cells(part, draw=self.draw, for_contrast_alone=True)
        return {name: embeds for name, embeds in (("first", read.first), ("cells", read.cells)) if embeds is not None}

    def _embed_texts(self, part: dict[str, Tensor]) -> dict[str, Tensor]:
        texts, before = self.stage.read_texts(part)
        return {"texts": texts, "before": before}

    def _contrast(self) -> None:
        """The contrastive losses, backward into the embeddings."""
        views = {name: self.embedded.get(name) for name in ("first", "cells", "texts")}
        parts = self.stage.contrast(self.batch, **views)
        if parts:
            total = torch.stack([self.stage.on[name] * loss for name, (loss, _) in parts.items()]).sum()
            self.accelerator.backward(total * self.scale)
        self.parts = {name: (loss.detach(), accuracy) for name, (loss, accuracy) in parts.items()}

    def _shares(self) -> dict[str, list[float]]:
        """For each loss that is a mean over cells: the share of it that each chunk has, over all processes."""
        counts: dict[str, Tensor] = {}
        if "masked_gene" in self.stage.on:
            hidden = self.stage.hide_genes(self.batch, draw=self.draw).positions.sum(dim=1)
            counts["masked_gene"] = torch.stack([hidden[rows].sum() for rows in self.cells])
        if self.pairs is not None:
            judged = [(_pairs_of(self.pairs, rows).targets != NOT_JUDGED).sum() for rows in self.cells]
            counts["cell_text_matching"] = torch.stack(judged)
        if not counts:
            return {}
        totals = torch.stack(list(counts.values()))
        if world_size() > 1:
            dist.all_reduce(totals)
        shares = totals / totals.sum(dim=1, keepdim=True).clamp(min=1)
        return dict(zip(counts, shares.tolist(), strict=True))

    def _read_cells_again(self, index: int, rows: Tensor) -> None:
        """Second round of a chunk of cells: contrast through the gradients g, and its share of the means."""
        result = self._ask(_CELLS, index, self._cell_part(rows), lambda part: self._losses_of(part, index, rows))
        self._backward(result["total"])
        for name, shares in self.shares.items():
            loss, accuracy = (shares[index] * result[f"{name}.{item}"] for item in ("loss", "accuracy"))
            so_far = self.parts.get(name)
            self.parts[name] = (so_far[0] + loss, so_far[1] + accuracy) if so_far else (loss, accuracy)

    def _losses_of(self, part: dict[str, Tensor], index: int, rows: Tensor) -> dict[str, Tensor]:
        read = self.stage.read_cells(part, draw=self.draw)
        total = self._inner("first", read.first, rows) + self._inner("cells", read.cells, rows)
        means: ResultParts = {}
        if read.masked_logits is not None and read.targets is not None:
            means["masked_gene"] = masked_gene_loss(read.masked_logits, read.targets)
        if self.pairs is not None and read.states is not None:
            pairs = _pairs_of(self.pairs, rows)
            part = part | {"attention_mask": self.batch["attention_mask"]}
            logits = self.stage.match_logits(part, states=read.states, before=self.embedded["before"], pairs=pairs)
            means["cell_text_matching"] = cell_text_matching_loss(
                logits, pairs.targets, of_cells=pairs.texts_of_cells.shape[1]
            )
        result: dict[str, Tensor] = {}
        for name, (loss, accuracy) in means.items():
            total = total + self.stage.on[name] * self.scale * self.shares[name][index] * loss
            result |= {f"{name}.loss": loss.detach(), f"{name}.accuracy": accuracy.detach()}
        return result | {"total": total}

    def _again(self, part: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """Second round of a chunk of texts."""
        again = {name: tensor[: len(rows)] for name, tensor in self._embed_texts(part).items()}
        return {"total": self._inner("texts", again["texts"], rows) + self._inner("before", again["before"], rows)}

    def _inner(self, name: str, again: Tensor | None, rows: Tensor) -> Tensor:
        """<e, g> of a chunk; its gradient with respect to e is g."""
        if again is None or name not in self.embedded or (gradient := self.embedded[name].grad) is None:
            return torch.zeros((), device=rows.device)
        return (again.float() * gradient[rows]).sum()

    def _ask(
        self, kind: int, index: int, part: dict[str, Tensor], question: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Put a question to the wrapped model, with the same dropout each time that it is about the same chunk."""
        torch.manual_seed(draw_number(self.draw, process_rank(), DROPOUT, kind, index))
        return self.wrapped(part, task=lambda _, part: question(part))

    def _backward(self, total: Tensor) -> None:
        if total.requires_grad:  # texts that are frozen ask for nothing
            self.accelerator.backward(total)

    def _cell_part(self, rows: Tensor) -> dict[str, Tensor]:
        """Cells of a chunk, padded to their own longest: cells of a batch come sorted by length."""
        mask = self.batch["cell_attention_mask"][rows]
        longest = int(mask.sum(dim=1).max())
        return {
            "cell_input_ids": self.batch["cell_input_ids"][rows, :longest],
            "cell_attention_mask": mask[:, :longest],
        }

    def _text_part(self, rows: Tensor) -> dict[str, Tensor]:
        # A process with fewer texts than another has chunks takes part with its first text, and makes no use of it.
        rows = rows if len(rows) else rows.new_zeros(1)
        names = ("input_ids", "attention_mask", "text_description", "text_row")
        return {name: self.batch[name][rows] for name in names if name in self.batch}


def _chunks(count: int, largest: int, *, device: torch.device) -> list[Tensor]:
    """Even chunks of row numbers, as many on every process: FSDP gathers weights in each."""
    number = torch.tensor(-(-count // largest), device=device)
    if world_size() > 1:
        dist.all_reduce(number, op=dist.ReduceOp.MAX)
    return list(torch.arange(count, device=device).tensor_split(int(number)))


def _pairs_of(pairs: MatchingPairs, rows: Tensor) -> MatchingPairs:
    """Return the pairs of some neighbouring cells, whose numbers begin at 0."""
    of_cells, others = pairs.targets.tensor_split([pairs.texts_of_cells.numel()])
    first, inside = int(rows[0]), torch.isin(pairs.cells, rows)
    return MatchingPairs(
        texts_of_cells=pairs.texts_of_cells[rows],
        texts=pairs.texts[inside],
        cells=pairs.cells[inside] - first,
        targets=torch.cat([of_cells.view_as(pairs.texts_of_cells)[rows].flatten(), others[inside]]),
    )
