"""Zero-shot scores of cells x labels (Zhao et al. 2024, section 4.1), the same for all that implement `Encoders`.

score = alpha * softmax(cos / temperature) + (1 - alpha) * softmax(match probability), each over the labels. The
similarity is known for all labels at once; the match of a pair costs a pass of the text encoder's upper layers, and is
evaluated for as many labels as re-ranking needs: with alpha 1 for none, because it then counts nothing.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging

from .encoders_langcell import EncodedTexts, Encoders
from .reranking_langcell import FIRST_BLOCK, rerank_exact, rerank_top
from .text_blocks_langcell import match_all, match_chosen

logger = logging.get_logger(__name__)

RERANKINGS = {
    "full": "the match of every label",
    "exact": "as many as it takes to be certain of the best label",
    "top-k": "that of the k most similar labels, an approximation",
    "none": "similarity only",
}
DEFAULT_K = 10

# Text tokens of (cell, label) pairs held at once by the match; more is not faster and takes memory.
TOKENS_PER_MATCH = 65_536


@dataclass(frozen=True)
class EncodedLabels:
    """What depends on the labels alone, computed once for any number of cells.

    Attributes:
        texts: texts of the labels, encoded.
        reference: cells that others are compared with, as measured (`reference_cells.MeasuredReference`); None where
            similarities are as the encoder alone gives them.
        known: what is known of these, (reference cells, projection_dim).
        scale: relates similarities to theirs.
    """

    texts: EncodedTexts
    reference: Any = None
    known: Tensor | None = None
    scale: Any = None

    def __len__(self) -> int:
        return len(self.texts)

    @torch.inference_mode()
    def related_to(self, reference: Any, known: Tensor, temperature: float) -> "EncodedLabels":
        """Return the labels, whose similarities are then found with the reference cells.

        Args:
            reference: as measured.
            known: what the model knows of all reference cells, (all reference cells, projection_dim).
            temperature: temperature of the model.
        """
        measured = known[torch.from_numpy(reference.rows).to(known.device)].to(self.texts.embeds.device)
        scale = reference.scale(self.similarity(measured, temperature))
        return replace(self, reference=reference, known=measured, scale=scale)

    def similarity(self, cell_embeds: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
        """Return cos / temperature of cells of unit length and every label; with weights as the reference cells say.

        Args:
            cell_embeds: (cells, projection_dim).
            temperature: temperature of the model.
            weights: how near each reference cell is to them, (cells, reference cells).
        """
        if weights is None or self.reference is None:
            return cell_embeds @ self.texts.embeds.T / temperature
        return self.similarity_of_joined(self.joined(cell_embeds, weights), temperature)

    def joined(self, cell_embeds: Tensor, weights: Tensor) -> Tensor:
        """Return the embeddings in one with what the reference cells let expect, (cells, projection_dim)."""
        return self.reference.joined(cell_embeds, weights, self.known)

    def similarity_of_joined(self, joined: Tensor, temperature: float) -> Tensor:
        """Return the similarity of what `joined` returned, which is the same for all labels of one model."""
        return self.scale(joined @ self.texts.embeds.T / temperature)


@dataclass(frozen=True)
class LabelScores:
    """Scores of cells (rows) x labels (columns), all float32.

    Attributes:
        similarity: cos / temperature, related to the reference cells where these took part.
        match: probability that label text and cell match; NaN where it was not evaluated.
        score: alpha * softmax(similarity) + (1 - alpha) * softmax(match), both over the labels.
        cell_embeds: (cells, projection_dim), unit length.
        joined: what was compared with the labels where reference cells took part, (cells, projection_dim); else None.
    """

    similarity: Tensor
    match: Tensor
    score: Tensor
    cell_embeds: Tensor
    joined: Tensor | None = None


@torch.inference_mode()
def score_cells(
    encoders: Encoders,
    labels: EncodedLabels,
    cell_input_ids: Tensor,
    cell_attention_mask: Tensor,
    reference_weights: Tensor | None = None,
    *,
    alpha: float | None = None,
    rerank: str = "full",
    k: int = DEFAULT_K,
    top: int = 1,
    tokens_per_match: int = TOKENS_PER_MATCH,
) -> LabelScores:
    """Score encoded labels for a batch of cells.

    Args:
        encoders: encoders of the model.
        labels: encoded by it.
        cell_input_ids: ranked gene ids, (cells, genes).
        cell_attention_mask: (cells, genes).
        reference_weights: how near the reference cells are, which the labels then know, (cells, reference cells).
        alpha: weight of the similarity; the model's own when None.
        rerank: one of `RERANKINGS`. "exact" evaluates labels by falling similarity until no other can be among the
            best: these are those of "full". What was not evaluated is NaN, and the scores of a cell with such gaps are
            the least that they can be. "none" leaves every match NaN, and so does "exact" or "top-k" where alpha is 1.
        k: labels that "top-k" looks at.
        top: how many labels "exact" has to be certain of, with their order.
        tokens_per_match: bounds the text tokens of pairs in memory at once; it changes no score.

    Raises:
        ValueError: alpha is outside 0 to 1, rerank is unknown, or k is below 1.
    """
    alpha = check_alpha(encoders.config.alpha if alpha is None else alpha)
    rerank = needed_rerank(check_rerank(rerank, k), alpha)
    n_texts = {"exact": FIRST_BLOCK, "top-k": k}.get(rerank, len(labels))
    cells = encoders.encode_cells(cell_input_ids, cell_attention_mask, for_match=rerank != "none", n_texts=n_texts)
    temperature, joined = encoders.config.logit_temperature, None
    if reference_weights is None or labels.reference is None:
        similarity = labels.similarity(cells.embeds, temperature)
    else:
        joined = labels.joined(cells.embeds, reference_weights)
        similarity = labels.similarity_of_joined(joined, temperature)
    prior = similarity.softmax(-1)
    if rerank == "none":
        return LabelScores(similarity, torch.full_like(similarity, torch.nan), prior, cells.embeds, joined)
    matching = {"tokens_per_match": tokens_per_match}
    if rerank == "full" or (rerank == "exact" and top >= len(labels)):
        match = match_all(encoders, labels.texts, cells, **matching)
        return LabelScores(similarity, match, combine_scores(similarity, match, alpha=alpha), cells.embeds, joined)
    evaluate = match_chosen(encoders, labels.texts, cells, **matching)
    exact = rerank == "exact"
    found = rerank_exact(prior, alpha, evaluate, top=top) if exact else rerank_top(prior, alpha, evaluate, k=k)
    return LabelScores(similarity, found.match, found.score, cells.embeds, joined)


def combine_scores(similarity: Tensor, match: Tensor, *, alpha: float) -> Tensor:
    """Return the score: alpha * softmax(similarity) + (1 - alpha) * softmax(match), both over the labels (last
    axis); with alpha 1 whatever the match is, NaN too."""
    if alpha == 1:
        return similarity.softmax(-1)
    return alpha * similarity.softmax(-1) + (1 - alpha) * match.softmax(-1)


def check_rerank(rerank: str, k: int = DEFAULT_K) -> str:
    """Return `rerank`, if it and its `k` are legal.

    Raises:
        ValueError: it is no way of re-ranking, or k is below 1.
    """
    if rerank not in RERANKINGS:
        known = ", ".join(f"{name!r} ({what})" for name, what in RERANKINGS.items())
        raise ValueError(f"rerank is {rerank!r}; legal are {known}.")
    if rerank == "top-k" and k < 1:
        raise ValueError(f"k is {k}; give the number of labels whose match top-k evaluates, 1 or more.")
    return rerank


def needed_rerank(rerank: str, alpha: float) -> str:
    """Return how labels have to be re-ranked for the same best label: not at all where the match counts nothing.

    >>> needed_rerank("exact", 1.0), needed_rerank("full", 1.0), needed_rerank("exact", 0.1)
    ('none', 'full', 'exact')
    """
    return "none" if alpha == 1 and rerank != "full" else rerank


def check_alpha(alpha: float) -> float:
    """Return `alpha`, if it is legal.

    Raises:
        ValueError: it is outside 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; legal are 0 (match only) to 1 (similarity only).")
    return alpha


def reference_as_measured(processor: Any, config: Any, gene_index: np.ndarray) -> Any:
    """Return the model's reference cells in the genes of some data; None where cells are not compared with them.

    They are not where the model has none, where it is fine-tuned on other labels than cell types (`fine_tuning` of its
    configuration says so), and where too few of the reference cells have any of the genes.

    Args:
        processor: the model's, with the reference cells.
        config: the model's configuration.
        gene_index: places of the data's genes in the vocabulary, -1 where unknown.
    """
    extractor = processor.feature_extractor
    cells, fine_tuning = extractor.reference_cells, getattr(config, "fine_tuning", None)
    if cells is None or (fine_tuning and not fine_tuning.get("reference")):
        return None
    measured = cells.as_measured(gene_index, extractor.vocabulary)
    if len(measured) < cells.least:
        logger.warning("The genes of the data are in %d reference cells: cells are named without these.", len(measured))
        return None
    return measured
