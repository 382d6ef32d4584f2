"""Cells of a file are kept while they are named, and read again in the same way whatever the chunks were."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from langcell.inference.refinement import placing
from langcell.inference.refinement.placing import CellsInFile, NamedFile, PlacedCells
from langcell.inference.running.parts import MemoryParts

N_CELLS = 60


def named_file(cells: CellsInFile, *, rows_per_chunk: int = 7, order: np.ndarray | None = None) -> NamedFile:
    """Counts and similarities of some cells, kept in chunks as a run keeps them."""
    rng = np.random.default_rng(5)
    order = np.arange(N_CELLS) if order is None else order
    counts = sparse.csr_matrix(rng.poisson(2.0, (N_CELLS, 12)))[order]
    similarity = rng.normal(size=(N_CELLS, 3)).astype(np.float32)[order]
    placed, parts = PlacedCells(None, cells), MemoryParts()
    for start in range(0, N_CELLS, rows_per_chunk):
        rows = slice(start, start + rows_per_chunk)
        facts = placed.facts(counts[rows])
        parts.add(start, {"similarity": similarity[rows], "known": np.ones(len(similarity[rows]), bool), **facts})
    return NamedFile(parts, placed)


def places(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_CELLS, 4)).astype(np.float32)


def test_the_sample_is_the_same_for_any_chunks_and_any_order(monkeypatch):
    monkeypatch.setattr(placing, "MOST_CELLS", 20)
    matrix, order = places(), np.random.default_rng(1).permutation(N_CELLS)
    first = named_file(CellsInFile(matrix)).sample
    chunked = named_file(CellsInFile(matrix), rows_per_chunk=60).sample
    shuffled = named_file(CellsInFile(matrix[order]), order=order).sample
    assert first.similarity.shape == (20, 3)
    for other in (chunked, shuffled):
        assert_array_equal(other.similarity, first.similarity)
        assert_array_equal(other.places, first.places)


def test_known_cells_are_in_the_sample_whatever_their_number(monkeypatch):
    monkeypatch.setattr(placing, "MOST_CELLS", 5)
    known = np.full(N_CELLS, -1)
    known[[3, 40, 59]] = [0, 1, 1]
    sample = named_file(CellsInFile(places(), known=known)).sample
    assert sorted(sample.cells.known[:3]) == [0, 1, 1]
    assert (sample.cells.known[3:] == -1).all()


def test_batches_are_moved_onto_one_another():
    batches = np.where(np.arange(N_CELLS) % 2, "x", "y")
    matrix = places() + np.where(batches == "x", 5.0, 0.0)[:, None].astype(np.float32)

    def apart(file: NamedFile) -> float:
        found = np.concatenate([block.places for block in file.blocks()])
        return float(np.linalg.norm(found[batches == "x"].mean(0) - found[batches == "y"].mean(0)))

    assert apart(named_file(CellsInFile(matrix))) > 8
    assert apart(named_file(CellsInFile(matrix, batches))) < 0.4 * apart(named_file(CellsInFile(matrix)))


def test_blocks_come_in_the_order_of_the_file():
    matrix = places()
    found = [block.places for block in named_file(CellsInFile(matrix)).blocks()]
    assert_array_equal(np.concatenate(found), matrix)
    assert len(found) == pytest.approx(N_CELLS / 7, abs=1)
