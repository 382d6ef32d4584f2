"""Fine-tuned models inside an evaluation: learning from chosen rows, naming other rows, and random weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from anndata import AnnData

from langcell.inference.annotation import ScoredCells, score_data
from langcell.inference.naming.calibration import best_labels
from langcell.loading.load import LoadedLangCell
from langcell.modeling_langcell import LangCellModel
from langcell.scoring_langcell import combine_scores
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.fine_tuning.finetuning import FineTuned, Method, Task, finetune


@dataclass(frozen=True)
class FineTuningSettings:
    """How models are fine-tuned in an evaluation; the defaults of `finetune` where None.

    Attributes:
        method: "lora", "full" or "head".
        steps: training steps.
        options: other arguments of `finetune`.
    """

    method: Method = "lora"
    steps: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {"method": self.method, "steps": self.steps, **self.options}

    def learn(
        self,
        context: EvaluationContext,
        rows: np.ndarray,
        *,
        task: Task,
        seed: int,
        model: LoadedLangCell | None = None,
    ) -> FineTuned:
        """Return a model that learned from these rows of the context's cells.

        Args:
            context: data, labels and the model to start from.
            rows: to learn from, validation cells included.
            task: "text" or "classification".
            seed: random seed of the training.
            model: start from another one.
        """
        chosen = {} if self.steps is None else {"steps": self.steps}
        assert context.label_column is not None  # the tasks read the labels first
        return finetune(
            context.cells,
            label_column=context.label_column,
            label_ids_column=context.label_ids_column,
            labels_file=context.labels_file,
            model=context.loaded if model is None else model,
            rows=rows,
            method=self.method,
            task=task,
            seed=seed,
            device=context.device,
            progress=False,
            held_out=0,  # the evaluation has test cells of its own
            **chosen,
            **self.options,
            **training_reading(context),
        )


def training_reading(context: EvaluationContext) -> dict[str, Any]:
    """Return the context's reading options that `finetune` and `FineTuned.score` share."""
    return {name: value for name, value in context.memory_reading.items() if name != "progress"}


def score_rows(context: EvaluationContext, tuned: FineTuned, rows: np.ndarray) -> np.ndarray:
    """Return the scores of some of the context's cells, shape (rows, labels of the tuned model); NaN without a known
    gene."""
    return tuned.score(rows_of(context, rows), progress=False, **training_reading(context))


def score_parts(context: EvaluationContext, tuned: FineTuned) -> ScoredCells:
    """Return both parts of the score of all cells by a model that was fine-tuned on texts, each cell alone."""
    assert isinstance(tuned.model, LoadedLangCell)
    return score_data(
        context.cells, tuned.labels, loaded=tuned.model, refine=False, progress=False, **training_reading(context)
    )


def joined_scores(parts: ScoredCells, tuned: FineTuned) -> np.ndarray:
    """Return the score of `annotate` at the model's alpha, shape (cells, labels); NaN without a known gene."""
    similarity, match = torch.from_numpy(parts.similarity), torch.from_numpy(parts.match)
    scores = combine_scores(similarity, match, alpha=tuned.config.alpha).numpy()
    return np.where(parts.known[:, None], scores, np.float32(np.nan))


def similarity_of(parts: ScoredCells) -> np.ndarray:
    """Return the similarities, shape (cells, labels); NaN without a known gene."""
    return np.where(parts.known[:, None], parts.similarity, np.float32(np.nan))


def rows_of(context: EvaluationContext, rows: np.ndarray) -> AnnData:
    """Return some of the context's cells as an AnnData of their own."""
    return context.cells[rows.tolist()].copy()


def by_name(scores: np.ndarray, tuned: FineTuned, names: list[str], *, missing: float = 0.0) -> np.ndarray:
    """Return the scores with a column for each of `names`.

    Args:
        scores: scores of the tuned model, shape (cells, labels).
        tuned: the model.
        names: names of all labels.
        missing: what a label has that the tuned model does not know; a cell without scores stays NaN.
    """
    column = {label.name: i for i, label in enumerate(tuned.labels)}
    padded = np.pad(scores, ((0, 0), (0, 1)), constant_values=missing)
    padded[np.isnan(scores).any(axis=1)] = np.nan
    return padded[:, [column.get(name, -1) for name in names]]


def best_codes(scores: np.ndarray) -> np.ndarray:
    """Return the best label of each row; the number of labels for a cell without scores."""
    best = best_labels(scores)
    return np.where(best < 0, scores.shape[1], best)


def named_codes(scores: np.ndarray, tuned: FineTuned, names: list[str]) -> np.ndarray:
    """Return the best label of each row as code among `names`; len(names) for a cell without scores."""
    return best_codes(by_name(scores, tuned, names))


def random_weights(loaded: LoadedLangCell, *, seed: int) -> LoadedLangCell:
    """Return the same architecture, processor and vocabulary with freshly drawn weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = LangCellModel(loaded.config)
    model.to(device=loaded.model.device, dtype=loaded.model.dtype).eval()
    return replace(loaded, model=model, model_id=f"{loaded.model_id} (random weights)", revision=f"seed {seed}")
