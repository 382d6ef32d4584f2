"""Reading cells: ranked chunks that are ready to be batched, and how much of the data the vocabulary covers."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from langcell.inference.running.prefetch import prefetched
from langcell.loading.loaded import LoadedModel
from langcell.processing.cells.anndata_io import CellChunk, CellSource
from langcell.processing.rank_values import RankedCells, rank_encode
from langcell.processing.reference_cells import MeasuredReference, ReferenceCells

# What a run keeps of the cells of a chunk besides the model's results: column name -> one row per cell.
ChunkFacts = Callable[[sparse.csr_matrix], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Coverage:
    """How much of the data the gene vocabulary covers.

    Attributes:
        genes: share of the data's genes that are in the vocabulary.
        counts: share of the counts that are on those genes.
        unknown_cells: cells without any known gene.
        cells: all cells.
    """

    genes: float
    counts: float
    unknown_cells: int
    cells: int

    def __str__(self) -> str:
        text = f"{self.genes:.1%} of the genes and {self.counts:.1%} of the counts are in the model's vocabulary"
        if self.unknown_cells:
            text += f"; {self.unknown_cells} of {self.cells} cells have no known gene"
        return text


class RankedChunk(NamedTuple):
    """Some cells, ready to be batched.

    Attributes:
        start: first row.
        ranked: the cells.
        weights: weights of the reference cells, float32, shape (cells, reference cells); None without these.
        facts: what else is kept of the cells, from their counts.
    """

    start: int
    ranked: RankedCells
    weights: np.ndarray | None
    facts: Mapping[str, np.ndarray]


def ranked_chunks(
    source: CellSource,
    loaded: LoadedModel,
    gene_index: np.ndarray,
    starts: Iterable[int],
    rows_per_chunk: int,
    reference: MeasuredReference | None = None,
    facts_of: ChunkFacts | None = None,
) -> Generator[RankedChunk]:
    """Return the chunks of ranked cells; one thread reads ahead, another tokenizes.

    Args:
        source: the opened data.
        loaded: model with the vocabulary that genes are ranked by.
        gene_index: place of each of the data's genes in the vocabulary, or -1.
        starts: first rows of the chunks that are wanted.
        rows_per_chunk: cells of a chunk; the last has fewer.
        reference: cells that each cell is compared with.
        facts_of: returns what else is kept of a chunk's cells, from their counts.
    """
    chunks = _read_chunks(source, starts, rows_per_chunk)
    return prefetched(_rank_chunks(prefetched(chunks), loaded, gene_index, reference, facts_of))


def _read_chunks(source: CellSource, starts: Iterable[int], rows_per_chunk: int) -> Generator[CellChunk]:
    for start in starts:
        yield from source.chunks(rows_per_chunk, start=start, stop=min(start + rows_per_chunk, source.n_cells))


def _rank_chunks(
    chunks: Generator[CellChunk],
    loaded: LoadedModel,
    gene_index: np.ndarray,
    reference: MeasuredReference | None,
    facts_of: ChunkFacts | None,
) -> Generator[RankedChunk]:
    extractor = loaded.processor.feature_extractor
    longest = extractor.max_length if reference is None else max(extractor.max_length, ReferenceCells.genes_read)
    torch.set_num_threads(1)  # of this thread; the others belong to batches
    with closing(chunks):
        for chunk in chunks:
            ranked = rank_encode(chunk.counts, gene_index, extractor.vocabulary, max_length=longest)
            weights = None if reference is None else reference.weights(ranked)
            facts = {} if facts_of is None else facts_of(chunk.counts)
            yield RankedChunk(chunk.start, ranked.shortened(extractor.max_length), weights, facts)
