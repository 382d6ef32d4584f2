"""Validation on cells that are not trained on, each some steps of a run.

The cells, which of their genes are hidden and which wrong text the match is asked about are chosen once, from the seed:
every validation of a run, on however many processes, asks the same questions, and none draws from the random states of
the training. What is measured follows from the losses that are on:

    masked_gene          validation_masked_gene (the loss), validation_masked_gene_accuracy
    cell_text            validation_cell_to_text_recall_at_1, _at_5: a positive text of the cell is among the nearest of
                         all distinct texts; validation_text_to_cell_recall_at_1, _at_5: likewise for a text and cells
    cell_text_matching   validation_matching_accuracy: each cell with its own text, and with one that is surely wrong,
                         so that guessing gives 0.5
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from langcell.configuration_langcell import LangCellConfig
from langcell.modeling_langcell import LangCellForPreTraining
from langcell.processing.ontology.terms import Ontology
from langcell.processing.shards.writer import check_fingerprint
from langcell.training.data.block_reader import BlockReader
from langcell.training.data.cell_batches import Cell
from langcell.training.data.collation import BatchCollator
from langcell.training.data.row_order import RowRange
from langcell.training.data.shard_location import ShardLocation, find_all
from langcell.training.data.text_table import UNKNOWN, Descriptions
from langcell.training.objectives import mask_genes, relate, related_cell_types
from langcell.training.settings.sections import PretrainConfig
from langcell.training.stage.stage import Task, active_losses

TextTokenizer = Callable[[list[int]], dict[str, Tensor]]
RANKS = (1, 5)


class HeldOutCells(NamedTuple):
    """Cells for validation, and the texts and types of the folder that they come from."""

    cells: list[Cell]
    descriptions: Descriptions


def read_held_out(config: PretrainConfig, *, vocabulary_fingerprint: str) -> HeldOutCells:
    """Return `validation.cells` cells of the folder, evenly spread over all of its shards.

    Raises:
        ValueError: no such folder, another gene vocabulary, or a shard that the run also trains on.
    """
    held_out = ShardLocation.find(config.validation.path)
    check_fingerprint(held_out.manifest, vocabulary_fingerprint)
    checksums = {shard.sha256 for shard in held_out.manifest.shards}
    for source in find_all([source.path for source in config.data]):
        if checksums & {shard.sha256 for shard in source.manifest.shards}:
            raise ValueError(f"validation.path {held_out.name} has a shard that {source.name} trains on. Hold it out.")
    descriptions, (code_of,) = Descriptions.read([held_out.folder])
    count = min(config.validation.cells, held_out.manifest.total_cells)
    wanted = np.linspace(0, held_out.manifest.total_cells, count, endpoint=False).astype(int)
    first_rows = np.cumsum([0, *(shard.rows for shard in held_out.manifest.shards)])
    files = np.searchsorted(first_rows, wanted, side="right") - 1
    rows = (wanted - first_rows[files]).tolist()
    ranges = [RowRange(file, row, row + 1) for file, row in zip(files.tolist(), rows, strict=True)]
    table = BlockReader(held_out.files).read(ranges)
    ids, own = table["input_ids"].to_pylist(), table["description_id"].to_pylist()
    cells = [Cell(np.array(i, dtype=np.int32), code_of.get(d, UNKNOWN)) for i, d in zip(ids, own, strict=True)]
    return HeldOutCells(cells, descriptions)


def build_validation(
    config: PretrainConfig, model_config: LangCellConfig, *, tokenizer: PreTrainedTokenizerBase | None
) -> "Validation | None":
    """Return the validation that a config asks for; None where it names no folder."""
    if not config.validation.path:
        return None
    held_out = read_held_out(config, vocabulary_fingerprint=str(model_config.vocabulary_fingerprint))
    return Validation(held_out, config=config, model_config=model_config, tokenizer=tokenizer)


class Validation:
    """The same questions to a model each time.

    Args:
        held_out: the cells.
        config: configuration of the run.
        model_config: model config of the model.
        tokenizer: tokenizer of the text encoder; None in stage 1.

    Raises:
        ValueError: in stage 2, a cell has no description.
    """

    def __init__(
        self,
        held_out: HeldOutCells,
        *,
        config: PretrainConfig,
        model_config: LangCellConfig,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ):
        self.config, self.cell_config, self.on = config, model_config.cell_config, active_losses(config.objectives)
        self.rng = np.random.default_rng(config.seed)
        collate = BatchCollator(
            held_out.descriptions, max_length=config.batch.max_length, pad_token_id=self.cell_config.pad_token_id
        )
        cells = sorted(held_out.cells, key=lambda cell: len(cell.input_ids))
        self.cells = [self._hide_genes(collate(part)) for part in _parts(cells, config.batch.size)]
        self.texts: list[dict[str, Tensor]] = []
        if tokenizer is not None:
            self._add_texts(held_out.descriptions, tokenizer)

    def _hide_genes(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if "masked_gene" not in self.on:
            return batch
        special = self.cell_config
        masked = mask_genes(
            batch["cell_input_ids"],
            gene_ids=range(max(special.pad_token_id, special.mask_token_id) + 1, special.cls_token_id),
            mask_token_id=special.mask_token_id,
            rate=self.config.objectives.masked_gene.rate,
            seed=self.config.seed,
        )
        hidden = {"masked_input_ids": masked.input_ids, "positions": masked.positions, "targets": masked.targets}
        return batch | hidden

    def _add_texts(self, descriptions: Descriptions, tokenizer: PreTrainedTokenizerBase) -> None:
        """Tokenize the distinct texts, and give each cell its own and a wrong one."""
        codes, types = (torch.cat([batch[name] for batch in self.cells]) for name in ("cell_description", "cell_type"))
        if (codes < 0).any():
            raise ValueError(
                f"validation.path {self.config.validation.path} has a cell without a description; stage 2 needs one."
            )

        def tokens_of(texts: list[int]) -> dict[str, Tensor]:
            length = self.config.batch.max_text_length
            words = [descriptions.texts[code] for code in texts]
            encoded = tokenizer(words, padding=True, truncation=True, max_length=length, return_tensors="pt")
            return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

        distinct = codes.unique()
        text_types = torch.as_tensor(descriptions.cell_types)[distinct]
        related = related_cell_types(descriptions.terms, ancestors=Ontology.cellxgene().ancestors)
        pairs: dict[str, Any] = {"descriptions": (codes, distinct), "cell_types": (types, text_types)}
        self.positive = relate(positives=self.config.objectives.cell_text.positives, **pairs).positive
        negative = relate(positives="description", related_types=related, **pairs).negative
        self.texts = [tokens_of(part) for part in _parts(distinct.tolist(), self.config.batch.size)]
        if "cell_text_matching" in self.on:
            self._add_pairs(codes, distinct, negative, tokens_of)

    def _add_pairs(self, codes: Tensor, distinct: Tensor, negative: Tensor, tokens_of: TextTokenizer) -> None:
        """To each batch the texts of its pairs: `texts_of_cells` `[B, 2]`, own and wrong; `has_wrong` `[B]`."""
        first = 0
        for batch in self.cells:
            rows = range(first, first + len(batch["cell_description"]))
            first = rows.stop
            choices = [negative[row].nonzero().flatten().tolist() for row in rows]
            # A cell whose type is related to all others has no wrong text: its own stands in both columns.
            own = codes[rows.start : rows.stop]
            wrong = [
                int(distinct[self.rng.choice(c)]) if c else int(code) for c, code in zip(choices, own, strict=True)
            ]
            both = torch.stack([own, torch.tensor(wrong)], dim=1)
            used, index = both.unique(return_inverse=True)
            batch |= tokens_of(used.tolist())
            batch |= {"texts_of_cells": index, "has_wrong": torch.tensor([bool(c) for c in choices])}

    def __call__(self, stage: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Measure; every process calls it, and every process gets the result.

        Args:
            stage: `PretrainingStage`, as it was wrapped for the processes; it is left in training mode.
            accelerator: accelerator of the run.
        """
        stage.eval()
        cells = self._answers(stage, accelerator, _read_cells, self.cells)
        texts = self._answers(stage, accelerator, _read_texts, self.texts) if "cell_text" in self.on else []
        stage.train()
        metrics: dict[str, float] = {}
        if "masked_gene" in self.on:
            losses, right = (torch.cat([answer[name] for answer in cells]) for name in ("masked_gene", "masked_right"))
            metrics |= {"masked_gene": float(losses.mean()), "masked_gene_accuracy": float(right.float().mean())}
        if "cell_text" in self.on:
            of_cells, of_texts = (torch.cat([answer["embeds"] for answer in answers]) for answers in (cells, texts))
            metrics |= retrieval(of_cells, of_texts, self.positive)
        if "cell_text_matching" in self.on:
            metrics["matching_accuracy"] = float(torch.cat([answer["match_right"] for answer in cells]).float().mean())
        return {f"validation_{name}": value for name, value in metrics.items()}

    def _answers(
        self, stage: nn.Module, accelerator: Accelerator, task: Task, batches: Sequence[dict[str, Tensor]]
    ) -> list[dict[str, Tensor]]:
        """Return what `task` says to each batch; the processes share the batches."""
        rank, processes = accelerator.process_index, accelerator.num_processes
        mine: list[tuple[int, dict[str, Tensor]]] = []
        # Every process calls the model equally often, as weights that are spread over processes ask for.
        for start in range(0, len(batches), processes):
            index = start + rank
            batch = {name: t.to(accelerator.device) for name, t in batches[index % len(batches)].items()}
            with torch.no_grad(), accelerator.autocast():
                answer = stage(batch, task=task)
            if index < len(batches):
                mine.append((index, {name: tensor.cpu() for name, tensor in answer.items()}))
        return [answer for _, answer in sorted(gather_object(mine), key=lambda item: item[0])]


