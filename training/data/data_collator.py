"""`DataCollatorForCells`: rows of cells to batches, for transformers' `Trainer` or a torch DataLoader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from langcell.modeling_langcell import IGNORED_LABEL
from langcell.processing.feature_extraction_langcell import LABELS, are_of_genes
from langcell.training.objectives.masked_gene import mask_genes

_INPUTS = ("cell_input_ids", "cell_attention_mask", "input_ids", "attention_mask")


@dataclass(frozen=True)
class DataCollatorForCells:
    """Batch cells of unequal length, with their labels, or with hidden genes as labels.

    Beside the inputs of the models and the labels, columns of a row (names, metadata) are left out. Where nothing has
    to be hidden or left out, transformers' `DataCollatorWithPadding(processor.feature_extractor)` does the same.

    Args:
        processor: `LangCellProcessor`, or `LangCellFeatureExtractor` for rows without texts.
        mask_rate: share of the genes that are hidden, for `LangCellForPreTraining`; None hides none. They are drawn by
            torch's global generator, which `Trainer` seeds.
        pad_to_multiple_of: round lengths up to a multiple of it.

    >>> import langcell
    >>> collate = DataCollatorForCells(langcell.load("langcell-mini", device="cpu").processor)
    >>> batch = collate([{"cell_input_ids": [17568, 4, 5], "label": 1}, {"cell_input_ids": [17568, 9], "label": 0}])
    >>> batch["cell_input_ids"].tolist(), batch["labels"].tolist()
    ([[17568, 4, 5], [17568, 9, 0]], [1, 0])
    """

    processor: Any
    mask_rate: float | None = None
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Batch rows.

        Args:
            rows: each with `cell_input_ids`, `input_ids` or both, and perhaps `labels` (also called `label`): a class,
                a number, or a list of them. A list of whole numbers as long as the cell is of genes, and is padded
                with -100. Cells are cut at the extractor's `max_length`.

        Returns:
            The models' inputs, int64, and `labels`, int64 or float32.

        Raises:
            ValueError: there are labels, and genes are to be hidden, or the rows have no cells to hide genes of; there
                are no rows, or one lacks what another has.
        """
        extractor = getattr(self.processor, "feature_extractor", self.processor)
        columns, longest = extractor.columns_of(rows, (*_INPUTS, *LABELS)), extractor.max_length
        found = {name: columns.pop(name) for name in LABELS if name in columns}
        labels, values = next(iter(found.items()), (None, []))
        of_genes = labels is not None and are_of_genes(values, columns.get("cell_input_ids", []))
        if of_genes:
            columns["labels"] = values
        for name in [name for name in columns if name == "labels" or name.startswith("cell_")]:
            columns[name] = [of_cell[:longest] for of_cell in columns[name]]
        padded = self.processor.pad(columns, pad_to_multiple_of=self.pad_to_multiple_of, return_tensors="pt")
        batch = dict(padded)
        if self.mask_rate is not None:
            return self._with_hidden_genes(batch, labels)
        if labels is not None and not of_genes:
            tensor = torch.as_tensor(np.array(values))
            batch["labels"] = tensor.float() if tensor.is_floating_point() else tensor.long()
        return batch

    def _with_hidden_genes(self, batch: dict[str, Tensor], labels: str | None) -> dict[str, Tensor]:
        if labels is not None or "cell_input_ids" not in batch:
            reason = f"the rows have labels ({labels!r})" if labels is not None else "the rows have no cell_input_ids"
            raise ValueError(f"mask_rate is {self.mask_rate}, which makes hidden genes the labels, and {reason}.")
        vocabulary = getattr(self.processor, "feature_extractor", self.processor).vocabulary
        special = max(vocabulary.pad_token_id, vocabulary.mask_token_id)
        masked = mask_genes(
            batch["cell_input_ids"],
            gene_ids=range(special + 1, vocabulary.cls_token_id),
            mask_token_id=vocabulary.mask_token_id,
            rate=float(self.mask_rate or 0),
        )
        hidden = torch.where(masked.positions, batch["cell_input_ids"], IGNORED_LABEL)
        return {**batch, "cell_input_ids": masked.input_ids, "labels": hidden}
