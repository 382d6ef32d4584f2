"""Naming and embedding batches of cells by an ONNX model, for `annotate` and `embed`."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from langcell.inference.running.batching import BatchFunction
from langcell.inference.scoring.reference import embed_reference
from langcell.inference.scoring.rerank import Evaluate, rerank_exact, rerank_top
from langcell.inference.scoring.zero_shot import check_rerank, combine_scores
from langcell.loading.load import LoadedLangCell
from langcell.loading.onnx_model import OnnxLangCell
from langcell.processing.labels.resolve import Label
from langcell.processing.reference_cells import MeasuredReference


def onnx_scorer(
    model: OnnxLangCell,
    labels: Sequence[Label],
    *,
    alpha: float,
    rerank: str,
    k: int,
    reference: MeasuredReference | None = None,
    with_similarity: bool = False,
) -> BatchFunction:
    """A function of gene ids and mask that gives scores, embeddings and the number of evaluated pairs of each cell.

    Args:
        model: the exported model.
        labels: whose texts are encoded here, once.
        alpha: weight of the similarity.
        rerank: "exact", "full", "top-k" or "none", as in `score_labels`.
        k: labels that "top-k" looks at.
        reference: cells that others are compared with, from `measured_reference`; similarities are as the encoder
            alone gives them when None.
        with_similarity: give the similarities as well.
    """
    check_rerank(rerank, k)
    texts = model.encode_texts(**model.processor(text=[label.text for label in labels], return_tensors="np"))
    known = scale = None
    if reference is not None:
        # It has what a loaded model is asked for here: processor, configuration, dtype and device.
        loaded = cast(LoadedLangCell, model)
        known = embed_reference(loaded, onnx_embedder(model, hidden=False), partial(_embed_texts, model))
        known = known[reference.rows]
        scale = reference.scale(model.similarity(known, texts))

    def score(
        cell_input_ids: Tensor, cell_attention_mask: Tensor, reference_weights: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        mask = cell_attention_mask.numpy()
        embeds, states = model.encode_cells(cell_input_ids.numpy(), mask)

        def evaluate(rows: Tensor, columns: Tensor) -> Tensor:
            cells = rows.numpy()
            return torch.from_numpy(model.match(texts, states[cells], mask[cells], columns.numpy()))

        if known is None or scale is None or reference_weights is None:
            similarity = model.similarity(embeds, texts)
        else:
            similarity = scale(
                model.similarity(MeasuredReference.joined(embeds, reference_weights.numpy(), known), texts)
            )
        similarity = torch.from_numpy(similarity)
        match, scores = _match_and_score(similarity, evaluate, alpha=alpha, rerank=rerank, k=k)
        found = scores, torch.from_numpy(embeds), (~match.isnan()).sum(-1)
        return (*found, similarity) if with_similarity else found

    return score


def onnx_embedder(model: OnnxLangCell, *, hidden: bool) -> BatchFunction:
    """A function of gene ids and mask that gives the embedding of each cell.

    Raises:
        ValueError: `hidden`, which the files do not have apart from all other states.
    """
    if hidden:
        raise ValueError("An ONNX export has no hidden state to write; use the model that it was made of.")

    def embed(cell_input_ids: Tensor, cell_attention_mask: Tensor) -> tuple[Tensor, ...]:
        embeds, _ = model.encode_cells(cell_input_ids.numpy(), cell_attention_mask.numpy())
        return (torch.from_numpy(embeds),)

    return embed


def _embed_texts(model: OnnxLangCell, texts: Sequence[str]) -> np.ndarray:
    return model.encode_texts(**model.processor(text=list(texts), return_tensors="np")).embeds


def _match_and_score(
    similarity: Tensor, evaluate: Evaluate, *, alpha: float, rerank: str, k: int
) -> tuple[Tensor, Tensor]:
    """Match probabilities (NaN where not evaluated) and scores, each (cells, labels)."""
    prior = similarity.softmax(-1)
    if rerank == "none":
        return torch.full_like(similarity, torch.nan), prior
    if rerank == "full":
        n_cells, n_labels = similarity.shape
        match = evaluate(torch.arange(n_cells), torch.arange(n_labels).repeat(n_cells, 1))
        return match, combine_scores(similarity, match, alpha=alpha)
    reranked = rerank_exact(prior, alpha, evaluate) if rerank == "exact" else rerank_top(prior, alpha, evaluate, k=k)
    return reranked.match, reranked.score
