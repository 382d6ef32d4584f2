"""Cells to the tensors of a batch."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from langcell.training.data.cell_batches import Cell, CellBatch
from langcell.training.data.text_table import UNKNOWN, Descriptions

# Tokenized texts that are kept: some 1 kB each.
_TEXTS_KEPT = 65_536


class BatchCollator:
    """Cells to tensors, padded to the longest of the batch, and each distinct description once.

    Args:
        descriptions: descriptions of the run.
        max_length: ids a cell, `<cls>` included; more are cut off.
        pad_token_id: id that pads cells.
        tokenizer: tokenizer of the text encoder; None: no texts are made (stage 1).
        max_text_length: word pieces a text.
    """

    def __init__(
        self,
        descriptions: Descriptions,
        *,
        max_length: int,
        pad_token_id: int,
        tokenizer: PreTrainedTokenizerBase | None = None,
        max_text_length: int = 256,
    ):
        self.descriptions, self.tokenizer = descriptions, tokenizer
        self.max_length, self.pad_token_id, self.max_text_length = max_length, pad_token_id, max_text_length
        self._word_pieces = lru_cache(maxsize=_TEXTS_KEPT)(self._tokenize)

    def __call__(self, cells: Sequence[Cell]) -> dict[str, Tensor]:
        """Tensors of a batch of B cells with T distinct texts.

        Returns:
            `cell_input_ids`, `cell_attention_mask` `[B, G]`; `cell_description`, `cell_type` `[B]` codes. With a
            tokenizer also `input_ids`, `attention_mask` `[T, L]`; `text_description`, `text_type` `[T]` codes;
            `text_row` `[T]`, the rows of the texts among all texts of the run; `own_text` `[B]`, the place of each
            cell's text among the T.
        """
        batch = CellBatch.of(cells)
        ids, mask = batch.padded(max_length=self.max_length, pad_token_id=self.pad_token_id)
        codes = torch.tensor(batch.descriptions)
        tensors = {
            "cell_input_ids": torch.from_numpy(ids),
            "cell_attention_mask": torch.from_numpy(mask),
            "cell_description": codes,
            "cell_type": self._cell_types(codes),
        }
        return tensors if self.tokenizer is None else tensors | self._texts(batch)

    def _texts(self, batch: CellBatch) -> dict[str, Tensor]:
        if (batch.descriptions < 0).any():
            raise ValueError("A cell without a description came up in stage 2. Use such shards in stage 1 only.")
        rows, own_text = np.unique(
            batch.descriptions * self.descriptions.variants + batch.variants, return_inverse=True
        )
        ids, mask = self._pad([self._word_pieces(row) for row in rows.tolist()])
        codes = torch.from_numpy(rows // self.descriptions.variants)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "text_description": codes,
            "text_type": self._cell_types(codes),
            "text_row": torch.from_numpy(rows),
            "own_text": torch.from_numpy(own_text),
        }

    def _tokenize(self, row: int) -> list[int]:
        assert self.tokenizer is not None
        text = self.descriptions.text(row)
        return self.tokenizer(text, truncation=True, max_length=self.max_text_length)["input_ids"]  # type: ignore[return-value]

    def _pad(self, texts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask of tokenized texts, as the tokenizer itself would pad them."""
        assert self.tokenizer is not None
        side, pad = self.tokenizer.padding_side, int(self.tokenizer.pad_token_id)  # type: ignore[arg-type]
        rows = [torch.tensor(text) for text in texts]
        ids = pad_sequence(rows, batch_first=True, padding_value=pad, padding_side=side)
        masks = [torch.ones_like(row) for row in rows]
        return ids, pad_sequence(masks, batch_first=True, padding_side=side)

    def _cell_types(self, codes: Tensor) -> Tensor:
        if len(self.descriptions.cell_types) == 0:
            return torch.full_like(codes, UNKNOWN)
        types = torch.as_tensor(self.descriptions.cell_types)[codes.clamp(min=0)]
        return types.where(codes >= 0, UNKNOWN)
