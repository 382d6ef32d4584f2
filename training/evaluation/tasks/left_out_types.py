"""Does the novelty of a cell tell that its type is not among the candidates? Each type is left out once."""

from collections.abc import Mapping

import numpy as np
import torch

from langcell.inference.annotation import ScoredCells
from langcell.inference.refinement.novelty import Novelty
from langcell.inference.scoring.other_types import margin, other_types
from langcell.training.evaluation.metrics.metrics import computed
from langcell.training.evaluation.metrics.ranking_metrics import Auroc
from langcell.training.evaluation.reports.pages import Section, Table
from langcell.training.labelled.labelled_cells import LabelledCells

NOVELTY = "novelty_auroc"
_LEAST_LABELS = 3
_TEXT = (
    "Each type's label is left out of the candidates in turn. AUROC: how well the novelty of a cell (obs"
    "['langcell_novelty'] of langcell annotate) then tells the cells of this type from all others; 0.5 is chance. The "
    "summary has the mean over the types."
)


def left_out_aurocs(scored: ScoredCells, labelled: LabelledCells) -> dict[str, float]:
    """Return the AUROC of novelty for each type that has cells, its label left out of the candidates.

    Similarities with the other labels stay as they are, though the labels together decide their common scale.

    Args:
        scored: all cells, with all labels.
        labelled: their types.

    Returns:
        Name of the type -> AUROC; empty where similarities are not relative to reference cells, which makes novelty
        comparable, and where there are fewer than three labels or two types with cells.
    """
    n_labels = len(labelled.labels)
    present = np.flatnonzero(labelled.support)
    if not scored.reference_cells or n_labels < _LEAST_LABELS or len(present) < 2:
        return {}
    similarity = np.where(scored.known[:, None], scored.similarity, np.nan)
    return {labelled.names[code]: _auroc(scored, similarity, labelled, int(code)) for code in present}


def left_out_section(aurocs: Mapping[str, float], support: Mapping[str, int]) -> Section:
    """Return the table of the types.

    Args:
        aurocs: what `left_out_aurocs` returned.
        support: cells of each type.
    """
    rows = [(name, f"{support[name]:,}", f"{auroc:.3f}") for name, auroc in aurocs.items()]
    return Section("Types that are not among the candidates", _TEXT, Table(("type", "cells", "AUROC"), rows))


def _auroc(scored: ScoredCells, similarity: np.ndarray, labelled: LabelledCells, code: int) -> float:
    others = np.delete(similarity, code, axis=1)
    margin = _margin(scored, labelled, code)
    novelty = Novelty.fit(others, scored.places, margin).score(others, scored.places, margin)
    judged = labelled.truth >= 0
    return computed(Auroc(), predictions=novelty[judged], references=(labelled.truth[judged] == code).astype(int))[
        "auroc"
    ]


def _margin(scored: ScoredCells, labelled: LabelledCells, code: int) -> np.ndarray | None:
    """Return how much more the labels that are left say than the other types, shape (cells,); None without these."""
    kept = np.delete(np.arange(len(labelled.labels)), code)
    others = other_types([labelled.labels[place] for place in kept], scored.types)
    if scored.with_types is None or not len(others):
        return None
    left = torch.from_numpy(scored.with_types[:, [*kept, *(len(labelled.labels) + others)]])
    return margin(left, len(kept)).numpy()
