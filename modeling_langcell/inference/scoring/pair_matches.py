"""Match probabilities of chosen (cell, text) pairs, the cells read from where their counts are."""

from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from scipy import sparse

from langcell.encoders_langcell import EncodedTexts
from langcell.inference.running.batching import token_batches
from langcell.inference.running.memory import find_max_batch_tokens
from langcell.inference.running.options import ReadingOptions
from langcell.loading.loaded import LoadedModel, LoadedScorer
from langcell.processing.cells.anndata_io import Source, open_cells
from langcell.processing.cells.embedding_store import row_spans, wanted_in
from langcell.processing.cells.gene_index import gene_index_of
from langcell.processing.rank_values import RankedCells, rank_encode
from langcell.scoring_langcell import TOKENS_PER_MATCH
from langcell.text_blocks_langcell import match_chosen

_CELLS_AT_ONCE = 2000


class CellReader:
    """Cells of a data set by row, ranked; use it as a context manager.

    Args:
        source: where the counts are.
        n_cells: how many cells there have to be.
        options: how they are read.

    Raises:
        ValueError: no counts there, or another number of cells.
    """

    def __init__(self, source: Source, n_cells: int, options: ReadingOptions) -> None:
        if isinstance(source, str | Path) and Path(source).suffix == ".npy":
            raise ValueError(f"{source} holds no counts; say where they are (counts=..., --counts) to re-rank.")
        self.options = options
        self.cells = open_cells(source, **options.source)
        if self.cells.n_cells != n_cells:
            found = self.cells.n_cells
            self.cells.close()
            raise ValueError(f"There are {found} cells with counts, but {n_cells} embeddings; give the same cells.")

    def __enter__(self) -> "CellReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cells.close()

    def ranked(self, rows: np.ndarray, loaded: LoadedModel) -> RankedCells:
        """Return cells in these rows (sorted, distinct), as ranked genes."""
        extractor = loaded.processor.feature_extractor
        gene_index = gene_index_of(self.cells, extractor)
        counts = [
            chunk.counts[wanted_in(rows, start, stop) - start]
            for start, stop in row_spans(rows)
            for chunk in self.cells.chunks(stop - start, start=start, stop=stop)
        ]
        stacked = sparse.csr_matrix(sparse.vstack(counts, format="csr"))
        return rank_encode(stacked, gene_index, extractor.vocabulary, max_length=extractor.max_length)


@torch.inference_mode()
def match_pairs(
    loaded: LoadedScorer, texts: EncodedTexts, reader: CellReader, rows: np.ndarray, text_places: np.ndarray
) -> np.ndarray:
    """Match probability of each pair, float32, (pairs,); NaN where the cell has no known gene.

    Every cell is read and encoded once, whatever the number of its pairs.

    Args:
        loaded: the model.
        texts: encoded by it.
        reader: where the cells come from.
        rows: row of each pair's cell, (pairs,).
        text_places: place of each pair's text among `texts`, (pairs,).
    """
    match = np.full(len(rows), np.nan, dtype=np.float32)
    cells, cell_of_pair = np.unique(rows, return_inverse=True)
    budget = reader.options.max_batch_tokens or find_max_batch_tokens(loaded.model)
    for begin in range(0, len(cells), _CELLS_AT_ONCE):
        ranked = reader.ranked(cells[begin : begin + _CELLS_AT_ONCE], loaded)
        known = np.flatnonzero(ranked.n_known_genes > 0)
        for batch in token_batches(ranked.lengths[known], budget):
            chosen = known[batch]
            pairs = np.flatnonzero(np.isin(cell_of_pair, chosen + begin))
            place_in_batch = np.argsort(chosen)[np.searchsorted(np.sort(chosen), cell_of_pair[pairs] - begin)]
            match[pairs] = _match_batch(
                loaded, texts, [ranked[cell] for cell in chosen], place_in_batch, text_places[pairs]
            )
    return match


def _match_batch(
    loaded: LoadedScorer, texts: EncodedTexts, cells: list[np.ndarray], cell_places: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Match probabilities of pairs (place of the cell in the batch, place of the text), (pairs,)."""
    device = loaded.encoders.device
    batch = loaded.processor.feature_extractor.pad(cells)
    encoded = loaded.encoders.encode_cells(*(torch.from_numpy(batch[name]).to(device) for name in batch))
    evaluate = match_chosen(loaded.encoders, texts, encoded, tokens_per_match=TOKENS_PER_MATCH)
    match = np.empty(len(places), dtype=np.float32)
    order = np.argsort(cell_places, kind="stable")
    n_pairs = np.bincount(cell_places, minlength=len(cells))
    firsts = np.cumsum(n_pairs) - n_pairs
    # One call serves all cells with the same number of texts.
    for count in np.unique(n_pairs[n_pairs > 0]):
        alike = np.flatnonzero(n_pairs == count)
        pairs = order[firsts[alike][:, None] + np.arange(count)]
        rows, columns = (torch.from_numpy(index).to(device) for index in (alike, places[pairs]))
        match[pairs] = evaluate(rows, columns).cpu().numpy()
    return match
