"""Both parts of the score of every cell, for whoever joins or measures them in another way than `annotate`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from langcell.inference.cell_run import CellRun, run_in_memory
from langcell.inference.job import settings
from langcell.inference.reading import Coverage, ReadingOptions
from langcell.inference.reference import measured_reference, scaled_labels
from langcell.inference.zero_shot import EncodedLabels, encode_labels, score_cells
from langcell.loading import LoadedLangCell
from langcell.processing.anndata_io import open_cells
from langcell.processing.labels import Label
from langcell.processing.reference_cells import LabelScale


@dataclass(frozen=True)
class ScoredCells:
    """Both parts of the score of every cell, before alpha joins them (`zero_shot.combine_scores`).

    Attributes:
        similarity: cos / temperature, related to the model's reference cells, float32, shape (cells, labels).
        match: match probability, float32, shape (cells, labels).
        known: bool, shape (cells,); whether the cell has a known gene. One that has none is "unassigned".
        coverage: how much of the data the gene vocabulary covers.
        settings: what `annotate` writes into uns["langcell"] on model and data.
        scale: that the similarities were related by; None where they are as they are.
    """

    similarity: np.ndarray
    match: np.ndarray
    known: np.ndarray
    coverage: Coverage
    settings: dict[str, Any]
    scale: LabelScale | None = None

    def without_scale(self) -> "ScoredCells":
        """The same scores with similarities as they are."""
        if self.scale is None:
            return self
        return replace(self, similarity=self.scale.undone(self.similarity), scale=None)


def score_data(
    adata: Any, labels: Sequence[Label], *, loaded: LoadedLangCell, normalize: bool = True, **reading: Any
) -> ScoredCells:
    """Score all cells for resolved labels as `annotate` does, and return the parts of the score; writes nothing.

    Args and errors are those of `annotate`.
    """
    encoded, options = encode_label_texts(loaded, labels), ReadingOptions(**reading)
    with open_cells(adata, **options.source) as source:
        if normalize:
            encoded = scaled_labels(loaded, encoded, measured_reference(loaded, source))

        def score(cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
            scores = score_cells(loaded.model, encoded, cell_input_ids, cell_attention_mask)
            return scores.similarity, scores.match

        run = CellRun(source, loaded, options, score, ("similarity", "match"), "scoring cells")
        finished = run_in_memory(run)
        blocks = zip(*finished.parts.read("similarity", "match", "known"), strict=True)
        similarity, match, known = (np.concatenate(column) for column in blocks)
        scale = None if encoded.scale is None else encoded.scale.to_numpy()
        return ScoredCells(similarity, match, known, finished.coverage, settings(run, finished.coverage), scale)


def encode_label_texts(loaded: LoadedLangCell, labels: Sequence[Label]) -> EncodedLabels:
    """The texts of the labels, encoded in whatever the model computes in."""
    tokens = loaded.processor(text=[label.text for label in labels], return_tensors="pt").to(loaded.model.device)
    return encode_labels(loaded.model, tokens["input_ids"], tokens["attention_mask"])
