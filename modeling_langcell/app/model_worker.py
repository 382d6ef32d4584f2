"""What the app does with the model: names the cells of a file, and finds cells by a sentence."""

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from langcell.app.messages import Branch, CellMap, FoundCells, NamedFile, NamingRequest, PageFacts, SearchRequest
from langcell.app.options import AppOptions
from langcell.inference.annotation import AnnotationSummary, run_annotation
from langcell.inference.naming.options import NamingOptions
from langcell.inference.running.job import InferenceJob
from langcell.inference.running.options import ReadingOptions
from langcell.inference.search.retrieval import retrieve
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.cells.anndata_io import open_elements
from langcell.processing.cells.anndata_output import write_annotated
from langcell.processing.cells.embedding_store import open_embeddings
from langcell.processing.labels.notes import label_notes
from langcell.processing.labels.resolve import Label, labels_under, resolve_query, typed_labels
from langcell.processing.ontology.terms import Ontology
from langcell.reporting.cell_map import map_cells
from langcell.sample_data import BULK_LABELS, sample_cells

SAMPLE_FILE = "pbmc700.h5ad"


class ModelWorker:
    """A model, and what the app asks of it. All methods work on files in the folder that the request names."""

    def __init__(self, loaded: LoadedLangCell) -> None:
        self.loaded = loaded

    @classmethod
    def open(cls, options: AppOptions) -> Self:
        """Load the model.

        Raises:
            ValueError: as `langcell.load`.
        """
        device, adapter = options.device or None, options.adapter or None
        return cls(load(options.model, adapter=adapter, device=device, dtype=options.dtype))

    def page_facts(self, request: None = None) -> PageFacts:
        """What the page shows of the model before anything is done."""
        return PageFacts(self.loaded.model_id, _branches(self.loaded), list(BULK_LABELS.values()))

    def warm_up(self, request: None = None) -> None:
        """Let UMAP be compiled, which takes seconds, before anybody waits for it."""
        map_cells(np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32))

    def name_cells(self, request: NamingRequest) -> NamedFile:
        """Write the annotated file, and return what the page shows of it.

        Raises:
            ValueError: as `langcell.annotate`; the messages name the file without its folder.
        """
        started = time.perf_counter()
        with contextlib.chdir(request.folder):
            options = ReadingOptions(request.x_is, request.gene_column, request.layer, progress=False)
            labels = self._labels(request)
            file = Path(request.file or _write_sample())
            output = file.with_name(f"{file.stem}_named.h5ad")
            naming = NamingOptions(rerank=request.rerank, unknown=request.unknown)
            summary = run_annotation(InferenceJob(file, output, self.loaded, options=options), labels, naming)
            assert summary is not None, "one process joins its own results"
            seconds = time.perf_counter() - started
            cell_map = _read_map(output, request.max_points)
        n_cells = sum(summary.cells_of.values())
        table = [(name, n, n / n_cells, summary.confidence_of[name]) for name, n in summary.cells_of.items()]
        notes = [*_notes(summary, labels, n_cells, seconds)]
        if len(cell_map.rows) < n_cells:
            notes.append(f"The map shows {len(cell_map.rows):,} of them, drawn at random.")
        return NamedFile(output.name, n_cells, table, cell_map, notes)

    def find_cells(self, request: SearchRequest) -> FoundCells:
        """Similarity of a sentence to the cells of an annotated file.

        Raises:
            ValueError: an empty sentence, an unknown ontology id, or a file without embeddings of this model.
        """
        if not request.sentence.strip():
            raise ValueError("There is no sentence; write what the cells are like: cells that make antibodies.")
        query = resolve_query(request.sentence)
        with contextlib.chdir(request.folder):
            with open_embeddings(request.file) as store:
                n_cells = store.n_cells
            found = retrieve(request.file, [query], model=self.loaded, top_k=n_cells)
            best = found.head(request.top_k)
            labels, confidence = _read_names(Path(request.file), best["row"].to_numpy())
        similarity = np.empty(n_cells, dtype=np.float32)
        similarity[found["row"].to_numpy()] = found["similarity"].to_numpy()
        columns = (best["found"].tolist(), labels, confidence.tolist(), best["similarity"].tolist())
        return FoundCells(query.text, similarity[request.rows], list(zip(*columns, strict=True)))

    def _labels(self, request: NamingRequest) -> list[Label]:
        if request.branch is None:
            return typed_labels(request.labels)
        if not request.branch.strip():
            raise ValueError("There is no branch; give the name or id of a Cell Ontology term, such as lymphocyte.")
        if not (trained := self.loaded.config.training_cell_types):
            raise ValueError("This model does not list its training types; type the labels.")
        return labels_under(request.branch, among=trained, ontology=Ontology.cellxgene())


def _branches(loaded: LoadedLangCell) -> list[Branch]:
    """The terms that have at least two of the training types at or below them, by name."""
    ontology = Ontology.cellxgene()
    types = loaded.config.training_cell_types or []
    trained = {ontology.current(term_id).id for term_id in types if term_id in ontology}
    n_types = Counter(above for term_id in trained for above in {term_id, *ontology.ancestors(term_id)})
    found = [Branch(id_, ontology.term(id_).name, n) for id_, n in n_types.items() if n >= 2 and id_.startswith("CL:")]
    return sorted(found, key=lambda branch: branch.name.casefold())


def _write_sample() -> str:
    """The sample in the current folder."""
    write_annotated(sample_cells(), SAMPLE_FILE, obs={}, obsm={}, uns={})
    return SAMPLE_FILE


def _drawn_rows(n_cells: int, max_points: int) -> np.ndarray:
    """Rows of the cells to draw, ascending: all, or `max_points` of them at random."""
    if n_cells <= max_points:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(0).choice(n_cells, max_points, replace=False))


def _read_map(path: Path, max_points: int) -> CellMap:
    with open_embeddings(path) as store:
        rows = _drawn_rows(store.n_cells, max_points)
        vectors, cells = store.at(rows), store.names_of(rows)
    labels, confidence = _read_names(path, rows)
    return CellMap(rows, map_cells(vectors), cells, labels, confidence)


def _read_names(path: Path, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Labels and confidences of some cells of an annotated file."""
    with open_elements(path) as (root, read):
        labels = pd.Categorical(read(root["obs/langcell_label"]))
        confidence = np.asarray(read(root["obs/langcell_confidence"]), dtype=np.float32)
    return labels[rows].astype(str).tolist(), confidence[rows]


def _notes(summary: AnnotationSummary, labels: Sequence[Label], n_cells: int, seconds: float) -> list[str]:
    """What the command line prints, as lines."""
    uns, evaluated = summary.uns, summary.uns["pairs_evaluated"]
    return [
        f"Named {n_cells:,} cells by {len(labels)} labels in {seconds:.1f} s. "
        f"{uns['gene_coverage']:.0%} of the genes and {uns['count_coverage']:.0%} of the counts are known. "
        f"Evaluated {evaluated:,} of {summary.n_pairs:,} (cell, label) pairs, rerank {uns['rerank']}, {uns['dtype']}.",
        *label_notes(labels),
    ]
