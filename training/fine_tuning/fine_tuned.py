"""What a fine-tuning gives: a model that names cells, and its files."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anndata import AnnData

from langcell.hub_cards.cards.adapter_cards import HISTORY_FILE, fine_tuned_card
from langcell.inference.annotation import score_data
from langcell.inference.classification import LoadedClassifier, classify_cells
from langcell.loading.load import LoadedLangCell
from langcell.modeling_langcell import LangCellForCellClassification
from langcell.processing.files.atomic_output import atomic_output
from langcell.processing.labels.resolve import Label
from langcell.processing.processing_langcell import LangCellProcessor
from langcell.scoring_langcell import combine_scores
from langcell.training.fine_tuning.adapters import Adapter
from langcell.training.fine_tuning.held_out import HeldOutGain


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A model that learned from labelled cells, ready to name others.

    Attributes:
        model: task "text": a `LoadedLangCell`, which `annotate`, `embed` and `score_data` take; task
            "classification": a `LangCellForCellClassification` in evaluation mode. An adapter is merged into it. Its
            config has `id2label` (the order of `labels`) and `fine_tuning`, the facts of the training.
        processor: the base model's.
        labels: what it learned, in the order of the scores (sorted by name): only types that have a training cell.
        train_rows: int64, ascending; rows of the data that were learned from.
        validation_rows: int64, ascending; rows held out for early stopping; empty where none were.
        history: a dict for each look at the losses: step, loss, and with validation also validation_loss and
            validation_accuracy (both means over types).
        gain: how many held-out cells are named right before and after; None where that was not measured.
        adapter: what method "lora" trained; None for the others.
    """

    model: LoadedLangCell | LangCellForCellClassification
    processor: LangCellProcessor
    labels: list[Label]
    train_rows: np.ndarray
    validation_rows: np.ndarray
    history: list[dict[str, float]] = field(default_factory=list)
    adapter: Adapter | None = None
    gain: HeldOutGain | None = None

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.model.config

    @property
    def named_by(self) -> LoadedLangCell | LoadedClassifier:
        """The model as naming takes it."""
        if isinstance(self.model, LoadedLangCell):
            return self.model
        facts = self.config.fine_tuning["base"]
        return LoadedClassifier(self.model, self.processor, facts["model_id"], facts["revision"])

    def score(self, adata: AnnData | str | Path, **reading: Any) -> np.ndarray:
        """Return the scores of all cells, float32, (cells, labels); each row sums to 1, NaN for a cell without a known
        gene.

        Task "text": the score of `annotate` at the model's alpha; "classification": softmax of the logits.

        Args:
            adata: AnnData, or path of an h5ad file or zarr folder.
            reading: fields of `ReadingOptions`.
        """
        if isinstance(self.model, LoadedLangCell):
            parts = score_data(adata, self.labels, loaded=self.model, refine=False, **reading)
            similarity, match = torch.from_numpy(parts.similarity), torch.from_numpy(parts.match)
            scores = combine_scores(similarity, match, alpha=self.config.alpha).numpy()
            return np.where(parts.known[:, None], scores, np.float32(np.nan))
        named_by = self.named_by
        assert isinstance(named_by, LoadedClassifier)
        return classify_cells(adata, loaded=named_by, **reading).scores

    def save(self, output: str | Path) -> None:
        """Write an adapter (method "lora") or a complete Hub folder, whole or not at all, with a card.

        Raises:
            OSError: `output` cannot be written.
        """
        model = self.model.model if isinstance(self.model, LoadedLangCell) else self.model
        with atomic_output(output) as building:
            building.mkdir()
            if self.adapter is not None:
                self.adapter.write(building)
                self.config.save_pretrained(building)
            else:
                model.save_pretrained(building)
                self.processor.save_pretrained(building)
            (building / HISTORY_FILE).write_text(json.dumps(self.history, indent=1) + "\n", encoding="utf-8")
            card = fine_tuned_card(
                Path(output).name, self.config.fine_tuning, is_adapter=self.adapter is not None, history=self.history
            )
            (building / "README.md").write_text(str(card), encoding="utf-8")
