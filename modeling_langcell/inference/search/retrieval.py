"""Cells that fit a text, and texts that fit a cell, over saved cell embeddings: `langcell.retrieve`."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from langcell.encoders_langcell import EncodedTexts
from langcell.inference.running.job import InferenceJob, model_facts
from langcell.inference.running.options import ReadingOptions
from langcell.inference.scoring.pair_matches import CellReader, match_pairs
from langcell.inference.scoring.texts import encode_label_texts
from langcell.inference.search.nearest import search_exact
from langcell.inference.search.options import SearchOptions
from langcell.inference.search.sentences import (
    SENTENCES_FILE,
    mean_states,
    no_fit_note,
    reading_note,
    search_by_types,
    sentence_types_of,
)
from langcell.inference.search.unseen_types import rank_below_known
from langcell.loading.loaded import LoadedScorer
from langcell.loading.options import ModelOptions
from langcell.processing.cells.anndata_io import Source
from langcell.processing.cells.embedding_store import EmbeddingStore, open_embeddings
from langcell.processing.labels.resolve import Label, resolve_labels, resolve_query
from langcell.processing.options import from_keywords, takes

if TYPE_CHECKING:
    from langcell.inference.search.faiss_index import FaissIndex

COLUMNS = ("query", "rank", "found", "row", "score", "similarity", "match")

Texts = Sequence[str] | Sequence[Label]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidates:
    """What was found for each query, best first, before re-ranking.

    Attributes:
        similarity: cosine, float32, (queries, found).
        place: row of the cell, or place of the text, int64, (queries, found).
        score: what the order follows, float32, (queries, found); the similarity where it is None.
        notes: what there is to say of the queries.
    """

    similarity: np.ndarray
    place: np.ndarray
    score: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> np.ndarray:
        """What the order follows, (queries, found)."""
        return self.similarity if self.score is None else self.score


@takes(SearchOptions, ModelOptions, ReadingOptions)
def retrieve(
    store: Source,
    texts: Texts | None = None,
    *,
    cells: Sequence[str | int] | None = None,
    counts: Source | None = None,
    index: "str | Path | FaissIndex | None" = None,
    **options: Any,
) -> pd.DataFrame:
    """Find the cells that fit each text or, with `cells`, the texts that fit each cell.

    The search is exact and reads the embeddings block by block, so that memory does not grow with their number. With
    `rerank`, the best candidates by similarity are read again, as counts, and put in the order of the score of
    zero-shot naming, with the candidates in place of the labels.

    Args:
        store: h5ad file or zarr folder that `langcell embed` or `langcell annotate` wrote, a .npy file that
            `save_embeddings` wrote, or an AnnData.
        texts: sentences, names or ids of cell types (which get their definition as text), or `Label` objects. To
            search texts for cells, the candidates: the types that the model was trained on when None.
        cells: names of cells (obs_names) or their rows: find texts for these.
        counts: where the cells' counts are when not in the store; the same cells in the same order.
        index: path of a faiss index of the store (made where there is none), or an opened one: approximate search for
            stores beyond some ten million cells. Needs the extra "scale".
        {options}

    Returns:
        One row for each query and find: `query` (the text's name, or the cell's), `rank` (1 is best), `found` (name of
        the cell, or of the text), `row` (of the cell in the store), `score` (what the order follows), `similarity`
        (cosine) and `match` (probability; NaN where it was not evaluated). Without re-ranking the score is the
        similarity; of a sentence that names no type it says how well the cell's type fits what the sentence speaks of
        (1: as a typical cell of that type; see `sentences`), where the model's folder can tell. A type of which the
        training had no cell comes after the known types above it (`unseen_types`). With re-ranking the score is
        alpha * softmax(similarity / temperature) + (1 - alpha) * softmax(match), both over the
        candidates of the query. A cell without any known gene is never re-ranked and comes last.
        `attrs["notes"]` says what each sentence is read as, and where no cell fits.

    Raises:
        ValueError: unusable store, texts, cells or options; or a store that another model made.
        TypeError: an option that does not exist.
    """
    search, model, reading = from_keywords(options, SearchOptions, ModelOptions, ReadingOptions, function="retrieve")
    with ExitStack() as stack:
        opened = stack.enter_context(open_embeddings(store))
        # The model has to be the one that made the store.
        loaded, torch_dtype = InferenceJob.of(store, None, model, reading).load()
        check_made_by(opened, loaded)
        labels = _labels(texts, loaded, for_cells=cells is not None)
        encoded = encode_label_texts(loaded, labels)
        wanted = max(search.top_k, search.rerank)
        rows = None if cells is None else _rows(opened, cells)
        if rows is None:
            found = _nearest_cells(opened, encoded, wanted, index, loaded.model.device)
            found = _with_sentences_read(opened, found, encoded, labels, loaded, by_index=index is not None)
        else:
            found = _nearest_texts(opened, encoded, wanted, rows, labels, loaded)
        match = None
        if search.rerank:
            reader = stack.enter_context(CellReader(store if counts is None else counts, opened.n_cells, reading))
            loaded.compute_in(torch_dtype)
            match = _match(loaded, encoded.in_dtype(torch_dtype), reader, found, rows)
        alpha = search.alpha_of(loaded.config.alpha)
        if search.rerank and search.alpha is None and alpha != loaded.config.alpha:
            log.info(
                "Re-ranked with alpha %s, the paper's; the model's own, %s, ends the match.", alpha, loaded.config.alpha
            )
        notes = found.notes
        found, score, match = _in_order(found, match, alpha, loaded.config.logit_temperature)
        table = _table(opened, labels, rows, found, score, match, search.top_k)
        table.attrs["notes"] = list(notes)
        return table


def check_made_by(store: EmbeddingStore, loaded: LoadedScorer) -> None:
    """Refuse a store whose embeddings another model made: its vectors mean nothing to this one.

    Raises:
        ValueError: weights or gene vocabulary differ; the message names both.
    """
    facts = model_facts(loaded)
    for key, what in (("vocabulary_fingerprint", "gene vocabulary"), ("model_revision", "weights")):
        if store.settings[key] != facts[key]:
            made_by, here = (f"{of.get('model_id')} ({str(of[key])[:12]})" for of in (store.settings, facts))
            raise ValueError(
                f"{store.name}: its embeddings were made by {made_by}, but the model is {here}: another {what}; "
                "search with the model that made them, or embed the cells again."
            )
    if store.dim != loaded.config.projection_dim:
        raise ValueError(f"{store.name}: embeddings of {store.dim}, but the model has {loaded.config.projection_dim}.")


def _labels(texts: Texts | None, loaded: LoadedScorer, *, for_cells: bool) -> list[Label]:
    if isinstance(texts, str):
        raise ValueError(f"texts is one string; give a list: [{texts!r}].")
    if texts is not None:
        if not texts:
            raise ValueError("There are no texts; give at least one.")
        return [text if isinstance(text, Label) else resolve_query(text) for text in texts]
    if not for_cells:
        raise ValueError("Say what to look for: texts to find cells, or cells to find texts.")
    if not loaded.config.training_cell_types:
        raise ValueError("This model does not list the types that it was trained on; give the texts to choose from.")
    return resolve_labels(loaded.config.training_cell_types)


def _rows(store: EmbeddingStore, cells: Sequence[str | int]) -> np.ndarray:
    """Rows of cells given by name or row, in their order."""
    if isinstance(cells, str) or not len(cells):
        raise ValueError(f"cells is {cells!r}; give a list of names or rows.")
    names = [cell for cell in cells if isinstance(cell, str)]
    row_of = dict(zip(names, store.rows_of(names), strict=True)) if names else {}
    rows = [row_of[cell] if isinstance(cell, str) else int(cell) for cell in cells]
    return np.array(store.check_rows(rows), dtype=np.int64)


def _nearest_cells(
    store: EmbeddingStore,
    encoded: EncodedTexts,
    k: int,
    index: "str | Path | FaissIndex | None",
    device: torch.device,
) -> Candidates:
    queries = encoded.embeds.cpu().numpy()
    if index is None:
        return Candidates(*search_exact(store.blocks(), queries, k, device=device))
    from langcell.inference.search.faiss_index import FaissIndex

    opened = index if isinstance(index, FaissIndex) else FaissIndex.open_or_build(index, store)
    opened.check_store(store)
    return Candidates(*opened.search(store, queries, k))


def _with_sentences_read(
    store: EmbeddingStore,
    found: Candidates,
    encoded: EncodedTexts,
    labels: Sequence[Label],
    loaded: LoadedScorer,
    *,
    by_index: bool,
) -> Candidates:
    """Return the finds, those of sentences replaced by the cells of the types they speak of; say where nothing fits."""
    sentences = [place for place, label in enumerate(labels) if label.match == "given"]
    reader = None if by_index else sentence_types_of(loaded)
    if reader is None:
        why = "an index knows embeddings alone" if by_index else f"{loaded.model_id} has no {SENTENCES_FILE} at hand"
        return _noted(found, [f"{labels[place].text!r} is compared with cells as it is: {why}." for place in sentences])
    notes = [no_fit_note(label, reader, store.at(rows)) for label, rows in zip(labels, found.place, strict=True)]
    if sentences:
        shares = reader.read(mean_states(loaded, [labels[place].text for place in sentences]))  # pyright: ignore[reportArgumentType]  # it has a reader, so it is of torch
        scores, rows = search_by_types(store.blocks(), reader, shares, found.place.shape[1])
        found = Candidates(found.similarity.copy(), found.place.copy(), found.similarity.copy())
        embeds = encoded.embeds.cpu().numpy()
        for number, query in enumerate(sentences):
            found.place[query], found.scores[query] = rows[number], scores[number]
            found.similarity[query] = store.at(rows[number]).astype(np.float32) @ embeds[query]
            notes[query] = reading_note(labels[query].text, reader, shares[number], float(scores[number, 0]))
    return _noted(found, [note for note in notes if note])


def _noted(found: Candidates, notes: Sequence[str]) -> Candidates:
    for note in notes:
        log.info(note)
    return replace(found, notes=tuple(notes))


def _nearest_texts(
    store: EmbeddingStore,
    encoded: EncodedTexts,
    k: int,
    rows: np.ndarray,
    labels: Sequence[Label],
    loaded: LoadedScorer,
) -> Candidates:
    """Return the best texts of each cell; there are few texts, so that all of them are compared at once."""
    cells = store.at(rows).astype(np.float32)
    similarity = cells @ encoded.embeds.cpu().numpy().T
    score = rank_below_known(
        similarity, [label.ontology_term_id for label in labels], loaded.config.training_cell_types
    )
    place = np.argsort(-score, axis=1, kind="stable")[:, :k]
    return Candidates(np.take_along_axis(similarity, place, 1), place, np.take_along_axis(score, place, 1))


def _match(
    loaded: LoadedScorer, encoded: EncodedTexts, reader: CellReader, found: Candidates, rows: np.ndarray | None
) -> np.ndarray:
    """Match probability of every candidate, NaN for cells without any known gene; (queries, found)."""
    query = np.broadcast_to(np.arange(len(found.place))[:, None], found.place.shape)
    pair_rows, pair_texts = (found.place, query) if rows is None else (rows[query], found.place)
    match = match_pairs(loaded, encoded, reader, pair_rows.ravel(), pair_texts.ravel())
    return match.reshape(found.place.shape)


def _in_order(
    found: Candidates, match: np.ndarray | None, alpha: float, temperature: float
) -> tuple[Candidates, np.ndarray, np.ndarray]:
    """Candidates, scores and match probabilities in the order of the score."""
    if match is None:
        return found, found.scores, np.full_like(found.similarity, np.nan)
    known = ~np.isnan(match)
    logits = np.where(known, found.similarity / temperature, -np.inf)
    both = [torch.from_numpy(values).float() for values in (logits, np.where(known, match, -np.inf))]
    # A query whose candidates have no known gene at all has no score: its softmax is NaN.
    score = (alpha * both[0].softmax(-1) + (1 - alpha) * both[1].softmax(-1)).numpy()
    score[~known] = np.nan
    order = np.argsort(np.where(known, -score, np.inf), axis=1, kind="stable")
    similarity, place, score, match = (
        np.take_along_axis(values, order, axis=1) for values in (found.similarity, found.place, score, match)
    )
    return Candidates(similarity, place), score, match


def _table(
    store: EmbeddingStore,
    labels: Sequence[Label],
    rows: np.ndarray | None,
    found: Candidates,
    score: np.ndarray,
    match: np.ndarray,
    top_k: int,
) -> pd.DataFrame:
    place, n_found = found.place[:, :top_k], min(top_k, found.place.shape[1])
    text_names = np.array([label.name for label in labels], dtype=object)
    if rows is None:
        queries, names, cell_rows = text_names, np.array(store.names_of(place.ravel()), dtype=object), place.ravel()
    else:
        queries, names = np.array(store.names_of(rows), dtype=object), text_names[place.ravel()]
        cell_rows = np.repeat(rows, n_found)
    values = (part[:, :top_k].ravel() for part in (score, found.similarity, match))
    columns = (np.repeat(queries, n_found), np.tile(np.arange(1, n_found + 1), len(queries)), names, cell_rows, *values)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
