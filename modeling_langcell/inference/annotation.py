"""Naming and embedding the cells of an AnnData: `langcell.annotate` and `langcell.embed`."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor
from tqdm.auto import tqdm

from langcell.inference.batching import DEFAULT_MAX_BATCH_TOKENS, for_each_batch
from langcell.inference.zero_shot import EncodedLabels, check_alpha, check_rerank, encode_labels, score_cells
from langcell.loading import DEFAULT_MODEL, LoadedLangCell, load
from langcell.processing.anndata_io import CellSource, XKind, check_output, open_cells, write_annotated
from langcell.processing.labels import Label, resolve_labels
from langcell.processing.rank_values import RankedCells, rank_encode

logger = logging.getLogger("langcell")

UNASSIGNED = "unassigned"
Model = str | Path | LoadedLangCell


@dataclass(frozen=True)
class ReadingOptions:
    """How the cells are read and batched; the same for naming and embedding.

    Attributes:
        x_is: "counts" (checked), "linear" (TPM, counts per 10k) or "log1p".
        gene_column: column of var with Ensembl ids or symbols; var_names when None.
        layer: where the values are; found when None.
        rows_per_chunk: cells held in memory at once.
        max_batch_tokens: padded tokens in a batch.
        progress: show a progress bar.
    """

    x_is: XKind = "counts"
    gene_column: str | None = None
    layer: str | None = None
    rows_per_chunk: int = 2000
    max_batch_tokens: int = DEFAULT_MAX_BATCH_TOKENS
    progress: bool = True


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


def annotate(
    adata: AnnData | str | Path,
    labels: Sequence[str] | Mapping[str, str] | Sequence[Label],
    *,
    output: str | Path | None = None,
    model: Model = DEFAULT_MODEL,
    alpha: float | None = None,
    rerank: str = "full",
    device: str | None = None,
    dtype: str = "float32",
    **reading: Any,
) -> AnnData | None:
    """Name each cell by the label whose text fits it best, without any labelled cell.

    Args:
        adata: an AnnData (which gets the results) or the path of an h5ad or zarr file (read in chunks).
        labels: a list of names, {name: text}, or resolved `Label`s, in the order in which results keep them. Names
            that the Cell Ontology knows (names, synonyms, ids) get its definition as text, others are used as they are.
        output: h5ad or zarr file to write; required for a path.
        model: folder, Hub id, "langcell-mini", or what `langcell.load` returned.
        alpha: weight of the similarity in the score; the model's own when None.
        rerank: "full", "exact" (the same labels from fewer matches; scores not needed are NaN) or "none", as in
            `score_labels`.
        device: "cpu", "cuda", ...; the best one here when None.
        dtype: "float32", "bfloat16" or "float16".
        reading: fields of `ReadingOptions`: x_is, gene_column, layer, rows_per_chunk, max_batch_tokens, progress.

    Returns:
        The AnnData with obs `langcell_label`, `langcell_ontology_term_id`, `langcell_confidence`, obsm `X_langcell`
        (cell embeddings) and `langcell_scores`, and uns["langcell"]; None when a path was given. A cell without any
        known gene is called "unassigned" with confidence 0.

    Raises:
        ValueError: unusable labels, cells, model or options; nothing is written then.
    """
    _require_output(adata, output)
    resolved = _storable(resolve_labels(labels))
    loaded = model if isinstance(model, LoadedLangCell) else load(model, device=device, dtype=dtype)
    alpha, rerank = check_alpha(loaded.config.alpha if alpha is None else alpha), check_rerank(rerank)
    encoded = _encode_label_texts(loaded, [label.text for label in resolved])

    def score(cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
        scores = score_cells(loaded.model, encoded, cell_input_ids, cell_attention_mask, alpha=alpha, rerank=rerank)
        return scores.score, scores.cell_embeds, (~scores.match.isnan()).sum(-1)

    with open_cells(adata, **_source_options(options := ReadingOptions(**reading))) as source:
        (scores, embeddings, n_matches), known, coverage = _run(source, loaded, options, score, "naming cells")
        obs, obsm = _label_columns(resolved, scores, known, source.obs_names)
    obsm["X_langcell"] = embeddings
    uns = _settings(loaded, coverage, source)
    uns |= {
        "labels": [label.name for label in resolved],
        "label_texts": [label.text for label in resolved],
        "label_ontology_term_ids": [label.ontology_term_id or "" for label in resolved],
        "alpha": float(alpha),
        "rerank": rerank,
        "pairs_evaluated": int(n_matches.sum(dtype=np.int64)),
    }
    return _store(adata, output, obs, obsm, uns)


def embed(
    adata: AnnData | str | Path,
    *,
    output: str | Path | None = None,
    model: Model = DEFAULT_MODEL,
    hidden: bool = False,
    device: str | None = None,
    dtype: str = "float32",
    **reading: Any,
) -> AnnData | None:
    """Add cell embeddings: obsm `X_langcell` (projected, unit length) and, with `hidden`, `X_langcell_hidden`.

    Args and errors are those of `annotate`; `hidden` adds the cell encoder's last state of `<cls>`.
    """
    _require_output(adata, output)
    loaded = model if isinstance(model, LoadedLangCell) else load(model, device=device, dtype=dtype)

    def encode(cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode():
            states = loaded.model.get_cell_states(cell_input_ids, cell_attention_mask)
            embeddings = loaded.model.project_cells(states)
        return (embeddings, states[:, 0]) if hidden else (embeddings,)

    with open_cells(adata, **_source_options(options := ReadingOptions(**reading))) as source:
        found, _, coverage = _run(source, loaded, options, encode, "embedding cells")
    obsm: dict[str, Any] = {"X_langcell": found[0]}
    if hidden:
        obsm["X_langcell_hidden"] = found[1]
    return _store(adata, output, {}, obsm, _settings(loaded, coverage, source))


@dataclass(frozen=True)
class ScoredCells:
    """Both parts of the score of every cell, before alpha joins them (`zero_shot.combine_scores`).

    Attributes:
        similarity: cos / temperature, float32, shape (cells, labels).
        match: match probability, float32, shape (cells, labels).
        known: bool, shape (cells,); whether the cell has a known gene. One that has none is "unassigned".
        coverage: how much of the data the gene vocabulary covers.
        settings: what `annotate` writes into uns["langcell"] on model and data.
    """

    similarity: np.ndarray
    match: np.ndarray
    known: np.ndarray
    coverage: Coverage
    settings: dict[str, Any]


def score_data(
    adata: AnnData | str | Path, labels: Sequence[Label], *, loaded: LoadedLangCell, **reading: Any
) -> ScoredCells:
    """Score all cells for resolved labels as `annotate` does, and return the parts of the score; writes nothing.

    Args and errors are those of `annotate`.
    """
    encoded = _encode_label_texts(loaded, [label.text for label in labels])

    def score(cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
        scores = score_cells(loaded.model, encoded, cell_input_ids, cell_attention_mask)
        return scores.similarity, scores.match

    with open_cells(adata, **_source_options(options := ReadingOptions(**reading))) as source:
        (similarity, match), known, coverage = _run(source, loaded, options, score, "scoring cells")
        return ScoredCells(similarity, match, known, coverage, _settings(loaded, coverage, source))


def list_plain_labels(labels: Sequence[Label]) -> list[str]:
    """Names of the labels that the Cell Ontology does not know, whose text is therefore the name alone."""
    return [label.name for label in labels if label.match is None]


def _run(
    source: CellSource,
    loaded: LoadedLangCell,
    options: ReadingOptions,
    function: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    what: str,
) -> tuple[tuple[np.ndarray, ...], np.ndarray, Coverage]:
    """Stream the cells through `function`; its results, which cells have a known gene, and the coverage."""
    gene_index = loaded.processor.feature_extractor.gene_index(source.gene_names, other_columns=source.gene_columns)
    parts, known = [], []
    n_counts = n_known_counts = 0.0
    with tqdm(total=source.n_cells, desc=what, unit="cell", disable=not options.progress) as bar:
        for ranked in _ranked_chunks(source, loaded, gene_index, options.rows_per_chunk):
            parts.append(for_each_batch(loaded, ranked, options.max_batch_tokens, function))
            known.append(ranked.n_known_genes > 0)
            n_counts += ranked.n_counts.sum()
            n_known_counts += ranked.n_known_counts.sum()
            bar.update(len(ranked))
    has_known_gene = np.concatenate(known)
    coverage = Coverage(
        genes=float((gene_index >= 0).mean()),
        counts=float(n_known_counts / n_counts) if n_counts else 0.0,
        unknown_cells=int((~has_known_gene).sum()),
        cells=source.n_cells,
    )
    logger.info("%s", coverage)
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True)), has_known_gene, coverage


def _ranked_chunks(
    source: CellSource, loaded: LoadedLangCell, gene_index: np.ndarray, rows_per_chunk: int
) -> Iterator[RankedCells]:
    extractor = loaded.processor.feature_extractor
    for chunk in source.chunks(rows_per_chunk):
        yield rank_encode(chunk.counts, gene_index, extractor.vocabulary, max_length=extractor.max_length)


def _encode_label_texts(loaded: LoadedLangCell, texts: list[str]) -> EncodedLabels:
    tokens = loaded.processor(text=texts, return_tensors="pt").to(loaded.model.device)
    return encode_labels(loaded.model, tokens["input_ids"], tokens["attention_mask"])


def _label_columns(
    labels: list[Label], scores: np.ndarray, known: np.ndarray, obs_names: pd.Index
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns for obs and obsm; cells without a known gene are unassigned."""
    names = [label.name for label in labels]
    best = np.where(known, np.nanargmax(scores, axis=1), len(labels))
    confidence = np.where(known, np.nanmax(scores, axis=1), 0.0).astype(np.float32)
    term_ids = [label.ontology_term_id or "" for label in labels]
    obs = {
        "langcell_label": pd.Categorical.from_codes(best, [*names, UNASSIGNED]),
        "langcell_ontology_term_id": pd.Categorical(np.array([*term_ids, ""], dtype=object)[best]),
        "langcell_confidence": confidence,
    }
    scores = np.where(known[:, None], scores, np.nan)
    return obs, {"langcell_scores": pd.DataFrame(scores, index=obs_names, columns=pd.Index(names))}


