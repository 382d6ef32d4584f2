"""Whether a fine-tuning helped: the base and the tuned model name the same cells, which neither has learned from."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from langcell.inference.annotation import ScoredCells, score_data
from langcell.inference.classification import LoadedClassifier, classify_cells
from langcell.inference.refinement.mixture import LEAST_CELLS as LEAST_REFINED
from langcell.loading.load import LoadedLangCell
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.scoring_langcell import combine_scores

LEAST_MEASURED = 10
# A difference of fewer standard errors than these is within chance.
_ERRORS = 2.0


@dataclass(frozen=True)
class HeldOutGain:
    """How many held-out cells the base and the fine-tuned model name right.

    Attributes:
        cells: number of cells, the same for both.
        before: share that the base names right.
        after: share that the fine-tuned model names right.
        error: standard error of the difference, from the same cells named twice.
        refined: whether the cells named each other, in both cases.
        chose_the_step: whether the same cells decided when the training stopped, which flatters the second share.
        by_head: whether the fine-tuned model names by a classification head, which the base has none of.
    """

    cells: int
    before: float
    after: float
    error: float
    refined: bool
    chose_the_step: bool = False
    by_head: bool = False

    @classmethod
    def of(
        cls,
        before: np.ndarray,
        after: np.ndarray,
        *,
        refined: bool,
        chose_the_step: bool = False,
        by_head: bool = False,
    ) -> "HeldOutGain":
        """Compare two namings of the same cells.

        Args:
            before: bool, shape (cells,); whether the base is right.
            after: bool, shape (cells,); whether the fine-tuned model is right.
            refined: whether cells named each other.
            chose_the_step: whether the cells decided when the training stopped.
            by_head: whether the fine-tuned model names by a classification head.
        """
        difference = after.astype(float) - before.astype(float)
        error = float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else math.inf
        return cls(len(before), float(before.mean()), float(after.mean()), error, refined, chose_the_step, by_head)

    @property
    def gain(self) -> float:
        """Share after less share before."""
        return self.after - self.before

    def record(self) -> dict[str, Any]:
        """Return the numbers as JSON can hold them."""
        return {**asdict(self), "gain": self.gain}

    def sentence(self) -> str:
        """Return the result in words, with its standard error.

        >>> HeldOutGain(300, 0.85, 0.88, 0.01, refined=True).sentence()
        'On 300 held-out cells, refined both times: 0.850 right before, 0.880 after, +0.030 ± 0.010: it helped.'
        """
        how = "refined both times" if self.refined else "each cell alone"
        if self.by_head:
            how += ", before by the words of the labels"
        seen = "; these cells also chose when to stop, which flatters the second number" if self.chose_the_step else ""
        return (
            f"On {self.cells} held-out cells, {how}: {self.before:.3f} right before, {self.after:.3f} after, "
            f"{self.gain:+.3f} ± {self.error:.3f}: {self._verdict()}{seen}."
        )

    def _verdict(self) -> str:
        if abs(self.gain) <= _ERRORS * self.error:
            help_of = "more labelled cells" if self.by_head else "more labelled cells, or known cells in the file,"
            return f"no difference beyond chance; {help_of} may help"
        return "it helped" if self.gain > 0 else "names got worse; do not use it for such files"


def measure_gain(
    adata: AnnData | str | Path,
    labels: Sequence[Label],
    truth: np.ndarray,
    *,
    base: LoadedLangCell,
    tuned: LoadedLangCell | LoadedClassifier,
    source_options: Mapping[str, Any],
    chose_the_step: bool = False,
) -> HeldOutGain:
    """Name held-out cells by both models as `annotate` does: refined where there are enough cells, else each alone.

    A classification head names each cell alone, as `classify` does. So does the base then, by the words of the labels.

    Args:
        adata: the data that the fine-tuning read.
        labels: what was learned.
        truth: int64, shape (cells of the data,); position in `labels` of the cells to name, -1 for all others.
        base: model before the fine-tuning.
        tuned: model after it.
        source_options: how the data are read.
        chose_the_step: whether the cells decided when the training stopped.
    """
    rows = np.flatnonzero(truth >= 0)
    cells, reading = _cells_of(adata, rows, tuned, source_options)
    if isinstance(tuned, LoadedClassifier):
        words = score_data(cells, _in_words(labels), loaded=base, refine=False, **reading)
        classes = classify_cells(cells, loaded=tuned, **reading).scores
        before, after = _best(words, base.config.alpha, refined=False), _best_class(classes)
        named = {"refined": False, "by_head": True}
    else:
        refine = len(rows) >= LEAST_REFINED
        scored = [
            score_data(cells, labels, loaded=loaded, refine=refine, match=not refine, **reading)
            for loaded in (base, tuned)
        ]
        refined = all(each.refined is not None for each in scored)
        before, after = (_best(each, tuned.config.alpha, refined=refined) for each in scored)
        named = {"refined": refined}
    return HeldOutGain.of(before == truth[rows], after == truth[rows], chose_the_step=chose_the_step, **named)


def _in_words(labels: Sequence[Label]) -> Sequence[Label]:
    """Return labels with the texts that `annotate` would read; classes that it would not tell apart stay names."""
    if any(label.text != label.name for label in labels):
        return labels
    try:
        return resolve_labels([label.name for label in labels])
    except ValueError:
        return labels


def _best_class(scores: np.ndarray) -> np.ndarray:
    """Return the class with the highest score of each cell; -1 for a cell without a known gene."""
    known = ~np.isnan(scores[:, 0])
    return np.where(known, np.argmax(np.nan_to_num(scores), axis=1), -1)


def choose_held_out(truth: np.ndarray, learned: np.ndarray, *, most: int, seed: int) -> np.ndarray:
    """Return rows of labelled cells that were not learned from, int64, rising; at most `most`, drawn at random.

    Args:
        truth: int64, shape (cells,); position of each cell's learned type, -1 for all others.
        learned: rows that the training has seen, those that chose its step included.
        most: largest number of rows.
        seed: random seed of the draw.

    >>> choose_held_out(np.array([0, -1, 1, 0]), np.array([0]), most=5, seed=0)
    array([2, 3])
    """
    left = np.setdiff1d(np.flatnonzero(truth >= 0), learned)
    if len(left) <= most:
        return left
    return np.sort(np.random.default_rng([seed, 3]).choice(left, most, replace=False))


def _cells_of(
    adata: AnnData | str | Path,
    rows: np.ndarray,
    loaded: LoadedLangCell | LoadedClassifier,
    source_options: Mapping[str, Any],
) -> tuple[AnnData, dict[str, Any]]:
    """Return some cells as data of their own, by the genes' names as they were read, and how to read them."""
    with open_cells(adata, **source_options) as source:
        names = source.names_read(loaded.processor.feature_extractor.vocabulary)
        counts, kind = source.counts_of(rows), source.x_kind
    with warnings.catch_warnings():  # names that occur twice were read as they are, and are again
        warnings.simplefilter("ignore", UserWarning)
        cells = AnnData(counts.astype(np.float32), var=pd.DataFrame(index=pd.Index(names, dtype=object)))
    # What is read is linear, whatever the file has.
    own = {name: value for name, value in source_options.items() if name not in ("x_is", "layer", "gene_column")}
    return cells, {**own, "x_is": "counts" if kind == "counts" else "linear", "progress": False}


def _best(scored: ScoredCells, alpha: float, *, refined: bool) -> np.ndarray:
    """Return the position of the best label of each cell; -1 for a cell without a known gene."""
    if refined:
        assert scored.refined is not None
        scores = scored.refined
    elif np.isnan(scored.match).all():  # cells that could not be refined after all
        scores = scored.similarity
    else:
        scores = combine_scores(
            torch.from_numpy(scored.similarity), torch.from_numpy(scored.match), alpha=alpha
        ).numpy()
    return np.where(scored.known, np.argmax(np.nan_to_num(scores, nan=-np.inf), axis=1), -1)
