"""Texts of a frozen text encoder, encoded once for the whole run instead of once a batch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from langcell.modeling_langcell import LangCellForPreTraining

_BLOCK = 32


@dataclass(frozen=True)
class FrozenTexts:
    """What the losses need of every text.

    Attributes:
        pooled: float32, shape (descriptions, text hidden); `LangCellModel.pool_texts` of each text.
        before_cell: float32, shape (descriptions, text hidden); position 0 below the only cross-attention.
    """

    pooled: Tensor
    before_cell: Tensor

    @classmethod
    @torch.no_grad()
    def encode(
        cls,
        model: LangCellForPreTraining,
        texts: list[str],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_text_length: int,
        progress: bool = True,
    ) -> "FrozenTexts":
        """Encode all texts, in blocks of like length that are the same in every run.

        The model is left in evaluation mode.

        Args:
            model: its text encoder is not trained, its last layer alone reads the cell.
            texts: the texts; item i has description code i.
            tokenizer: tokenizer of the text encoder.
            max_text_length: word pieces a text.
            progress: show a progress bar.

        Raises:
            ValueError: more than the last layer reads the cell, so that one position of a text is not enough.
        """
        config = model.config.text_config
        if config.cross_attention_start != config.num_hidden_layers - 1:
            raise ValueError(
                "cache_texts needs a text encoder whose last layer alone reads the cell; this one has "
                f"cross_attention_start {config.cross_attention_start} of {config.num_hidden_layers} layers. "
                "Turn it off."
            )
        device = model.device
        model.eval()
        pooled = torch.empty(len(texts), config.hidden_size, device=device)
        before_cell = torch.empty_like(pooled)
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        for start in tqdm(range(0, len(order), _BLOCK), desc="texts", unit="block", disable=not progress):
            rows = order[start : start + _BLOCK]
            tokens = tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=max_text_length,
                return_tensors="pt",
            ).to(device)
            ids, mask = tokens["input_ids"], tokens["attention_mask"]
            pooled[rows] = model.pool_texts(model.text_encoder(ids, mask).last_hidden_state, mask).float()
            before_cell[rows] = model.text_encoder.states_before_cell(ids, mask)[:, 0].float()
        return cls(pooled, before_cell)
