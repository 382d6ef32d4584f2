"""Rows of a table of names where one label lies above another, as `langcell annotate` names them.

A list with such a label: each cell alone keeps its best label, and the refined answer may be the label above. A branch
of the ontology (`--ontology-root`, `--tissue`): all answers come from the top down, by similarity alone. Beside them
stand the same labels as equals, so that one table shows what the tree is worth.
"""

from typing import Any

import numpy as np

from langcell.inference.scored_cells import ScoredCells
from langcell.training.evaluation.inputs.context import MODEL_METHOD
from langcell.training.evaluation.metrics.ranking_metrics import score_types
from langcell.training.evaluation.reports.report import REFINED
from langcell.training.evaluation.tasks.naming import AS_EQUALS, Measure
from langcell.training.labelled.labelled_cells import LabelledCells

FINEST = ", finest level"


def refined_rows(scored: ScoredCells, labelled: LabelledCells, measure: Measure) -> dict[str, dict[str, Any]]:
    """Return what `annotate` answers by default once the cells named each other, and labels as equals beside it.

    Args:
        scored: all cells, scored for the candidates.
        labelled: true types.
        measure: measures labels of the labelled cells.
    """
    if scored.refined is None:
        return {}
    as_equals = _measured(scored.refined.argmax(axis=1), scored, labelled, measure)
    answers = None if scored.tree is None else scored.tree.refined
    if answers is None:
        return {MODEL_METHOD + REFINED: as_equals}
    rows = {MODEL_METHOD + REFINED: _measured(answers.label, scored, labelled, measure)}
    if scored.tree is not None and scored.tree.is_branch:
        rows[MODEL_METHOD + REFINED + FINEST] = _measured(answers.fine, scored, labelled, measure)
    return rows | {AS_EQUALS + REFINED: as_equals}


def rows_of_branch(scored: ScoredCells, labelled: LabelledCells, measure: Measure) -> dict[str, dict[str, Any]]:
    """Return the rows of a branch: the answers of each cell alone, refined, and labels as equals; see `refined_rows`.

    Labels as equals also have `score_types`, which other models report of many candidates. Where no candidate lies
    above another, a cell alone has the most similar label.
    """
    equals = _measured(scored.similarity.argmax(axis=1), scored, labelled, measure)
    judged = labelled.has_label & scored.known
    equals |= score_types(scored.similarity[judged], labelled.truth[judged])
    if scored.tree is None or scored.tree.alone is None:
        return {MODEL_METHOD: equals, **refined_rows(scored, labelled, measure)}
    alone = scored.tree.alone
    return {
        MODEL_METHOD: _measured(alone.label, scored, labelled, measure),
        MODEL_METHOD + FINEST: _measured(alone.fine, scored, labelled, measure),
        AS_EQUALS: equals,
        **refined_rows(scored, labelled, measure),
    }


def _measured(codes: np.ndarray, scored: ScoredCells, labelled: LabelledCells, measure: Measure) -> dict[str, Any]:
    return measure(np.where(scored.known, codes, len(labelled.labels))[labelled.has_label])
