"""Steps that the tasks share which name cells by text: predictions, measures and pages."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from langcell.inference.annotation import ScoredCells
from langcell.processing.labels.resolve import Label
from langcell.processing.ontology.terms import Ontology
from langcell.scoring_langcell import combine_scores
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.metrics.metrics import score_predictions
from langcell.training.evaluation.metrics.ontology_scoring import RULE, credit_matrix
from langcell.training.evaluation.metrics.uncertainty import DRAWS_OF_CELLS, uncertainty_text
from langcell.training.evaluation.reports.embedding_map import drawn_cells, map_cells_and_texts
from langcell.training.evaluation.reports.pages import Section, Table
from langcell.training.evaluation.reports.plots import draw_embeddings
from langcell.training.evaluation.reports.report import model_scores, refined_scores, summary_table, with_sd
from langcell.training.evaluation.tasks.left_out_types import left_out_section
from langcell.training.labelled.labelled_cells import LabelledCells

ALPHAS = tuple(i / 10 for i in range(11))
WITHOUT_REFERENCE = "without reference cells"
AS_EQUALS = "labels as equals"
_SWEPT = {"accuracy": "accuracy", "macro_f1": "macro-F1", "weighted_f1": "weighted F1"}
_SWEEP_TEXT = (
    "Score: alpha x softmax(similarity) + (1 - alpha) x softmax(match). Match probabilities lie between 0 and 1, so "
    "that their softmax is nearly flat: at a large alpha the match decides only between labels of nearly the same "
    "similarity, and rows are alike."
)


class Measure:
    """Measures predictions against the truth of one data set.

    Args:
        labelled: truth and labels.
        seed: random seed of the draws of the cells.
        draws: number of these draws.
    """

    def __init__(self, labelled: LabelledCells, *, seed: int, draws: int) -> None:
        self._labelled, self._seed, self._draws = labelled, seed, draws
        self.credit = credit_of(labelled.labels)

    def __call__(self, predicted: np.ndarray) -> dict[str, Any]:
        """Scores of the labels given to the labelled cells; len(labels) is no label."""
        truth = self._labelled.truth[self._labelled.has_label]
        return score_predictions(
            truth, predicted, self._labelled.names, seed=self._seed, draws=self._draws, credit=self.credit
        )


def credit_of(labels: Sequence[Label]) -> np.ndarray | None:
    """Return the credit matrix of labels, None where fewer than two have an ontology id."""
    if sum(label.ontology_term_id is not None for label in labels) < 2:
        return None
    return credit_matrix(labels, Ontology.cellxgene())


def best_labels(scored: ScoredCells, alpha: float) -> np.ndarray:
    """Return label of each cell at `alpha`, int64, shape (cells,); the number of labels for a cell without a known
    gene."""
    score = combine_scores(torch.from_numpy(scored.similarity), torch.from_numpy(scored.match), alpha=alpha)
    return np.where(scored.known, score.numpy().argmax(1), scored.similarity.shape[1])


def majority(labelled: LabelledCells) -> np.ndarray:
    """Return the most frequent type for every labelled cell; of equals the first in order."""
    return np.full(int(labelled.has_label.sum()), labelled.support.argmax())


def sweep_row(alpha: float, measured: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what the alpha sweep keeps of one weight: the measures, and their standard deviations."""
    kept = {key: measured[key] for name in _SWEPT for key in (name, f"{name}_sd")}
    return {"alpha": alpha, **kept}