def _settings(loaded: LoadedLangCell, coverage: Coverage, source: CellSource) -> dict[str, Any]:
    return {
        "model_id": loaded.model_id,
        "model_revision": loaded.revision,
        "vocabulary_fingerprint": loaded.processor.feature_extractor.vocabulary.fingerprint,
        "langcell_version": version("langcell"),
        "values_from": source.location,
        "x_is": source.x_kind,
        "gene_coverage": coverage.genes,
        "count_coverage": coverage.counts,
    }


def _source_options(options: ReadingOptions) -> dict[str, Any]:
    return {"x_is": options.x_is, "gene_column": options.gene_column, "layer": options.layer}


def _require_output(adata: AnnData | str | Path, output: str | Path | None) -> None:
    """Refuse what could not be written, before hours of work rather than after."""
    if output is not None:
        check_output(Path(output))
    elif not isinstance(adata, AnnData):
        raise ValueError(f"{adata} is a file: say where the result goes (output=...), or pass an AnnData.")


def _storable(labels: list[Label]) -> list[Label]:
    """The labels, if the results can hold them as categories and as columns (where files write "/" as "_")."""
    columns: dict[str, str] = {}
    for label in labels:
        if label.name in (UNASSIGNED, "_index"):
            raise ValueError(f"{label.name!r} cannot be a label, results use the word themselves; give another name.")
        other = columns.setdefault(label.name.replace("/", "_"), label.name)
        if other != label.name:
            raise ValueError(f"Labels {other!r} and {label.name!r} cannot be told apart in a file; rename one of them.")
    return labels


def _store(
    adata: AnnData | str | Path, output: str | Path | None, obs: dict[str, Any], obsm: dict[str, Any], uns: dict
) -> AnnData | None:
    """Put the results into the AnnData, the output file, or both."""
    if output is not None:
        write_annotated(adata, output, obs=obs, obsm=obsm, uns={"langcell": uns})
    if not isinstance(adata, AnnData):
        return None
    for name, values in obs.items():
        adata.obs[name] = values
    for name, values in obsm.items():
        adata.obsm[name] = values
    adata.uns["langcell"] = uns
    return adata
