"""What the app does with the model: names the cells of a file, and finds cells by a sentence."""

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from langcell.app.downloads import table_beside, write_downloads
from langcell.app.messages import Branch, FoundCells, NamedFile, NamingRequest, PageFacts, SearchRequest
from langcell.app.options import AppOptions
from langcell.app.results import found_cluster_column, genes_of_groups, named_file
from langcell.app.uploads import plain_name, unpacked
from langcell.inference.annotation import AnnotationSummary, run_annotation
from langcell.inference.naming.candidates import Candidates, proposed
from langcell.inference.naming.csv_tables import tables_at
from langcell.inference.naming.options import NamingOptions
from langcell.inference.running.job import InferenceJob
from langcell.inference.running.options import ReadingOptions
from langcell.inference.search.retrieval import retrieve
from langcell.loading.load import LoadedLangCell, load
from langcell.processing.cells.anndata_output import write_annotated
from langcell.processing.cells.embedding_store import open_embeddings
from langcell.processing.cells.given_names import read_given_names
from langcell.processing.labels.resolve import labels_under, resolve_query, typed_labels
from langcell.processing.ontology.terms import Ontology
from langcell.reporting.cell_map import map_cells
from langcell.reporting.contents import read_named
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
        """Return what the page shows of the model before anything is done."""
        branches, tissues = _branches(self.loaded), sorted(_tissues(self.loaded))
        return PageFacts(self.loaded.model_id, branches, list(BULK_LABELS.values()), tissues)

    def warm_up(self, request: None = None) -> None:
        """Let UMAP be compiled, which takes seconds, before anybody waits for it."""
        map_cells(np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32))

    def trained_types(self, contains: str) -> list[str]:
        """Return the names of the training types that have some letters in them; none if the model lists no types."""
        ontology = Ontology.cellxgene()
        names = [ontology.term(id_).name for id_ in self.loaded.config.training_cell_types or () if id_ in ontology]
        return sorted(name for name in names if contains.lower() in name.lower())

    def name_cells(self, request: NamingRequest) -> NamedFile:
        """Write the annotated file and what else can be taken home, and return what the page shows of it.

        Raises:
            ValueError: as `langcell.annotate`; the messages name the file without its folder.
        """
        started = time.perf_counter()
        with contextlib.chdir(request.folder):
            candidates = self._candidates(request)
            upload = Path(request.file or _write_sample())
            file = unpacked(upload, most_mb=request.max_unpacked_mb)
            output = Path(f"{plain_name(upload.name)}_named.h5ad")
            reading = ReadingOptions(request.x_is, request.gene_column, request.layer, progress=False)
            summary = self._annotate(InferenceJob(file, output, self.loaded, options=reading), candidates, request)
            drawn = read_named(output, most_drawn=request.max_points)
            tables = tables_at(table_beside(output), summary.uns)
            files = write_downloads(output, drawn, tables=tables, title=plain_name(upload.name))
            genes = genes_of_groups(output, self.loaded, reading)
            column = summary.uns.get("cluster_column")
            of_clusters = genes_of_groups(output, self.loaded, reading, cluster_column=column) if column else {}
        seconds = time.perf_counter() - started
        return named_file(summary, candidates.labels, drawn, files, genes, of_clusters, seconds=seconds)

    def _annotate(self, job: InferenceJob, candidates: Candidates, request: NamingRequest) -> AnnotationSummary:
        column = request.cluster_column or found_cluster_column(job.data, job.options)
        make = request.make_clusters and column is None
        naming = NamingOptions(unknown=request.unknown, cluster_column=column, cluster=make)
        assert job.output is not None
        summary = run_annotation(job, candidates, naming, csv=table_beside(Path(job.output)))
        assert summary is not None, "one process joins its own results"
        return summary

    def find_cells(self, request: SearchRequest) -> FoundCells:
        """Return the score of a sentence for the cells of an annotated file, as `retrieve` orders them.

        Raises:
            ValueError: an empty sentence, an unknown ontology id, or a file without embeddings of this model.
        """
        if not request.sentence.strip():
            raise ValueError(
                "There is no sentence; write what the cells are like, such as: a lymphocyte that makes antibodies."
            )
        query = resolve_query(request.sentence)
        with contextlib.chdir(request.folder):
            with open_embeddings(request.file) as store:
                n_cells = store.n_cells
            found = retrieve(request.file, [query], model=self.loaded, top_k=n_cells)
            best = found.head(request.top_k)
            given = read_given_names(request.file, best["row"].to_numpy())
        assert given is not None, "a naming run wrote the file"
        labels, confidence = given
        similarity = np.empty(n_cells, dtype=np.float32)
        similarity[found["row"].to_numpy()] = found["score"].to_numpy()
        columns = (best["found"].tolist(), labels, confidence.tolist(), best["score"].tolist())
        notes = " ".join(found.attrs["notes"])
        return FoundCells(query.text, similarity[request.rows], list(zip(*columns, strict=True)), notes)

    def _candidates(self, request: NamingRequest) -> Candidates:
        if request.tissue is not None:
            return self._of_tissue(request.tissue)
        if request.branch is None:
            return Candidates(typed_labels(request.labels), "listed")
        if not request.branch.strip():
            raise ValueError("No family of cell types is chosen; pick one, or type a name, such as lymphocyte.")
        if not (trained := self.loaded.config.training_cell_types):
            raise ValueError("This model does not list its training types; type the cell types.")
        return Candidates(labels_under(request.branch, among=trained, ontology=Ontology.cellxgene()), "branch")

    def _of_tissue(self, tissue: str) -> Candidates:
        if not tissue:
            there = ", ".join(sorted(_tissues(self.loaded))) or "this model lists none"
            raise ValueError(f"No tissue is chosen; pick one: {there}.")
        return proposed(self.loaded.config, tissue)


def _tissues(loaded: LoadedLangCell) -> Mapping[str, Sequence[str]]:
    """Ids of the training types that are found in each tissue, where the model lists them."""
    return getattr(loaded.config, "tissue_cell_types", None) or {}


def _branches(loaded: LoadedLangCell) -> list[Branch]:
    """Return the terms that have at least two of the training types at or below them, by name."""
    ontology = Ontology.cellxgene()
    types = loaded.config.training_cell_types or []
    trained = {ontology.current(term_id).id for term_id in types if term_id in ontology}
    n_types = Counter(above for term_id in trained for above in {term_id, *ontology.ancestors(term_id)})
    found = [Branch(id_, ontology.term(id_).name, n) for id_, n in n_types.items() if n >= 2 and id_.startswith("CL:")]
    return sorted(found, key=lambda branch: branch.name.casefold())


def _write_sample() -> str:
    """Write the sample into the current folder, and return the file's name."""
    write_annotated(sample_cells(), SAMPLE_FILE, obs={}, obsm={}, uns={})
    return SAMPLE_FILE
