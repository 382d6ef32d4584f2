"""A stage: a model, the losses that train it, and what of it is trained.

Stage 1 trains the cell encoder alone with `masked_gene` and `cell_cell`; stage 2 trains everything with all four
losses. A stage is one module whose `forward` takes a batch and gives losses, so that whatever wraps a model for many
processes (DistributedDataParallel, FSDP) or for speed (autocast, compile) wraps all of it.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from langcell.modeling_langcell import LangCellForPreTraining, LangCellTextLayer
from langcell.training.objectives import (
    MaskedCells,
    MatchingPairs,
    cell_cell_loss,
    cell_text_loss,
    cell_text_matching_loss,
    draw_matching_pairs,
    mask_genes,
    masked_gene_loss,
    relate,
)
from langcell.training.objectives.gather import process_rank
from langcell.training.randomness import NEGATIVES, draw_number
from langcell.training.settings.sections import Objectives, PretrainConfig
from langcell.training.stage.frozen_texts import FrozenTexts
from langcell.training.stage.model_options import load_start_model

# Parts of the model that only some losses reach. Where all of these are off the part is frozen, so that no optimizer
# moves it and DistributedDataParallel does not wait for its gradients.
LOSSES_OF_PART = {
    r"^masked_gene_head\.": {"masked_gene"},
    r"^cell_projection\.": {"cell_cell", "cell_text"},
    r"^text_projection\.": {"cell_text"},
    r"^match_head\.": {"cell_text_matching"},
    r"^text_encoder\..*crossattention": {"cell_text_matching"},
}
# What a caller may ask of the model instead of the losses.
Task = Callable[[LangCellForPreTraining, dict[str, Tensor]], dict[str, Tensor]]
# Losses by name, each with its accuracy.
ResultParts = dict[str, tuple[Tensor, Tensor]]

TEXT_PARTS = (r"^text_encoder\.", r"^text_projection\.", r"^match_head\.")


class CellPass(NamedTuple):
    """What reading the cells of a batch gives; None where no loss asks for it.

    Attributes:
        masked_logits: `[M, V]` of the hidden genes.
        targets: `[M]` the hidden genes.
        first: `[B, D]` the first view for `cell_cell`.
        cells: `[B, D]` embeddings of the whole cells.
        states: `[B, G, H]` of the whole cells.
    """

    masked_logits: Tensor | None = None
    targets: Tensor | None = None
    first: Tensor | None = None
    cells: Tensor | None = None
    states: Tensor | None = None


class PretrainingStage(nn.Module):
    """The model and the losses of one stage.

    Forward passes for each cell and step, whatever the losses:
        cell encoder: one with masked genes, if `masked_gene` is on; one of the whole cell, if any other loss is on. The
            masked pass is also the first view of `cell_cell`, the whole cell its second view and the cell of
            `cell_text` and `cell_text_matching`. Only `cell_cell` without `masked_gene` needs a second pass of the
            whole cell (other dropout). All four losses: 2. A view with hidden genes differs more from the whole cell
            than one with other dropout (ConSERT, Yan et al. 2021, compares such views), and works without dropout.
        text encoder: one for each distinct text of the batch, which gives both its embedding and what the match needs
            of it; without gradient where it is frozen, and none where the run encoded its texts beforehand
            (`frozen_texts`, set by whoever builds the run).
        text encoder reading a cell: at most 2 + K (own text, K hard negative texts, and the hard negative cell of its
            text), and only what comes after the first cross-attention; keys and values once for each cell.

    Args:
        model: to be trained; its frozen parameters are already marked.
        objectives: the losses and their weights.
        related_types: `[K, K]` bool over cell type codes, from `related_cell_types`; None leaves no pair out.
    """

    related_types: Tensor | None

    def __init__(self, model: LangCellForPreTraining, objectives: Objectives, *, related_types: Tensor | None = None):
        super().__init__()
        self.model, self.objectives = model, objectives
        self.on = active_losses(objectives)
        self.frozen_texts: FrozenTexts | None = None
        self.register_buffer("related_types", related_types, persistent=False)
        cell = model.config.cell_config
        self.gene_ids = range(max(cell.pad_token_id, cell.mask_token_id) + 1, cell.cls_token_id)
        self.text_is_frozen = not any(
            parameter.requires_grad
            for name, parameter in model.text_encoder.named_parameters()
            if "crossattention" not in name
        )

    def cache_texts(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_text_length: int) -> None:
        """Encode all texts of the run now; item i has description code i.

        Raises:
            ValueError: the text encoder is trained, or reads cells in more than its last layer.
        """
        if not self.text_is_frozen:
            raise ValueError("batch.cache_texts needs a frozen text encoder: its texts would not stay what they are.")
        self.frozen_texts = FrozenTexts.encode(self.model, list(texts), tokenizer, max_text_length=max_text_length)
        self.train(self.training)  # the encoding left the model in evaluation mode

    def train(self, mode: bool = True) -> "PretrainingStage":
        """Return the same as any module's; a frozen text encoder stays without dropout, so that its texts stay what
        they are."""
        super().train(mode)
        if self.text_is_frozen:
            self.model.text_encoder.eval()
        return self

    def forward(
        self, batch: dict[str, Tensor], *, draw: int | None = None, task: Task | None = None
    ) -> dict[str, Tensor]:
        """Return the losses of a batch, as `BatchCollator` makes it, or what another `task` makes of it.

        Args:
            batch: tensors of cells and, in stage 2, texts.
            draw: what hidden genes and negatives of the match follow from, the same on every process; drawn if not
                given. Dropout alone draws from torch's global state.
            task: asks the model something else. It goes through `forward` so that it, too, sees whole weights where
                they are spread over processes, and the precision of the run.

        Returns:
            `loss`, the weighted sum that is trained; each loss by its name; and without gradient `<name>_accuracy`.
            Where processes differ, the mean over them is the number of the global batch.
        """
        if task is not None:
            return task(self.model, batch)
        if draw is None:
            draw = int(torch.randint(2**62, ()))
        read, texts, before = self.read_cells(batch, draw=draw), None, None
        if self.reads_texts:
            texts, before = self.read_texts(batch)
        parts = self.contrast(batch, first=read.first, cells=read.cells, texts=texts)
        if read.masked_logits is not None and read.targets is not None:
            parts["masked_gene"] = masked_gene_loss(read.masked_logits, read.targets)
        if "cell_text_matching" in self.on:
            parts["cell_text_matching"] = self._match(batch, read, texts, before, draw=draw)
        return self.summed(parts)

    @property
    def reads_texts(self) -> bool:
        """Whether any loss needs texts."""
        return bool(self.on.keys() & {"cell_text", "cell_text_matching"})

    def hide_genes(self, batch: dict[str, Tensor], *, draw: int) -> MaskedCells:
        """Return the cells with genes hidden for `masked_gene`."""
        return mask_genes(
            batch["cell_input_ids"],
            gene_ids=self.gene_ids,
            mask_token_id=self.model.config.cell_config.mask_token_id,
            rate=self.objectives.masked_gene.rate,
            seed=draw,
        )

    def read_cells(self, batch: dict[str, Tensor], *, draw: int, for_contrast_alone: bool = False) -> CellPass:
        """Run all passes of the cell encoder over a batch.

        Args:
            batch: its cells.
            draw: what the hidden genes follow from.
            for_contrast_alone: leave out what only `masked_gene` asks for.
        """
        model, mask = self.model, batch["cell_attention_mask"]
        logits = targets = first = cells = states = None
        if "masked_gene" in self.on and ("cell_cell" in self.on or not for_contrast_alone):
            masked = self.hide_genes(batch, draw=draw)
            hidden = model.get_cell_states(masked.input_ids, mask)
            first = model.project_cells(hidden, mask) if "cell_cell" in self.on else None
            if not for_contrast_alone:
                logits, targets = model.masked_gene_logits(hidden[masked.positions]), masked.targets
        if self.on.keys() - {"masked_gene"}:
            states = model.get_cell_states(batch["cell_input_ids"], mask)
            cells = model.project_cells(states, mask)
        if "cell_cell" in self.on and first is None:
            first = model.project_cells(model.get_cell_states(batch["cell_input_ids"], mask), mask)
        return CellPass(logits, targets, first, cells, states)

    def read_texts(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return texts, once for all losses: their embeddings `[T, D]`, and their states before they read a cell `[T,
        L, H]`.

        Below the first cross-attention a text that is embedded and one that reads a cell are the same. Where only the
        last layer reads the cell, position 0 is all that it asks for: L is 1.
        """
        model, encoder = self.model, self.model.text_encoder
        if self.frozen_texts is not None:
            codes = batch.get("text_row", batch["text_description"])  # a description may have several texts
            embeds = F.normalize(model.text_projection(self.frozen_texts.pooled[codes]), dim=-1)
            return embeds, self.frozen_texts.before_cell[codes].unsqueeze(1)
        mask, start = batch["attention_mask"], encoder.config.cross_attention_start
        states = encoder.embeddings(batch["input_ids"])
        for layer in encoder.layer[:start]:
            states = layer(states, mask)
        first, *others = cast(Sequence[LangCellTextLayer], encoder.layer[start:])
        before = first.attend_to_text(states, mask)
        states = first.feed_forward(before)
        for layer in others:
            states = layer(states, mask)
        return model.project_texts(states, mask), before if others else before[:, :1]

    def contrast(
        self, batch: dict[str, Tensor], *, first: Tensor | None, cells: Tensor | None, texts: Tensor | None
    ) -> ResultParts:
        """Return `cell_cell` and `cell_text`, whichever are on, from embeddings alone: no weight of the model is
        used."""
        parts: ResultParts = {}
        codes = {"cell_types": batch["cell_type"]}
        if "cell_cell" in self.on and first is not None and cells is not None:
            options = self.objectives.cell_cell
            parts["cell_cell"] = cell_cell_loss(
                first,
                cells,
                descriptions=batch["cell_description"],
                temperature=options.temperature,
                positives=options.positives,
                related_types=self.related_types if options.ignore_related else None,
                **codes,
            )
        if "cell_text" in self.on and cells is not None and texts is not None:
            options = self.objectives.cell_text
            parts["cell_text"] = cell_text_loss(
                cells,
                texts,
                cell_descriptions=batch["cell_description"],
                text_descriptions=batch["text_description"],
                text_types=batch["text_type"],
                text_rows=batch.get("text_row"),
                temperature=options.temperature,
                positives=options.positives,
                related_types=self.related_types if options.ignore_related else None,
                **codes,
            )
        return parts

    def draw_pairs(
        self, batch: dict[str, Tensor], *, cells: Tensor, texts: Tensor, draw: int, rank: int | None = None
    ) -> MatchingPairs:
        """Return true pairs and hard negatives for the match, among this process's own cells and texts.

        Args:
            batch: its codes are read.
            cells: `[B, D]` embeddings.
            texts: `[T, D]` embeddings.
            draw: what the draws follow from, together with `rank`.
            rank: the process that draws; this one if not given.
        """
        relations = relate(
            descriptions=(batch["cell_description"], batch["text_description"]),
            cell_types=(batch["cell_type"], batch["text_type"]),
            positives="description",
            related_types=self.related_types,
        )
        rank = process_rank() if rank is None else rank
        generator = torch.Generator(cells.device).manual_seed(draw_number(draw, rank, NEGATIVES))
        return draw_matching_pairs(
            cells,
            texts,
            own_text=batch["own_text"],
            relations=relations,
            temperature=self.objectives.cell_text_matching.temperature,
            negatives=self.objectives.cell_text_matching.negatives,
            generator=generator,
        )

    def _match(
        self, batch: dict[str, Tensor], read: CellPass, texts: Tensor | None, before: Tensor | None, *, draw: int
    ) -> tuple[Tensor, Tensor]:
        assert read.cells is not None
        assert read.states is not None
        assert texts is not None
        assert before is not None
        pairs = self.draw_pairs(batch, cells=read.cells, texts=texts, draw=draw)
        logits = self.match_logits(batch, states=read.states, before=before, pairs=pairs)
        return cell_text_matching_loss(logits, pairs.targets, of_cells=pairs.texts_of_cells.shape[1])

    def match_logits(self, batch: dict[str, Tensor], *, states: Tensor, before: Tensor, pairs: MatchingPairs) -> Tensor:
        """Match logits of all pairs, `[(1 + K) B + N, 2]`.

        The texts of a cell are queries to the same keys and values; only the N others need copies.

        Args:
            batch: its masks are read.
            states: `[B, G, H]` of the cells.
            before: `[T, L, H]` of the texts, from `read_texts`.
            pairs: from `draw_pairs`.
        """
        encoder, mask, cell_mask = self.model.text_encoder, batch["attention_mask"], batch["cell_attention_mask"]
        keys_values = encoder.cell_keys_values(states)
        texts = pairs.texts_of_cells.flatten()
        read = [encoder.read_cells(before.index_select(0, texts), mask[texts], keys_values, cell_mask)]
        if len(pairs.cells):
            copies = [
                (keys.index_select(0, pairs.cells), values.index_select(0, pairs.cells)) for keys, values in keys_values
            ]
            others = before.index_select(0, pairs.texts)
            read.append(encoder.read_cells(others, mask[pairs.texts], copies, cell_mask[pairs.cells]))
        return self.model.match_head(torch.cat(read))

    def summed(self, parts: ResultParts) -> dict[str, Tensor]:
        """Return what `forward` returns, from each loss and its accuracy."""
        losses = {name: parts[name][0] for name in self.on}
        total = torch.stack([self.on[name] * loss for name, loss in losses.items()]).sum()
        return {"loss": total} | losses | {f"{name}_accuracy": parts[name][1].detach() for name in self.on}


