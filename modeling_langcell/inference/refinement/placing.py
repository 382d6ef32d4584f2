"""Where the cells of a file lie: fitted before they are named, kept while they are, read again afterwards.

1. Before naming, axes are fitted to a sample of the file's counts (`components`). A matrix of obsm takes their place.
2. While cells are named, each chunk also keeps where its cells lie and one number per cell (`sampling`).
3. After naming, `NamedFile` reads the chunks again, and draws the sample of cells with the smallest numbers.

Neither step depends on the chunks, on the order of the cells, or on the number of processes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from langcell.inference.refinement.batches import BatchMethod, BatchMoves, fit_moves
from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.mixture import LEAST_CELLS, MOST_CELLS
from langcell.inference.refinement.sampling import TooFewCells, cell_numbers, smallest
from langcell.inference.running.parts import ResultParts
from langcell.processing.cells.anndata_io import CellSource
from langcell.processing.labels.columns import read_label_column
from langcell.processing.labels.lookup import Label, look_up
from langcell.processing.labels.syntax import LabelEntry
from langcell.processing.ontology.terms import Ontology

NUMBERS = "cell_number"
COMPONENTS = "components"
MARGIN = "margin"


@dataclass(frozen=True)
class CellsInFile:
    """What is known of all cells of a file besides their counts.

    Attributes:
        matrix: where each cell lies, float32, shape (cells, columns), in place of components of the counts; or None.
        batches: the batch of each cell as text, shape (cells,); None where the file counts as one batch.
        known: the column of the label that each cell is known to have, -1 where unknown, shape (cells,); or None.
    """

    matrix: np.ndarray | None = None
    batches: np.ndarray | None = None
    known: np.ndarray | None = None

    def rows(self, rows: Any) -> "CellsInFile":
        """Return the same facts of some of the cells."""
        return CellsInFile(*(None if values is None else values[rows] for values in vars(self).values()))


@dataclass(frozen=True)
class PlacedCells:
    """How the cells of one file are placed while their chunks are named.

    Attributes:
        axes: fitted to the counts; None where `cells.matrix` says where cells lie, or where nothing does.
        cells: what is known of them besides.
        seed: random seed of the sample.
        batch_method: how batches are moved onto one another, where cells have batches.
    """

    axes: CellComponents | None = None
    cells: CellsInFile = CellsInFile()
    seed: int = 0
    batch_method: BatchMethod = "mean"

    @classmethod
    def of(cls, source: CellSource, cells: CellsInFile, *, rows_per_chunk: int, seed: int = 0) -> "PlacedCells | str":
        """Fit axes to the file; where it has too little to fit to, return the reason in words.

        Args:
            source: the opened data; read once here, where no matrix is given.
            cells: what is known of its cells besides.
            rows_per_chunk: cells read at once.
            seed: random seed of the sample.
        """
        if source.n_cells < LEAST_CELLS:
            return f"the file has {source.n_cells} cells, and cells name each other from {LEAST_CELLS} on"
        if cells.matrix is not None:
            return cls(None, cells, seed)
        try:
            axes = CellComponents.fit((chunk.counts for chunk in source.chunks(rows_per_chunk)), seed=seed)
        except TooFewCells:
            return "the counts of its cells do not differ"
        return cls(axes, cells, seed)

    @property
    def refines(self) -> bool:
        """Whether it is known where cells lie."""
        return self.axes is not None or self.cells.matrix is not None

    def facts(self, counts: sparse.csr_matrix) -> dict[str, np.ndarray]:
        """Return what a chunk keeps of its cells: their numbers and, with axes, their components (float32)."""
        facts = {NUMBERS: cell_numbers(counts, seed=self.seed)}
        if self.axes is not None:
            facts[COMPONENTS] = self.axes.transform(counts).astype(np.float32)
        return facts


@dataclass(frozen=True)
class Block:
    """Some cells as the refinement takes them.

    Attributes:
        similarity: similarity of the cells with each label, shape (cells, labels); NaN for a cell without a known gene.
        places: where they lie, shape (cells, components), batches moved onto one another; None where nothing says.
        cells: what is known of them besides.
        margin: how much more the labels say than the other types (`scoring.other_types`), shape (cells,); or None.
    """

    similarity: np.ndarray
    places: np.ndarray | None
    cells: CellsInFile
    margin: np.ndarray | None = None

    def rows(self, rows: np.ndarray) -> "Block":
        """Return some of the cells."""
        places, margin = (None if values is None else values[rows] for values in (self.places, self.margin))
        return Block(self.similarity[rows], places, self.cells.rows(rows), margin)


class NamedFile:
    """The cells of a file after each of them was named alone.

    Args:
        parts: results of the cells, with columns "known", "similarity" and those of `PlacedCells.facts`.
        placed: how they were placed.
        with_types: whether there is a column "margin", too.
    """

    def __init__(self, parts: ResultParts, placed: PlacedCells, *, with_types: bool = False) -> None:
        self._parts, self.placed, self._with_types = parts, placed, with_types

    @cached_property
    def sample(self) -> Block:
        """The cells with the smallest numbers, in the order of the numbers; known cells come first."""
        sample = self._sample_as_it_is
        return replace(sample, places=self._moved(sample.places, sample.cells))

    def blocks(self) -> Iterator[Block]:
        """Yield the cells chunk by chunk in the order of the file."""
        for block in self._blocks_as_they_are():
            yield replace(block, places=self._moved(block.places, block.cells))

    def _blocks_as_they_are(self) -> Iterator[Block]:
        more = [*([] if self.placed.axes is None else [COMPONENTS]), *([MARGIN] if self._with_types else [])]
        start = 0
        for known, similarity, *read in self._parts.read("known", "similarity", *more):
            found, cells = dict(zip(more, read, strict=True)), self.placed.cells.rows(slice(start, start + len(known)))
            places = found.get(COMPONENTS, cells.matrix)
            yield Block(np.where(known[:, None], similarity, np.nan), places, cells, found.get(MARGIN))
            start += len(known)

    @cached_property
    def _moves(self) -> BatchMoves | None:
        """How batches are moved onto one another; None where nothing is moved."""
        sample = self._sample_as_it_is if self.placed.cells.batches is not None else None
        if sample is None or sample.places is None:
            return None
        assert sample.cells.batches is not None
        return fit_moves(self.placed.batch_method, sample.places, sample.cells.batches, seed=self.placed.seed)

    @cached_property
    def sampled_rows(self) -> np.ndarray:
        """Rows of the cells with the smallest numbers, in the order of the numbers; known cells come first."""
        numbers = np.concatenate([block for (block,) in self._parts.read(NUMBERS)])
        if self.placed.cells.known is None:
            return smallest(numbers, MOST_CELLS)
        taught = np.flatnonzero(self.placed.cells.known >= 0)
        others = np.flatnonzero(self.placed.cells.known < 0)
        taught = taught[smallest(numbers[taught], MOST_CELLS)]
        return np.concatenate([taught, others[smallest(numbers[others], MOST_CELLS - len(taught))]])

    @cached_property
    def _sample_as_it_is(self) -> Block:
        rising, start, found = np.sort(self.sampled_rows), 0, []
        for block in self._blocks_as_they_are():
            inside = rising[(rising >= start) & (rising < start + len(block.similarity))] - start
            places = None if block.places is None else block.places[inside]
            margin = None if block.margin is None else block.margin[inside]
            found.append(Block(block.similarity[inside], places, block.cells.rows(inside), margin))
            start += len(block.similarity)
        together = _join(found)
        order = np.searchsorted(rising, self.sampled_rows)
        places = None if together.places is None else together.places[order]
        margin = None if together.margin is None else together.margin[order]
        return Block(together.similarity[order], places, together.cells.rows(order), margin)

    def _moved(self, places: np.ndarray | None, cells: CellsInFile) -> np.ndarray | None:
        """Return places of cells, batches moved onto one another."""
        if self._moves is None or places is None or cells.batches is None:
            return places
        return self._moves.moved(places, cells.batches)


def read_batches(source: CellSource, column: str) -> np.ndarray:
    """Return the batch of each cell as text, shape (cells,); a missing value is a batch of its own, "".

    Raises:
        ValueError: no such column.
    """
    values = read_column(source, column, "batch column")
    return np.array(["" if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)])


def known_labels(given: Iterable[object], where: str, labels: Sequence[Label]) -> np.ndarray:
    """Return the column of the label that each cell is known to have, int64, shape (cells,); -1 where unknown.

    A value is a label if it is its name or is read as the same Cell Ontology term; words that say nothing are none.

    Args:
        given: a value for each cell.
        where: they are from, for errors.
        labels: in the order of the columns.

    Raises:
        ValueError: no known cell, or a value that is none of the labels.
    """
    values = read_label_column(given).values
    code = {label.name: place for place, label in enumerate(labels)}
    by_term = {label.ontology_term_id: place for place, label in enumerate(labels) if label.ontology_term_id}
    types = sorted({value for value in values if value})
    if not types:
        raise ValueError(f"{where} has a label for no cell; name the labels that are known.")
    if len(others := [name for name in types if name not in code]) > 0:
        code |= {name: by_term[term] for name in others if (term := _term_id_of(name)) in by_term}
    if strange := [name for name in types if name not in code]:
        names = ", ".join(repr(label.name) for label in labels)
        raise ValueError(
            f"{where} has {', '.join(map(repr, strange[:5]))}, which is none of the labels; they are {names}."
        )
    return np.array([code[value] if value else -1 for value in values], dtype=np.int64)


def _term_id_of(name: str) -> str | None:
    """Return the Cell Ontology term that a word means; None where it means none, or several."""
    try:
        return look_up(LabelEntry(name), Ontology.cellxgene()).ontology_term_id
    except ValueError:
        return None


def read_column(source: CellSource, column: str, what: str) -> Any:
    """Return a column of obs.

    Args:
        source: the opened data.
        column: its name.
        what: what the column is, for the error.

    Raises:
        ValueError: no such column.
    """
    if column not in source.obs_columns:
        raise ValueError(f"unknown {what} {column!r}; obs has {[str(name) for name in source.obs_columns]}")
    return source.metadata([column], 0, source.n_cells)[column]


def _join(blocks: list[Block]) -> Block:
    def joined(values: list[Any]) -> Any:
        return None if values[0] is None else np.concatenate(values)

    cells = CellsInFile(*(joined([getattr(b.cells, name) for b in blocks]) for name in ("matrix", "batches", "known")))
    similarity, places, margin = (joined([getattr(b, n) for b in blocks]) for n in ("similarity", "places", "margin"))
    return Block(similarity, places, cells, margin)
