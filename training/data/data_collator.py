"""`DataCollatorForCells`: rows of cells to batches, for transformers' `Trainer` or a torch DataLoader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from langcell.modeling_langcell import IGNORED_LABEL
from langcell.training.objectives.masked_gene import mask_genes

_INPUTS = ("cell_input_ids", "cell_attention_mask", "input_ids", "attention_mask")
# As transformers' own collators have it: what a table calls so is what models call `labels`.
_LABELS = ("labels", "label", "label_ids")


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
                a number, or a list of them. Cells are cut at the extractor's `max_length`.

        Returns:
            The models' inputs, int64, and `labels`, int64 or float32.

        Raises:
            ValueError: there are labels, and genes are to be hidden, or the rows have no cells to hide genes of.
        """
        longest = getattr(self.processor, "feature_extractor", self.processor).max_length
        columns = {name: [row[name] for row in rows] for name in _INPUTS if name in rows[0]}
        for name in [name for name in columns if name.startswith("cell_")]:
            columns[name] = [values[:longest] for values in columns[name]]
        padded = self.processor.pad(columns, pad_to_multiple_of=self.pad_to_multiple_of, return_tensors="pt")
        batch = dict(padded)
        labels = next((name for name in _LABELS if name in rows[0]), None)
        if self.mask_rate is not None:
            return self._with_hidden_genes(batch, labels)
        if labels is not None:
            values = torch.as_tensor(np.array([row[labels] for row in rows]))
            batch["labels"] = values.float() if values.is_floating_point() else values.long()
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
