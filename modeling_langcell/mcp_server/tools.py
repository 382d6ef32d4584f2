"""What an agent can ask for. Each method is a tool: plain values in, a dictionary that JSON can hold out.

The docstrings are what the agent reads. An error of the user is a `ValueError` or `OSError` of one line.
"""

from tempfile import TemporaryDirectory
from typing import Any

from langcell.loading.options import BUNDLED_MODEL
from langcell.mcp_server.local_files import LocalFiles
from langcell.mcp_server.notes import collected_notes

_MOST_LABELS = 200


class Tools:
    """The tools over one folder of files and one model, which is loaded at the first use.

    Args:
        files: where the agent's files are.
        model: folder, Hub id, or "langcell-mini" (bundled).
        device: "cpu", "cuda", ...; the best one here when None.
    """

    def __init__(self, files: LocalFiles, *, model: str = BUNDLED_MODEL, device: str | None = None) -> None:
        self.files, self._named_model, self._device = files, model, device
        self._loaded: Any = None

    def list_labels(self, ontology_root: str = "cell", contains: str = "") -> dict[str, Any]:
        """List the cell types that the model was trained on, as candidate labels for name_cells.

        Args:
            ontology_root: Cell Ontology name or id; only types at or below it are listed, such as "lymphocyte".
            contains: only types with these letters in the name or a synonym.
        """
        found = [label for label in self._labels_under(ontology_root) if _is_called(label, contains)]
        shown = [{"name": label.name, "ontology_term_id": label.ontology_term_id} for label in found[:_MOST_LABELS]]
        return {"labels": shown, "n_labels": len(found)}

    def name_cells(
        self,
        file: str,
        labels: list[str] | None = None,
        ontology_root: str | None = None,
        output: str | None = None,
        cluster_column: str | None = None,
        unknown: bool = False,
    ) -> dict[str, Any]:
        """Name each cell of a file by the candidate label that fits it best. Write an h5ad file with the names.

        Give either labels or ontology_root. No cell needs a label before. The result says how labels were read, how
        many cells got each label, and how many cells fit no label. The file itself is not changed.

        Args:
            file: path of the counts relative to the shared folder: h5ad, zarr, h5mu, loom, 10x .h5 or 10x folder.
            labels: candidate cell types in words, such as ["B cell", "NK cell", "CD14 monocyte"].
            ontology_root: Cell Ontology name or id; the candidates are the trained types at or below it.
            output: path of the h5ad file to write; NAME_named.h5ad when not given.
            cluster_column: column of obs with clusters; each cluster gets one name, too.
            unknown: whether cells that fit none of the labels are called "unknown".
        """
        from langcell.inference.annotation import run_annotation
        from langcell.inference.naming.options import NamingOptions
        from langcell.inference.naming.outputs import named_output
        from langcell.inference.running.job import InferenceJob
        from langcell.processing.labels.notes import label_notes
        from langcell.processing.labels.resolve import resolve_labels

        cells = self.files.to_read(file)
        target = self.files.to_write(output or str(named_output(cells)))
        if (labels is None) == (ontology_root is None):
            raise ValueError("Give either labels or ontology_root; list_labels shows the types that the model knows.")
        chosen = self._labels_under(ontology_root) if ontology_root is not None else resolve_labels(labels or [])
        hierarchy = "auto" if ontology_root is None else "branch"
        naming = NamingOptions(unknown="auto" if unknown else None, cluster_column=cluster_column, hierarchy=hierarchy)
        with collected_notes() as notes:
            summary = run_annotation(InferenceJob(cells, target, model=self._model()), chosen, naming)
        assert summary is not None, "one process is always the main one"
        counts = [
            {"label": name, "cells": n, "mean_confidence": round(summary.confidence_of[name], 3)}
            for name, n in summary.cells_of.items()
        ]
        read = label_notes(chosen) if ontology_root is None else []
        result = {"output": self.files.name(target), "labels": counts, "notes": [*read, *notes]}
        return result | ({"clusters": _plain(summary.uns["clusters"])} if "clusters" in summary.uns else {})

    def explain(
        self,
        file: str,
        label: str | None = None,
        cluster: str | None = None,
        against: str | None = None,
        label_column: str = "langcell_label",
        top: int = 10,
    ) -> dict[str, Any]:
        """Say which genes speak for the labels of a file and which against them. Nothing is written.

        A conflicting gene of strength 0.8 or more is strong: doubt the label, and look at the one it speaks for.

        Args:
            file: path of named cells relative to the shared folder: what name_cells wrote, or counts with any labels.
            label: one label to explain; all labels when not given.
            cluster: one cluster to explain, of the clusters that the cells were named with, else of "leiden".
            against: second label; adds the genes that would make the cells of the label or cluster one of these.
            label_column: column of obs with the label of each cell.
            top: largest number of genes per list, 1 to 50.
        """
        from langcell.inference.evidence.explain import explain
        from langcell.inference.evidence.explanation import Explanation

        if not 1 <= top <= 50:
            raise ValueError(f"top is {top}; give a number of genes from 1 to 50.")
        chosen = {"label": label, "cluster": cluster, "against": against, "label_column": label_column, "top": top}
        with collected_notes() as notes:
            model = {"model": self._named_model, "device": self._device, "progress": False}
            found = explain(self.files.to_read(file), **chosen, **model)
        assert isinstance(found, Explanation), "one cell alone is explained only where a cell is named"
        return {**_plain(found.record()), "notes": notes}

    def search_cells(self, file: str, text: str, k: int = 10) -> dict[str, Any]:
        """Find the cells of a named file that fit a text best.

        Args:
            file: h5ad file that name_cells wrote, relative to the shared folder.
            text: a cell type, or a sentence about a cell's type or markers.
            k: number of cells to return, 1 to 100.
        """
        from langcell.inference.search.retrieval import retrieve

        if not 1 <= k <= 100:
            raise ValueError(f"k is {k}; give a number of cells from 1 to 100.")
        found = retrieve(self.files.to_read(file), [text], model=self._model(), top_k=k)
        cells = [
            {"cell": str(row["found"]), "row": int(row["row"]), "score": round(float(row["score"]), 4)}
            for row in found.to_dict("records")
        ]
        return {"text": text, "cells": cells, "notes": found.attrs["notes"]}

    def evaluate(self, file: str, label_column: str) -> dict[str, Any]:
        """Measure how well the model names cells whose types are known already, by text alone.

        Args:
            file: path of cells with counts relative to the shared folder.
            label_column: column of obs with the known cell types.
        """
        from langcell.training.evaluation.inputs.inputs import EvaluationInputs
        from langcell.training.evaluation.runner import run_task

        inputs = EvaluationInputs(
            self.files.to_read(file), label_column=label_column, model=self._named_model, device=self._device
        )
        # The report's pictures and pages are for people; an agent gets the figures.
        with collected_notes() as notes, TemporaryDirectory(prefix="langcell-mcp-") as folder:
            report = run_task("zero-shot", inputs, folder, use_cache=False).report
        methods = {
            name: {"accuracy": round(float(found["accuracy"]), 4), "macro_f1": round(float(found["macro_f1"]), 4)}
            for name, found in report["methods"].items()
        }
        return {"methods": methods, "notes": notes}

    def _labels_under(self, root: str) -> list[Any]:
        from langcell.inference.naming.fine_tuned_labels import config_of
        from langcell.processing.labels.resolve import labels_under
        from langcell.processing.ontology.terms import Ontology

        trained = config_of(self._named_model, None).training_cell_types
        if not trained:
            raise ValueError("This model does not list its training types; give labels in words.")
        return labels_under(root, among=trained, ontology=Ontology.cellxgene())

    def _model(self) -> Any:
        if self._loaded is None:
            from langcell.loading.load import load

            self._loaded = load(self._named_model, device=self._device)
        return self._loaded


def _is_called(label: Any, letters: str) -> bool:
    """Return whether a type's name, or one of its synonyms, has the letters."""
    from langcell.processing.ontology.terms import Ontology

    synonyms = Ontology.cellxgene().term(label.ontology_term_id).synonyms
    return any(letters.lower() in str(name).lower() for name in (label.name, *synonyms))


def _plain(value: Any) -> Any:
    """Return values of numpy as those that JSON has."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