def _read_cells(model: LangCellForPreTraining, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Embeddings of cells, and what the heads say about their hidden genes and their pairs; float32."""
    answer: dict[str, Tensor] = {}
    mask = batch["cell_attention_mask"]
    if "masked_input_ids" in batch:
        hidden = model.get_cell_states(batch["masked_input_ids"], mask)
        logits = model.masked_gene_logits(hidden[batch["positions"]]).float()
        answer["masked_gene"] = functional.cross_entropy(logits, batch["targets"], reduction="none")
        answer["masked_right"] = logits.argmax(dim=-1) == batch["targets"]
    states = model.get_cell_states(batch["cell_input_ids"], mask)
    answer["embeds"] = model.project_cells(states, mask).float()
    if "texts_of_cells" in batch:
        encoder, text_mask = model.text_encoder, batch["attention_mask"]
        texts = batch["texts_of_cells"].flatten()
        before = encoder.states_before_cell(batch["input_ids"], text_mask)[texts]
        pairs = encoder.read_cells(before, text_mask[texts], encoder.cell_keys_values(states), mask)
        says_yes = model.match_head(pairs).float().argmax(dim=-1).view(-1, 2) == 1
        judged = torch.stack([says_yes[:, 0], ~says_yes[:, 1]], dim=1)
        answer["match_right"] = torch.cat([judged[:, 0], judged[batch["has_wrong"], 1]])
    return answer


def _read_texts(model: LangCellForPreTraining, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    features = model.get_text_features(batch["input_ids"], batch["attention_mask"], return_dict=True)
    return {"embeds": features.pooler_output.float()}


def retrieval(cells: Tensor, texts: Tensor, positive: Tensor) -> dict[str, float]:
    """Return recall of cells among texts and of texts among cells.

    Args:
        cells: `[B, D]` unit-length embeddings.
        texts: `[T, D]` unit-length embeddings of distinct texts.
        positive: `[B, T]` bool.

    Returns:
        `cell_to_text_recall_at_1`, `_at_5`: share of the cells that have a positive text among the 1 or 5 nearest;
        `text_to_cell_recall_at_1`, `_at_5`: likewise for texts.

    Example:
        >>> cells, texts = torch.eye(2), torch.eye(2)
        >>> retrieval(cells, texts, torch.tensor([[True, False], [True, False]]))["cell_to_text_recall_at_1"]
        0.5
    """
    similarity, recalls = cells @ texts.T, {}
    directions = {"cell_to_text": (similarity, positive), "text_to_cell": (similarity.T, positive.T)}
    for name, (scores, right) in directions.items():
        nearest = scores.argsort(dim=1, descending=True, stable=True)
        for k in RANKS:
            found = right.gather(1, nearest[:, :k]).any(dim=1)
            recalls[f"{name}_recall_at_{k}"] = float(found.float().mean())
    return recalls


def _parts(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]