def naming_sections(report: Mapping[str, Any]) -> list[Section]:
    """Return the sections of the page: the methods, every type, and the weight of the similarity."""
    model, data, is_branch = report["model"], report["data"], "candidates" in report
    n_types = sum(label["support"] > 0 for label in report["labels"]) if is_branch else len(report["labels"])
    text = (
        f"{data['labelled_cells']:,} cells of {n_types} types in obs[{data['label_column']!r}]; "
        f"{data['left_out_without_label']:,} cells without a label left out. "
        f"{data['without_known_gene']:,} cells have no known gene. {_scoring_text(report)}; "
        f"{report['cells_per_second']:.0f} cells/s on {model['device']}. Model revision {model['revision']}. "
        f"{uncertainty_text(report['repeats'], DRAWS_OF_CELLS, report['seed'])}"
    )
    text += refinement_text(report["refinement"]) + tree_text(report["hierarchy"])
    unnamed = [name for row in report["methods"].values() for name in row.get("types_without_profile", ())]
    if unnamed := list(dict.fromkeys(unnamed)):
        text += f" The file of profiles lacks, so that no method that reads it names them: {', '.join(unnamed)}."
    if WITHOUT_REFERENCE in report["methods"]:
        text += (
            " Cells are also compared with the model's reference cells, gene by gene; "
            f"{WITHOUT_REFERENCE}: what the encoder makes of them alone."
        )
    if "ontology_accuracy" in model_scores(report):
        text += f" {RULE}"
    return [
        Section(
            f"{report['task']}: {model['id']} on {data['file']}", text, summary_table(report["task"], report["methods"])
        ),
        *([left_out_section(report["left_out"], _support(report))] if report.get("left_out") else []),
        Section("Types", table=types_table(report)),
        *([] if is_branch else [Section("Weight of the similarity", _SWEEP_TEXT, _sweep_table(report["alpha_sweep"]))]),
    ]


def _scoring_text(report: Mapping[str, Any]) -> str:
    if "candidates" in report:
        return f"Candidates: {report['candidates']} types of the model's training"
    return f"Alpha {report['alpha']:g}"


def types_table(report: Mapping[str, Any]) -> Table:
    """Return every type with what the model measured on it; of a branch those types alone that the file has."""
    measured = model_scores(report)["per_type"]
    if "candidates" in report:
        measured = {name: row for name, row in measured.items() if row["support"]}
    return per_type_table(measured, refined_scores(report).get("per_type"))


def refinement_text(facts: Mapping[str, Any]) -> str:
    """Return what a page says of the refined rows, or why there is none."""
    if facts["refined"]:
        return (
            " Refined: the cells of the file name each other, as langcell annotate does by default; every method in "
            "the same components."
        )
    return f" Each cell stands alone: {facts['why_alone']}."


def tree_text(kind: str) -> str:
    """Return what a page says of labels of which one lies above another; "" for a flat list.

    Args:
        kind: "branch", "list" or "none".
    """
    if kind == "branch":
        return (
            f" Labels are a branch of the ontology and are named from the top down by similarity, as langcell annotate "
            f"does; {AS_EQUALS}: without the tree. Strict measures count an answer as right only where it is the very "
            "term of the true type."
        )
    if kind == "list":
        return (
            " One label lies above another, so the refined answer may be the label above, as langcell annotate "
            f"answers; {AS_EQUALS}: without the tree."
        )
    return ""


def per_type_table(
    per_type: Mapping[str, Mapping[str, float]], refined: Mapping[str, Mapping[str, float]] | None = None
) -> Table:
    """Return precision, recall and F1 of every type, with their standard deviations.

    Args:
        per_type: what was measured of each type.
        refined: the same once the cells named each other, for a column "F1, refined".
    """
    rows = [
        (name, f"{row['support']:,}", *(with_sd(row, key, digits=3) for key in ("precision", "recall", "f1")))
        for name, row in per_type.items()
    ]
    head = ("type", "cells", "precision", "recall", "F1")
    if refined is None:
        return Table(head, rows)
    return Table((*head, "F1, refined"), [(*row, with_sd(refined[row[0]], "f1", digits=3)) for row in rows])


def _support(report: Mapping[str, Any]) -> dict[str, int]:
    return {label["name"]: label["support"] for label in report["labels"]}


def draw_cells_and_texts(context: EvaluationContext, labelled: LabelledCells) -> Figure:
    """Return one UMAP of the labelled cells and the texts of their labels."""
    cells = np.flatnonzero(labelled.has_label)
    cells = cells[drawn_cells(len(cells), seed=context.seed)]
    texts = context.embed_texts([label.text for label in labelled.labels])
    places = map_cells_and_texts(context.embed_rows(cells), texts, seed=context.seed)
    return draw_embeddings(
        places[0],
        labelled.names_of(cells),
        places[1],
        labelled.names,
        title=f"{context.loaded.model_id}: cells and label texts",
    )


def _sweep_table(sweep: Sequence[Mapping[str, float]]) -> Table:
    rows = [(f"{row['alpha']:.1f}", *(with_sd(row, key) for key in _SWEPT)) for row in sweep]
    return Table(("alpha", *_SWEPT.values()), rows)
