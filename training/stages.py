"""A stage: a model, the losses that train it, and what of it is trained.

Stage 1 trains the cell encoder alone with `masked_gene` and `cell_cell`; stage 2 trains everything with all four
losses. A stage is one module whose `forward` takes a batch and gives losses, so that whatever wraps a model for many
processes (DistributedDataParallel, FSDP) or for speed (autocast, compile) wraps all of it.
"""

import dataclasses
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.configs import Objectives, PretrainConfig
from langcell.training.frozen_texts import FrozenTexts
from langcell.training.objectives import (
    MatchingPairs,
    cell_cell_loss,
    cell_text_loss,
    cell_text_matching_loss,
    draw_matching_pairs,
    mask_genes,
    masked_gene_loss,
    relate,
)

# Parts of the model that only some losses reach. Where all of these are off the part is frozen, so that no optimizer
# moves it and DistributedDataParallel does not wait for its gradients.
LOSSES_OF_PART = {
    r"^masked_gene_head\.": {"masked_gene"},
    r"^cell_projection\.": {"cell_cell", "cell_text"},
    r"^text_projection\.": {"cell_text"},
    r"^match_head\.": {"cell_text_matching"},
    r"^text_encoder\..*crossattention": {"cell_text_matching"},
}
TEXT_PARTS = (r"^text_encoder\.", r"^text_projection\.", r"^match_head\.")


