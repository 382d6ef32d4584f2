"""Both parts of the score of every cell, for whoever joins or measures them in another way than `annotate`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from langcell.inference.running.cell_run import InferenceRun, run_in_memory
from langcell.inference.running.job import settings
from langcell.inference.running.options import ReadingOptions
from langcell.inference.running.reading import Coverage
from langcell.inference.scoring.reference import measured_reference, with_reference
from langcell.inference.scoring.texts import encode_label_texts
from langcell.loading.loaded import LoadedScorer
from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.labels.resolve import Label
from langcell.scoring_langcell import EncodedLabels, score_cells


@dataclass(frozen=True)
class ScoredCells:
    """Both parts of the score of every cell, before alpha joins them (`langcell.scoring_langcell.combine_scores`).

    Attributes:
        similarity: cos / temperature, as the model's reference cells say, float32, shape (cells, labels).
        match: match probability, float32, shape (cells, labels).
        known: bool, shape (cells,); whether the cell has a known gene. One that has none is "unassigned".
        coverage: how much of the data the gene vocabulary covers.
        settings: what `annotate` writes into uns["langcell"] on model and data.
        encoder_similarity: cos / temperature of what the encoder alone makes of the cells.
        reference_cells: how many the cells were compared with.
    """

    similarity: np.ndarray
    match: np.ndarray
    known: np.ndarray
    coverage: Coverage
    settings: dict[str, Any]
    encoder_similarity: np.ndarray
    reference_cells: int

    def without_reference(self) -> "ScoredCells":
        """The same scores with similarities as they are."""
        return replace(self, similarity=self.encoder_similarity, reference_cells=0)


def score_data(
    adata: Any, labels: Sequence[Label], *, loaded: LoadedScorer, reference: bool = True, **reading: Any
) -> ScoredCells:
    """Score all cells for resolved labels as `annotate` does, and return the parts of the score; writes nothing.

    Args and errors are those of `annotate`.
    """
    encoded, options = EncodedLabels(encode_label_texts(loaded, labels)), ReadingOptions(**reading)
    with open_cells(adata, **options.source) as source:
        cells = measured_reference(loaded, source) if reference else None
        encoded = with_reference(loaded, encoded, cells)

        def score(*batch: Tensor) -> tuple[Tensor, ...]:
            scores = score_cells(loaded.encoders, encoded, *batch)
            plain = encoded.similarity(scores.cell_embeds, loaded.config.logit_temperature)
            return scores.similarity, scores.match, plain

        columns = ("similarity", "match", "encoder_similarity")
        run = InferenceRun(source, loaded, options, score, columns, "scoring cells", cells)
        finished = run_in_memory(run)
        blocks = zip(*finished.parts.read(*columns, "known"), strict=True)
        similarity, match, plain, known = (np.concatenate(column) for column in blocks)
        facts = settings(run, finished.coverage)
        return ScoredCells(
            similarity, match, known, finished.coverage, facts, plain, 0 if cells is None else len(cells)
        )
