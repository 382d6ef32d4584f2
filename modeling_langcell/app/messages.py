"""What the app and the process with its model say to each other: plain data, so that it can be sent."""

from dataclasses import dataclass, field

import numpy as np

from langcell.inference.naming.options import Rerank
from langcell.processing.options import XKind


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
    """

    model_id: str
    branches: list[Branch]
    sample_labels: list[str]


@dataclass(frozen=True)
class NamingRequest:
    """Cells to be named.

    Attributes:
        folder: of the session; input and output are in it.
        file: name of the h5ad file in it; the sample when None.
        labels: as typed: one a line, or between commas, or label, tab, text.
        branch: id or name of a term in place of labels: what is below it among the training types.
        x_is: "counts", "linear" or "log1p".
        gene_column: column of var with the genes; var_names when None.
        layer: where the values are; found when None.
        rerank: "exact", "full", "top-k" or "none".
        unknown: least confidence; every cell is named when None.
        max_points: cells in the map at most.
    """

    folder: str
    file: str | None
    labels: str = ""
    branch: str | None = None
    x_is: XKind = "counts"
    gene_column: str | None = None
    layer: str | None = None
    rerank: Rerank = "exact"
    unknown: float | None = None
    max_points: int = 20_000


@dataclass(frozen=True)
class CellMap:
    """The cells that are drawn, and where.

    Attributes:
        rows: ascending, int64, shape (points,).
        places: UMAP of the cell embeddings, float32, shape (points, 2).
        cells: names.
        labels: their labels.
        confidence: float32, shape (points,).
    """

    rows: np.ndarray
    places: np.ndarray
    cells: list[str]
    labels: list[str]
    confidence: np.ndarray


@dataclass(frozen=True)
class NamedFile:
    """Result of a naming run.

    Attributes:
        file: name of the annotated h5ad in the session's folder.
        n_cells: cells in it.
        table: label, cells, share of the cells, mean confidence; the most frequent first.
        cell_map: the cells to draw.
        notes: lines for the user.
    """

    file: str
    n_cells: int
    table: list[tuple[str, int, float, float]]
    cell_map: CellMap
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SearchRequest:
    """A sentence to find cells for, in a file that a naming run wrote.

    Attributes:
        folder: of the session.
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
        similarity: cosine of text and cell for the rows that were asked for, float32.
        best: cell, label, confidence, similarity; the most similar first.
    """

    text: str
    similarity: np.ndarray
    best: list[tuple[str, str, float, float]]
