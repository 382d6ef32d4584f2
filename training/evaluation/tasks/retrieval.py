"""`langcell evaluate retrieval`: the text of a cell among all Cell Ontology terms, and cells of a text.

Both directions rank by the similarity of the embeddings. The names-only texts beside show what definitions are worth.
Sentences of function ("a cell that makes antibodies") are a search as people type it: how many of the first 20 cells
are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from langcell.inference.search.sentences import score_sentences
from langcell.inference.search.unseen_types import rank_below_known
from langcell.processing.ontology.descriptions import TextForm, describe_term
from langcell.processing.ontology.terms import Ontology
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.inputs.function_sentences import function_sentences
from langcell.training.evaluation.metrics.ontology_scoring import TermDistances
from langcell.training.evaluation.metrics.ranking_metrics import first_right_ranks, score_ranks
from langcell.training.evaluation.metrics.uncertainty import BOOTSTRAP_DRAWS, sd_of, uncertainty_text
from langcell.training.evaluation.options import check_repeats
from langcell.training.evaluation.reports.embedding_map import drawn_cells, map_cells_and_texts
from langcell.training.evaluation.reports.pages import Section
from langcell.training.evaluation.reports.plots import draw_bars, draw_embeddings
from langcell.training.evaluation.reports.report import DIRECTIONS, HEADLINES, TaskResult, summary_table
from langcell.training.labelled.labelled_cells import LabelledCells

TASK = "retrieval"
CANDIDATES = {"ontology": "all terms of the Cell Ontology", "training": "the cell types that the model was trained on"}
_FORMS: dict[str, TextForm] = {"name and definition": "full", "name only": "name"}
_CELLS_PER_BLOCK = 4096
_MOST_OTHER_TEXTS = 12

# Cells looked at for each sentence, and how many right ones there must be for a sentence to be asked at all.
_FIRST_CELLS, _LEAST_RIGHT_CELLS = 20, 10


@dataclass(frozen=True, eq=False)
class _Queries:
    """Cells with an ontology id, and the terms to find them among.

    Attributes:
        cells: rows of the cells, shape (queries,).
        term_ids: ids of the candidates.
        right: index into `term_ids` for each of the cells.
    """

    cells: np.ndarray
    term_ids: list[str]
    right: np.ndarray


def run(context: EvaluationContext, *, candidates: str = "ontology", repeats: int = BOOTSTRAP_DRAWS) -> TaskResult:
    """Rank all texts for each cell, and all cells for the text of each type that has cells.

    Args:
        context: data and model; needs a label column whose types have ontology ids (by name or `label_ids_column`).
        candidates: "ontology" or "training"; types of the data are added where these lack them.
        repeats: draws of the queries behind each standard deviation.

    Raises:
        ValueError: unknown `candidates`, illegal `repeats`, or no type with an ontology id.
    """
    check_repeats(repeats)
    if candidates not in CANDIDATES:
        known = ", ".join(f"{name!r} ({what})" for name, what in CANDIDATES.items())
        raise ValueError(f"candidates is {candidates!r}; legal are {known}.")
    ontology = Ontology.cellxgene()
    labelled = context.labelled
    queries = _find_queries(labelled, _candidate_ids(context, candidates, ontology), ontology)
    cells = context.embeddings.projected[queries.cells]
    distances = TermDistances(ontology)
    draws = {"seed": context.seed, "draws": repeats}
    methods, texts_of_form = {}, {}
    for written, form in _FORMS.items():
        texts = [describe_term("cell type", ontology.term(term_id), form=form) for term_id in queries.term_ids]
        texts_of_form[form] = context.embed_texts(texts)
        methods[f"{DIRECTIONS[0]}, {written}"] = _cell_to_text(
            cells, texts_of_form[form], queries, distances, draws, known=context.loaded.config.training_cell_types
        )
    for written, form in _FORMS.items():
        methods[f"{DIRECTIONS[1]}, {written}"] = _text_to_cell(cells, texts_of_form[form], queries, distances, draws)
    if of_sentences := _sentences_to_cells(context, cells, queries, ontology, draws):
        methods[f"{DIRECTIONS[1]}, sentences of function"] = of_sentences
    report = {
        **context.describe(TASK, context.embeddings.settings, labelled),
        "candidates": candidates,
        "n_candidates": len(queries.term_ids),
        "queries": {"cells": len(queries.cells), "texts": len(np.unique(queries.right))},
        "repeats": repeats,
        "cells_without_ontology_id": int(labelled.has_label.sum()) - len(queries.cells),
        "ontology": ontology.version,
        "methods": methods,
    }
    recalls = {key: name for key, (_, name) in HEADLINES[TASK].items() if key.startswith(("recall", "mrr"))}
    title = f"{report['model']['id']} on {report['data']['file']}, {len(queries.term_ids):,} texts"
    figures = {
        "methods": draw_bars(methods, recalls, title=title),
        "embeddings": _draw_map(context, cells, texts_of_form["full"], queries, ontology),
    }
    return TaskResult(report, _sections(report), figures)


def _candidate_ids(context: EvaluationContext, candidates: str, ontology: Ontology) -> list[str]:
    if candidates == "ontology":
        return [term_id for term_id in ontology.ids("CL") if not ontology.term(term_id).obsolete]
    trained = context.loaded.config.training_cell_types
    if not trained:
        raise ValueError(f"{context.loaded.model_id} does not list its training types; use candidates 'ontology'.")
    return sorted({ontology.current(term_id).id for term_id in trained if term_id in ontology})


def _find_queries(labelled: LabelledCells, candidate_ids: Sequence[str], ontology: Ontology) -> _Queries:
    ids = [
        ontology.current(label.ontology_term_id).id
        if label.ontology_term_id and label.ontology_term_id in ontology
        else None
        for label in labelled.labels
    ]
    with_id = np.array([term_id is not None for term_id in ids])
    cells = np.flatnonzero(labelled.has_label & with_id[labelled.truth])
    if not len(cells):
        raise ValueError(
            "No type of the data is a Cell Ontology term, so nothing is known to be right; name the column with the "
            "ontology ids (--label-ids-column)."
        )
    own = {ids[code] for code in np.unique(labelled.truth[cells])}
    term_ids = sorted({*candidate_ids, *(term_id for term_id in own if term_id is not None)})
    place = {term_id: i for i, term_id in enumerate(term_ids)}
    right = np.array([place[str(ids[code])] for code in labelled.truth[cells]])
    return _Queries(cells, term_ids, right)


def _cell_to_text(
    cells: np.ndarray,
    texts: np.ndarray,
    queries: _Queries,
    distances: TermDistances,
    draws: dict[str, int],
    *,
    known: Sequence[str] | None,
) -> dict[str, Any]:
    ranks, first = [], []
    for begin in range(0, len(cells), _CELLS_PER_BLOCK):
        scores = rank_below_known(cells[begin : begin + _CELLS_PER_BLOCK] @ texts.T, queries.term_ids, known)
        right = np.zeros(scores.shape, dtype=bool)
        right[np.arange(len(right)), queries.right[begin : begin + len(right)]] = True
        ranks.append(first_right_ranks(scores, right))
        first.append(scores.argmax(axis=1))
    steps = [
        distances.between(queries.term_ids[right], queries.term_ids[found])
        for right, found in zip(queries.right, np.concatenate(first), strict=True)
    ]
    return score_ranks(np.concatenate(ranks), steps, **draws)


def _text_to_cell(
    cells: np.ndarray, texts: np.ndarray, queries: _Queries, distances: TermDistances, draws: dict[str, int]
) -> dict[str, Any]:
    types = np.unique(queries.right)
    scores = texts[types] @ cells.T
    ranks = first_right_ranks(scores, queries.right[None, :] == types[:, None])
    found = queries.right[scores.argmax(axis=1)]
    steps = [
        distances.between(queries.term_ids[asked], queries.term_ids[answer])
        for asked, answer in zip(types, found, strict=True)
    ]
    return score_ranks(ranks, steps, **draws)


def _sentences_to_cells(
    context: EvaluationContext, cells: np.ndarray, queries: _Queries, ontology: Ontology, draws: dict[str, int]
) -> dict[str, Any]:
    """Share of right cells among the first that each sentence finds; nothing where no sentence is about these cells."""
    types = np.array(queries.term_ids)[queries.right]
    asked = [(sentence.text, np.isin(types, list(sentence.types))) for sentence in function_sentences(ontology)]
    asked = [(text, right) for text, right in asked if right.sum() >= _LEAST_RIGHT_CELLS]
    if not asked:
        return {}
    scores = score_sentences(context.loaded, [text for text, _ in asked], cells)
    precision = np.array(
        [
            right[np.argsort(-row, kind="stable")[: min(_FIRST_CELLS, right.sum())]].mean()
            for row, (_, right) in zip(scores, asked, strict=True)
        ]
    )
    rng = np.random.default_rng(draws["seed"])
    drawn = [float(rng.choice(precision, len(precision)).mean()) for _ in range(draws["draws"])]
    return {
        "queries": len(asked),
        "precision_at_20": float(precision.mean()),
        "precision_at_20_sd": sd_of(drawn),
        "sentences": {text: float(found) for (text, _), found in zip(asked, precision, strict=True)},
    }


def _draw_map(
    context: EvaluationContext, cells: np.ndarray, texts: np.ndarray, queries: _Queries, ontology: Ontology
) -> Figure:
    """Cells, the texts of their types, and of other candidates those that most cells have as the first answer."""
    rows = drawn_cells(len(cells), seed=context.seed)
    first = np.concatenate(
        [(cells[begin : begin + _CELLS_PER_BLOCK] @ texts.T).argmax(axis=1)
         for begin in range(0, len(cells), _CELLS_PER_BLOCK)]
    )  # fmt: skip
    answers, n_cells = np.unique(first, return_counts=True)
    others = [i for i in answers[np.argsort(-n_cells, kind="stable")] if i not in set(queries.right)]
    own = np.unique(queries.right).tolist()
    drawn = [*own, *others[:_MOST_OTHER_TEXTS]]
    names = [ontology.term(term_id).name for term_id in queries.term_ids]
    places = map_cells_and_texts(cells[rows], texts[drawn], seed=context.seed)
    return draw_embeddings(
        places[0],
        [names[i] for i in queries.right[rows]],
        places[1],
        [names[i] for i in drawn],
        title=f"{context.loaded.model_id}: cells, the texts of their types, and the texts they are mistaken for",
    )


def _sections(report: dict[str, Any]) -> list[Section]:
    data, queries = report["data"], report["queries"]
    text = (
        f"Cell to text: {queries['cells']:,} cells, each looking for the text of its type among "
        f"{report['n_candidates']:,} ({CANDIDATES[report['candidates']]}); a type of which the training had no cell "
        "comes after the known types above it. Text to cell: the texts of the "
        f"{queries['texts']} types of the data, each looking for a cell of its type. Ranked by similarity; ties count "
        "against the ranking. R@k: share of queries with a right answer among the first k. Ontology distance: is_a "
        "steps from the first answer's term to the right one, by their nearest common ancestor. "
        f"Precision@{_FIRST_CELLS}: share of right cells among the first {_FIRST_CELLS} (or as many as there are) that "
        f"a sentence of function finds, where at least {_LEAST_RIGHT_CELLS} cells are right. "
        f"{report['cells_without_ontology_id']:,} labelled cells have no ontology id and are left out. "
        f"{uncertainty_text(report['repeats'], 'draws of the queries with replacement', report['seed'])} "
        f"{report['ontology']}."
    )
    title = f"{TASK}: {report['model']['id']} on {data['file']}"
    return [Section(title, text, summary_table(TASK, report["methods"], first="query"))]
