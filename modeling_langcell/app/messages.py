"""What the app and the process with its model say to each other: plain data, so that it can be sent."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langcell.processing.options import XKind
from langcell.reporting.drawn_cells import DrawnCells
from langcell.reporting.styles import Style, styles_of


@dataclass(frozen=True)
class Branch:
    """A term of the Cell Ontology with at least two of the model's training types at or below it."""

    term_id: str
    name: str
    n_types: int


@dataclass(frozen=True)
class PageFacts:
    """What the page shows of the model before anything is done.

    Attributes:
        model_id: Hub id or name.
        branches: terms that labels can be taken from, by name; none if the model does not list its training types.
        sample_labels: the types in the sample.
        tissues: names of tissues that labels can be taken from; none if the model does not list types by tissue.
    """

    model_id: str
    branches: list[Branch]
    sample_labels: list[str]
    tissues: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NamingRequest:
    """Cells to be named.

    Attributes:
        folder: folder of the session; input and output are in it.
        file: name of the file with cells in it; the sample when None.
        labels: as typed: one a line, or between commas, or label, tab, text.
        branch: id or name of a term in place of labels: what is below it among the training types.
        tissue: name of a tissue in place of labels: the training types that are found there.
        x_is: "counts", "linear" or "log1p".
        gene_column: column of var with the genes; var_names when None.
        layer: where the values are; found when None.
        cluster_column: column of obs with clusters; one of the usual names, where there is one, when None.
        make_clusters: make clusters where the file has none.
        unknown: "auto" calls cells unknown that no label fits, a number those below that confidence; None none.
        max_points: cells in the map at most.
        max_unpacked_mb: size of what is in an uploaded archive, in MB, at most.
    """

    folder: str
    file: str | None
    labels: str = ""
    branch: str | None = None
    tissue: str | None = None
    x_is: XKind = "counts"
    gene_column: str | None = None
    layer: str | None = None
    cluster_column: str | None = None
    make_clusters: bool = False
    unknown: float | str | None = None
    max_points: int = 20_000
    max_unpacked_mb: int = 10_000


@dataclass(frozen=True)
class Proposal:
    """A label that is no name of a term, and the term that it may mean."""

    label: str
    name: str
    term_id: str


@dataclass(frozen=True)
class Genes:
    """Genes that speak for a label and, strongly, against it; the strongest first.

    Attributes:
        supporting: symbols.
        conflicting: symbol, and the label that it speaks for.
    """

    supporting: list[str]
    conflicting: list[tuple[str, str]]


@dataclass(frozen=True)
class NamedFile:
    """Result of a naming run.

    Attributes:
        file: name of the annotated h5ad in the session's folder.
        n_cells: cells in it.
        headline: what was done, in a sentence.
        table: label, cells, share of the cells, mean confidence; the most frequent first.
        clusters: a row for each named cluster; see `langcell.inference.refinement.clusters`.
        cluster_column: where they are from.
        drawn: the cells to draw.
        warning: how many cells fit no label; "" where none, or where that was not measured.
        notes: lines on labels, confidence and refinement.
        details: lines for who wants to know more.
        genes: by label: what speaks for it and against it; labels that nothing is known of are left out.
        cluster_genes: by cluster, likewise.
        proposals: what labels without a term may mean.
        files: what can be taken home: kind -> name in the session's folder.
    """

    file: str
    n_cells: int
    headline: str
    table: list[tuple[str, int, float, float]]
    drawn: DrawnCells
    clusters: list[dict[str, Any]] = field(default_factory=list)
    cluster_column: str = ""
    warning: str = ""
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    genes: dict[str, Genes] = field(default_factory=dict)
    cluster_genes: dict[str, Genes] = field(default_factory=dict)
    proposals: list[Proposal] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def styles(self) -> dict[str, Style]:
        """How each label looks, on the map as in the table; the report and the figure give the same looks."""
        return styles_of([label for label, *_ in sorted(self.table, key=lambda row: (-row[1], row[0]))])


@dataclass(frozen=True)
class SearchRequest:
    """A sentence to find cells for, in a file that a naming run wrote.

    Attributes:
        folder: folder of the session.
        file: name of the annotated h5ad in it.
        sentence: a sentence, or the name or id of a cell type, which gets its definition as text.
        rows: the cells whose similarity the map shows.
        top_k: cells in the list.
    """

    folder: str
    file: str
    sentence: str
    rows: np.ndarray
    top_k: int = 20


@dataclass(frozen=True)
class FoundCells:
    """Result of a search.

    Attributes:
        text: what the text encoder read.
        similarity: score of the text for the rows that were asked for, float32.
        best: cell, label, confidence, score; the best first.
        note: what the sentence is read as, and whether any cell fits; "" for the name of a type.
    """

    text: str
    similarity: np.ndarray
    best: list[tuple[str, str, float, float]]
    note: str = ""
