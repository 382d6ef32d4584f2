"""What `annotate` computes of each batch of cells."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from langcell.inference.running.batching import BatchFunction
from langcell.inference.running.memory import TEXT_TOKENS_PER_GENE
from langcell.inference.scoring.other_types import margin, with_types
from langcell.inference.scoring.reference import known_reference, with_reference
from langcell.inference.scoring.texts import encode_label_texts
from langcell.loading.loaded import LoadedScorer
from langcell.processing.labels.resolve import Label
from langcell.processing.reference_cells import MeasuredReference
from langcell.scoring_langcell import EncodedLabels, needed_rerank, score_cells

# Fewer text tokens at once would leave the processor idle.
_LEAST_TOKENS_PER_MATCH = 4096


def batch_scorer(
    loaded: LoadedScorer,
    dtype: torch.dtype,
    labels: Sequence[Label],
    reference: MeasuredReference | None,
    others: np.ndarray,
    *,
    alpha: float,
    rerank: str,
    k: int,
    columns: tuple[str, ...],
) -> BatchFunction:
    """Return what scores a batch of cells: the labels are encoded, and the model is in the dtype of its computing.

    Args:
        loaded: the model.
        dtype: number format in which it computes cells.
        labels: the candidates.
        reference: from `measured_reference`.
        others: types that are no candidates, from `other_types`; the column "margin" needs some.
        alpha: weight of the similarity.
        rerank: see `score_cells`.
        k: likewise.
        columns: what is returned, in this order: scores, embeddings, n_matches, similarity, match, margin.
    """
    texts = encode_label_texts(loaded, labels, for_match=needed_rerank(rerank, alpha) != "none")
    loaded.compute_in(dtype)
    known = None if reference is None else known_reference(loaded)
    together = with_types(loaded, EncodedLabels(texts), reference, others, known)
    encoded = with_reference(loaded, EncodedLabels(texts.in_dtype(dtype)), reference, known)
    return partial(_score, loaded, encoded, together, alpha, rerank, k, columns)


def _score(
    loaded: LoadedScorer,
    encoded: EncodedLabels,
    together: EncodedLabels | None,
    alpha: float,
    rerank: str,
    k: int,
    columns: tuple[str, ...],
    cell_input_ids: Tensor,
    cell_attention_mask: Tensor,
    reference_weights: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Return the columns of a batch of cells."""
    found = score_cells(
        loaded.encoders,
        encoded,
        cell_input_ids,
        cell_attention_mask,
        reference_weights,
        alpha=alpha,
        rerank=rerank,
        k=k,
        tokens_per_match=max(_LEAST_TOKENS_PER_MATCH, TEXT_TOKENS_PER_GENE * cell_input_ids.numel()),
    )
    values = {
        "scores": found.score,
        "embeddings": found.cell_embeds,
        "n_matches": (~found.match.isnan()).sum(-1),
        "similarity": found.similarity,
        "match": found.match,
    }
    if together is not None and found.joined is not None:
        similarity = together.similarity_of_joined(found.joined, loaded.encoders.config.logit_temperature)
        values["margin"] = margin(similarity, len(encoded))
    return tuple(values[name] for name in columns)