def active_losses(objectives: Objectives) -> dict[str, float]:
    """Return the losses whose weight is above 0, with their weights."""
    weights = {field.name: getattr(objectives, field.name).weight for field in dataclasses.fields(objectives)}
    return {name: weight for name, weight in weights.items() if weight > 0}


def build_stage(config: PretrainConfig, *, related_types: Tensor | None = None) -> PretrainingStage:
    """Load the model that the config names, freeze what is not trained, and join it with the losses."""
    model = load_start_model(config.model)
    freeze(model, patterns=config.freeze)
    on = active_losses(config.objectives)
    unreached = [pattern for pattern, losses in LOSSES_OF_PART.items() if not losses & on.keys()]
    freeze(model, patterns=[*unreached, *(TEXT_PARTS if config.stage == 1 else ())])
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("Nothing is left to train: every loss has weight 0, or freeze names all parameters.")
    _require_two_views(model, config.objectives)
    return PretrainingStage(model, config.objectives, related_types=related_types)


def _require_two_views(model: LangCellForPreTraining, objectives: Objectives) -> None:
    """Refuse `cell_cell` between a cell and itself.

    Raises:
        ValueError: neither dropout nor hidden genes make the second view differ from the first.
    """
    cell, on = model.config.cell_config, active_losses(objectives)
    drops = cell.hidden_dropout_prob or cell.attention_probs_dropout_prob
    if objectives.cell_cell.positives == "cell" and "cell_cell" in on and "masked_gene" not in on and not drops:
        raise ValueError(
            "cell_cell has two equal views of every cell: the model has no dropout and masked_gene is off. Turn "
            "masked_gene on, give objectives.cell_cell.positives, or a model with cell_config.hidden_dropout_prob."
        )


def freeze(model: nn.Module, *, patterns: Sequence[str]) -> None:
    """Mark every parameter whose name one of the regular expressions finds as not trained.

    Raises:
        ValueError: a pattern is no regular expression or finds nothing.
    """
    for pattern in patterns:
        try:
            found = [parameter for name, parameter in model.named_parameters() if re.search(pattern, name)]
        except re.error as error:
            raise ValueError(f"freeze pattern {pattern!r} is no regular expression: {error}.") from error
        if not found:
            some = ", ".join(name for name, _ in list(model.named_parameters())[:3])
            raise ValueError(f"freeze pattern {pattern!r} finds no parameter. Names look like: {some}.")
        for parameter in found:
            parameter.requires_grad_(False)
