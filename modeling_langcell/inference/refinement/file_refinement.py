"""From one answer per cell to answers that the cells of a file agree on: what is read, fitted and applied, and when.

1. Before naming, axes are fitted to a sample of the file's counts (`components`). A matrix of obsm takes their place.
2. While cells are named, each chunk also keeps where its cells lie and one number per cell (`sampling`).
3. After naming, a mixture is fitted to the cells with the smallest numbers (`mixture`) and applied chunk by chunk.

Neither step depends on the chunks, on the order of the cells, or on the number of processes. Memory holds one sample
of at most `mixture.MOST_CELLS` cells, whatever the size of the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from langcell.inference.refinement.components import CellComponents
from langcell.inference.refinement.mixture import LEAST_CELLS, MOST_CELLS, LabelMixture
from langcell.inference.refinement.sampling import cell_numbers, smallest
from langcell.inference.running.parts import Parts
from langcell.processing.cells.anndata_io import CellSource

NUMBERS = "cell_number"
COMPONENTS = "components"


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
        axes: fitted to the counts; None where `cells.matrix` says where cells lie.
        cells: what is known of them besides.
        seed: of the sample.
    """

    axes: CellComponents | None
    cells: CellsInFile
    seed: int = 0

    @classmethod
    def of(cls, source: CellSource, cells: CellsInFile, *, rows_per_chunk: int, seed: int = 0) -> "PlacedCells | str":
        """Fit axes to the file; where it has too little to fit to, return the reason in words.

        Args:
            source: the opened data; read once here, where no matrix is given.
            cells: what is known of its cells besides.
            rows_per_chunk: cells read at once.
            seed: of the sample.
        """
        if source.n_cells < LEAST_CELLS:
            return f"the file has {source.n_cells} cells; refinement needs at least {LEAST_CELLS}"
        if cells.matrix is not None:
            return cls(None, cells, seed)
        try:
            axes = CellComponents.fit((chunk.counts for chunk in source.chunks(rows_per_chunk)), seed=seed)
        except ValueError as error:
            if "components need two different cells" not in str(error) and "holds no cell" not in str(error):
                raise
            return "the cells do not differ"
        return cls(axes, cells, seed)

    def facts(self, counts: sparse.csr_matrix) -> dict[str, np.ndarray]:
        """Return what a chunk keeps of its cells: their numbers and, without a matrix, their components (float32)."""
        facts = {NUMBERS: cell_numbers(counts, seed=self.seed)}
        if self.axes is not None:
            facts[COMPONENTS] = self.axes.transform(counts).astype(np.float32)
        return facts


@dataclass(frozen=True)
class Block:
    """Some neighbouring cells as the mixture takes them.

    Attributes:
        similarity: of the cells with each label, shape (cells, labels); NaN for a cell without a known gene.
        places: where they lie, shape (cells, components).
        cells: what is known of them besides.
    """

    similarity: np.ndarray
    places: np.ndarray
    cells: CellsInFile