class PretrainingStage(nn.Module):
    """The model and the losses of one stage.

    Forward passes for each cell and step, whatever the losses:
        cell encoder: one with masked genes, if `masked_gene` is on; one of the whole cell, if any other loss is on. The
            masked pass is also the first view of `cell_cell`, the whole cell its second view and the cell of
            `cell_text` and `cell_text_matching`. Only `cell_cell` without `masked_gene` needs a second pass of the
            whole cell (other dropout). All four losses: 2.
        text encoder: one for each distinct text of the batch; without gradient where it is frozen, and none where
            the run encoded its texts beforehand (`frozen_texts`, set by whoever builds the run).
        text encoder reading a cell: at most 3 (own text, hard negative text, and the hard negative cell of its text);
            what comes before the first cross-attention is computed once for each distinct text, keys and values once
            for each cell.

    Args:
        model: to be trained; its frozen parameters are already marked.
        objectives: the losses and their weights.
        related_types: `[K, K]` bool over cell type codes, from `related_cell_types`; None leaves no pair out.
    """

    related_types: Tensor | None

    def __init__(self, model: LangCellForPreTraining, objectives: Objectives, *, related_types: Tensor | None = None):
        super().__init__()
        self.model, self.objectives = model, objectives
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
        """As any module's; a frozen text encoder stays without dropout, so that its texts stay what they are."""
        super().train(mode)
        if self.text_is_frozen:
            self.model.text_encoder.eval()
        return self

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch, as `BatchCollator` makes it.

        Returns:
            `loss`, the weighted sum that is trained; each loss by its name; and without gradient `<name>_accuracy`.
            Where processes differ, the mean over them is the number of the global batch.
        """
        on = active_losses(self.objectives)
        parts: dict[str, tuple[Tensor, Tensor]] = {}
        masked_view = None
        if "masked_gene" in on:
            masked_view, parts["masked_gene"] = self._masked_gene(batch)
        if on.keys() - {"masked_gene"}:
            states = self.model.get_cell_states(batch["cell_input_ids"], batch["cell_attention_mask"])
            cells = self.model.project_cells(states)
            if "cell_cell" in on:
                parts["cell_cell"] = self._cell_cell(batch, masked_view, cells)
            if on.keys() & {"cell_text", "cell_text_matching"}:
                texts = self._text_features(batch)
                if "cell_text" in on:
                    parts["cell_text"] = self._cell_text(batch, cells, texts)
                if "cell_text_matching" in on:
                    parts["cell_text_matching"] = self._matching(batch, states, cells, texts)
        losses = {name: loss for name, (loss, _) in parts.items()}
        total = torch.stack([on[name] * loss for name, loss in losses.items()]).sum()
        accuracies = {f"{name}_accuracy": accuracy.detach() for name, (_, accuracy) in parts.items()}
        return {"loss": total} | losses | accuracies

    def _masked_gene(self, batch: dict[str, Tensor]) -> tuple[Tensor | None, tuple[Tensor, Tensor]]:
        """One pass with masked genes: its embedding (a view for `cell_cell`) and its loss."""
        cell = self.model.config.cell_config
        masked = mask_genes(
            batch["cell_input_ids"],
            gene_ids=self.gene_ids,
            mask_token_id=cell.mask_token_id,
            rate=self.objectives.masked_gene.rate,
        )
        states = self.model.get_cell_states(masked.input_ids, batch["cell_attention_mask"])
        logits = self.model.masked_gene_logits(states[masked.positions])
        view = self.model.project_cells(states) if self.objectives.cell_cell.weight > 0 else None
        return view, masked_gene_loss(logits, masked.targets)

    def _text_features(self, batch: dict[str, Tensor]) -> Tensor:
        if self.frozen_texts is None:
            return self.model.get_text_features(batch["input_ids"], batch["attention_mask"])
        pooled = self.frozen_texts.pooled[batch["text_description"]]
        return F.normalize(self.model.text_projection(pooled), dim=-1)

    def _states_before_cell(self, batch: dict[str, Tensor]) -> Tensor:
        if self.frozen_texts is None:
            return self.model.text_encoder.states_before_cell(batch["input_ids"], batch["attention_mask"])
        return self.frozen_texts.before_cell[batch["text_description"]].unsqueeze(1)

    def _cell_cell(self, batch: dict[str, Tensor], first: Tensor | None, second: Tensor) -> tuple[Tensor, Tensor]:
        if first is None:
            first = self.model.get_cell_features(batch["cell_input_ids"], batch["cell_attention_mask"])
        options = self.objectives.cell_cell
        return cell_cell_loss(
            first,
            second,
            descriptions=batch["cell_description"],
            cell_types=batch["cell_type"],
            temperature=options.temperature,
            positives=options.positives,
            related_types=self.related_types if options.ignore_related else None,
        )

    def _cell_text(self, batch: dict[str, Tensor], cells: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        options = self.objectives.cell_text
        return cell_text_loss(
            cells,
            texts,
            cell_descriptions=batch["cell_description"],
            cell_types=batch["cell_type"],
            text_descriptions=batch["text_description"],
            text_types=batch["text_type"],
            temperature=options.temperature,
            positives=options.positives,
            related_types=self.related_types if options.ignore_related else None,
        )

    def _matching(
        self, batch: dict[str, Tensor], states: Tensor, cells: Tensor, texts: Tensor
    ) -> tuple[Tensor, Tensor]:
        relations = relate(
            descriptions=(batch["cell_description"], batch["text_description"]),
            cell_types=(batch["cell_type"], batch["text_type"]),
            positives="description",
            related_types=self.related_types,
        )
        pairs = draw_matching_pairs(
            cells,
            texts,
            own_text=batch["own_text"],
            relations=relations,
            temperature=self.objectives.cell_text_matching.temperature,
        )
        logits = self._match_logits(batch, states, pairs)
        return cell_text_matching_loss(logits, pairs.targets)

    def _match_logits(self, batch: dict[str, Tensor], states: Tensor, pairs: MatchingPairs) -> Tensor:
        """Match logits of all pairs, `[2 B + N, 2]`.

        The two texts of a cell are queries to the same keys and values; only the N others need copies.
        """
        encoder, mask, cell_mask = self.model.text_encoder, batch["attention_mask"], batch["cell_attention_mask"]
        text_states = self._states_before_cell(batch)
        keys_values = encoder.cell_keys_values(states)
        texts = pairs.texts_of_cells.flatten()
        read = [encoder.read_cells(text_states.index_select(0, texts), mask[texts], keys_values, cell_mask)]
        if len(pairs.cells):
            copies = [
                (keys.index_select(0, pairs.cells), values.index_select(0, pairs.cells)) for keys, values in keys_values
            ]
            others = text_states.index_select(0, pairs.texts)
            read.append(encoder.read_cells(others, mask[pairs.texts], copies, cell_mask[pairs.cells]))
        return self.model.match_head(torch.cat(read))


def active_losses(objectives: Objectives) -> dict[str, float]:
    """The losses whose weight is above 0, with their weights."""
    weights = {field.name: getattr(objectives, field.name).weight for field in dataclasses.fields(objectives)}
    return {name: weight for name, weight in weights.items() if weight > 0}


def build_stage(config: PretrainConfig, *, related_types: Tensor | None = None) -> PretrainingStage:
    """Load the model that the config names, freeze what is not trained, and join it with the losses."""
    try:
        model = LangCellForPreTraining.from_pretrained(config.model.path)
    except OSError as error:
        raise ValueError(
            f"model.path {config.model.path!r} holds no LangCell model: {str(error).splitlines()[0]}"
        ) from error
    freeze(model, patterns=config.freeze)
    on = active_losses(config.objectives)
    unreached = [pattern for pattern, losses in LOSSES_OF_PART.items() if not losses & on.keys()]
    freeze(model, patterns=[*unreached, *(TEXT_PARTS if config.stage == 1 else ())])
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("Nothing is left to train: every loss has weight 0, or freeze names all parameters.")
    return PretrainingStage(model, config.objectives, related_types=related_types)


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
