"""Model and losses of fine-tuning in one module: `TextLearner` (label texts), `ClassLearner` (a classification head).

`forward` gives a loss for each cell, `scores` what naming would say; both are all that the training loop knows of the
model.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from langcell.modeling_langcell import LangCellForCellClassification, LangCellModel
from langcell.scoring_langcell import combine_scores
from langcell.training.objectives.label_naming import hardest_labels, label_matching_loss, similarity_loss

Batch = dict[str, Tensor]
# The match of one cell with more labels than these would rule the cost of a step.
MOST_MATCHED_LABELS = 16


class TextLearner(nn.Module):
    """Cells and label texts: the similarity and the match are both trained.

    Where nothing that the texts alone pass through is trained, they are encoded once.

    Args:
        model: its trainable parameters are marked already.
        tokens: input_ids and attention_mask of the label texts, (labels, tokens), on the model's device.
    """

    def __init__(self, model: LangCellModel, tokens: dict[str, Tensor]):
        super().__init__()
        self.model = model
        self.input_ids, self.attention_mask = tokens["input_ids"], tokens["attention_mask"]
        trained = [name for name, weight in model.text_encoder.named_parameters() if weight.requires_grad]
        self.texts_are_fixed = all(".crossattention." in name for name in trained)
        self._texts = self._encode_texts() if self.texts_are_fixed else None

    def train(self, mode: bool = True) -> "TextLearner":
        """Return the same as any module's; a text encoder that is not trained stays without dropout, as it was
        encoded."""
        super().train(mode)
        if self.texts_are_fixed:
            self.model.text_encoder.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of every cell, (cells,)."""
        codes = batch["codes"]
        similarity, cell_states, before_cell = self._compare(batch)
        labels = hardest_labels(similarity, codes, MOST_MATCHED_LABELS)
        match = self._match(batch, cell_states, before_cell, labels)
        return similarity_loss(similarity, codes) + label_matching_loss(match, torch.zeros_like(codes))

    def scores(self, batch: Batch) -> Tensor:
        """Return the score of naming at the model's alpha, (cells, labels)."""
        similarity, cell_states, before_cell = self._compare(batch)
        everything = torch.arange(similarity.shape[1], device=similarity.device).expand(similarity.shape)
        match = self._match(batch, cell_states, before_cell, everything).float().softmax(-1)[..., 1]
        return combine_scores(similarity.float(), match, alpha=self.model.config.alpha)

    @torch.no_grad()
    def _encode_texts(self) -> tuple[Tensor, Tensor]:
        """Pooled states of every label text, and its states below the first cross-attention."""
        was_training = self.model.training
        self.model.eval()
        texts = self._read_texts()
        self.model.train(was_training)
        return texts

    def _read_texts(self) -> tuple[Tensor, Tensor]:
        encoder, mask = self.model.text_encoder, self.attention_mask
        pooled = self.model.pool_texts(encoder(self.input_ids, mask).last_hidden_state, mask)
        return pooled, encoder.states_before_cell(self.input_ids, mask)

    def _compare(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """cos / temperature (cells, labels), the cells' states, and the texts' states below the cross-attention."""
        pooled, before_cell = self._read_texts() if self._texts is None else self._texts
        text_embeds = F.normalize(self.model.text_projection(pooled), dim=-1)
        cells = self.model(
            cell_input_ids=batch["cell_input_ids"], cell_attention_mask=batch["cell_attention_mask"], return_dict=True
        )
        similarity = self._similarity(cells.cell_embeds, text_embeds)
        return similarity, cells.cell_model_output.last_hidden_state, before_cell

    def _similarity(self, cell_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """cos / temperature, float32: what bfloat16 rounds off a cosine, the temperature makes 20 times as large."""
        with torch.autocast(cell_embeds.device.type, enabled=False):
            return cell_embeds.float() @ text_embeds.float().T / self.model.config.logit_temperature

    def _match(self, batch: Batch, cell_states: Tensor, before_cell: Tensor, labels: Tensor) -> Tensor:
        """Match logits of each cell with its `labels` (cells, M), (cells, M, 2)."""
        encoder, chosen = self.model.text_encoder, labels.flatten()
        states = encoder.read_cells(
            before_cell[chosen],
            self.attention_mask[chosen],
            encoder.cell_keys_values(cell_states),
            batch["cell_attention_mask"],
        )
        return self.model.match_head(states).view(*labels.shape, 2)


class ClassLearner(nn.Module):
    """Cells and classes: the cell encoder and a head on it.

    Args:
        model: its trainable parameters are marked already.
    """

    def __init__(self, model: LangCellForCellClassification):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of every cell, (cells,)."""
        return F.cross_entropy(self._logits(batch), batch["codes"], reduction="none")

    def scores(self, batch: Batch) -> Tensor:
        """Return class probabilities, (cells, labels)."""
        return self._logits(batch).softmax(-1)

    def _logits(self, batch: Batch) -> Tensor:
        return self.model(batch["cell_input_ids"], batch["cell_attention_mask"], return_dict=True).logits.float()