class FileRefinement:
    """The refinement of one file, fitted after all of its cells were named alone.

    Args:
        parts: results of the cells, with columns "known", "similarity" and those of `PlacedCells.facts`.
        placed: how they were placed.
    """

    def __init__(self, parts: Parts, placed: PlacedCells) -> None:
        self._parts, self._placed = parts, placed
        rows = self._sampled_rows()
        sample = _join(list(self._of_rows(rows)))
        order = np.searchsorted(np.sort(rows), rows)
        sample = Block(sample.similarity[order], sample.places[order], sample.cells.rows(order))
        self._offsets = _batch_offsets(sample.places, sample.cells.batches)
        self.n_sampled = len(rows)
        self.mixture = LabelMixture.fit(sample.similarity, self._centred(sample), known=sample.cells.known)

    def settings(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return what uns["langcell"] says of the refinement; `labels` are the names in order."""
        absent = np.flatnonzero(~self.mixture.present).tolist()
        return {"refined_with_cells": self.n_sampled, "labels_without_evidence": [labels[code] for code in absent]}

    def posteriors(self) -> Iterator[np.ndarray]:
        """Yield the probabilities of the labels chunk by chunk, float64, shape (cells, labels)."""
        for block in self.blocks():
            yield self.posterior(block)

    def posterior(self, block: Block) -> np.ndarray:
        """Return the probabilities of the labels for some cells, float64, shape (cells, labels); rows sum to 1."""
        return self.mixture.posterior(block.similarity, self._centred(block), known=block.cells.known)

    def places(self) -> Iterator[np.ndarray]:
        """Yield where the cells lie chunk by chunk, shape (cells, components), batches moved onto one another."""
        for block in self.blocks():
            yield self._centred(block)

    def blocks(self) -> Iterator[Block]:
        """Yield the cells chunk by chunk in the order of the file."""
        names = ("known", "similarity", *(() if self._placed.axes is None else (COMPONENTS,)))
        start = 0
        for known, similarity, *placed in self._parts.read(*names):
            rows = slice(start, start + len(known))
            cells = self._placed.cells.rows(rows)
            places = placed[0] if placed else cells.matrix
            assert places is not None
            yield Block(np.where(known[:, None], similarity, np.nan), places, cells)
            start += len(known)

    def _sampled_rows(self) -> np.ndarray:
        """Rows of the cells that the mixture is fitted to, in the order of their numbers; known cells come first."""
        numbers = np.concatenate([block for (block,) in self._parts.read(NUMBERS)])
        if self._placed.cells.known is None:
            return smallest(numbers, MOST_CELLS)
        taught = np.flatnonzero(self._placed.cells.known >= 0)
        others = np.flatnonzero(self._placed.cells.known < 0)
        taught = taught[smallest(numbers[taught], MOST_CELLS)]
        return np.concatenate([taught, others[smallest(numbers[others], MOST_CELLS - len(taught))]])

    def _of_rows(self, rows: np.ndarray) -> Iterator[Block]:
        """Yield these cells in the order of the file."""
        rising, start = np.sort(rows), 0
        for block in self.blocks():
            inside = rising[(rising >= start) & (rising < start + len(block.places))] - start
            yield Block(block.similarity[inside], block.places[inside], block.cells.rows(inside))
            start += len(block.places)

    def _centred(self, block: Block) -> np.ndarray:
        """Places of cells, less how far the mean of their batch lies from that of all cells."""
        if self._offsets is None:
            return block.places
        assert block.cells.batches is not None
        names, codes = np.unique(block.cells.batches, return_inverse=True)
        nothing = np.zeros(block.places.shape[1])
        return block.places - np.stack([self._offsets.get(str(name), nothing) for name in names])[codes]


def read_batches(source: CellSource, column: str) -> np.ndarray:
    """Return the batch of each cell as text, shape (cells,); a missing value is a batch of its own, "".

    Raises:
        ValueError: no such column.
    """
    if column not in source.obs_columns:
        raise ValueError(f"unknown batch column {column!r}; obs has {[str(name) for name in source.obs_columns]}")
    values = source.metadata([column], 0, source.n_cells)[column]
    return np.array(["" if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)])


def _join(blocks: list[Block]) -> Block:
    def joined(values: list[Any]) -> Any:
        return None if values[0] is None else np.concatenate(values)

    cells = CellsInFile(*(joined([getattr(b.cells, name) for b in blocks]) for name in ("matrix", "batches", "known")))
    return Block(joined([b.similarity for b in blocks]), joined([b.places for b in blocks]), cells)


# A batch of so few cells of the sample is moved halfway.
_CELLS_HALFWAY = 10


def _batch_offsets(places: np.ndarray, batches: np.ndarray | None) -> dict[str, np.ndarray] | None:
    """How far the mean of each batch lies from that of all cells, in components; None without batches.

    Types that one batch alone has are moved with it: an integrated matrix is better where batches differ much.
    """
    if batches is None:
        return None
    used = np.isfinite(places).all(axis=1)
    centre = places[used].mean(axis=0, dtype=np.float64)
    offsets = {}
    for name in np.unique(batches):
        own = places[used & (batches == name)].astype(np.float64)
        offsets[str(name)] = (own.sum(axis=0) - len(own) * centre) / (len(own) + _CELLS_HALFWAY)
    return offsets
