"""Zero-shot scores of cells x labels, on tensors alone."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from langcell.inference.scoring.rerank import rerank_exact, rerank_top
from langcell.inference.scoring.text_blocks import encode_texts, match_all, match_chosen
from langcell.modeling_langcell import LangCellModel
from langcell.processing.reference_cells import LabelScale, MeasuredReference

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
        text_embeds: (labels, projection_dim), unit length.
        states: text states below the first cross-attention, (labels, tokens, hidden), or (labels, 1, hidden) where
            only the last layer reads cells.
        attention_mask: (labels, tokens).
        reference: known embeddings of the reference cells, (reference cells, projection_dim), and
        scale: what similarities are related to; None leaves them as they are.
    """

    text_embeds: Tensor
    states: Tensor
    attention_mask: Tensor
    reference: Tensor | None = None
    scale: LabelScale | None = None

    def __len__(self) -> int:
        return len(self.text_embeds)

    def similarity(self, cell_embeds: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
        """cos / temperature of cells of unit length and every label; with weights as the reference cells say.

        Args:
            cell_embeds: (cells, projection_dim).
            temperature: of the model.
            weights: how near each reference cell is to them, (cells, reference cells).
        """
        if weights is not None and self.reference is not None:
            cell_embeds = MeasuredReference.joined(cell_embeds, weights, self.reference)
        similarity = cell_embeds @ unit_rows(self.text_embeds).T / temperature
        return similarity if weights is None or self.scale is None else self.scale(similarity)


@dataclass(frozen=True)
class LabelScores:
    """Scores of cells (rows) x labels (columns), all float32.

    Attributes:
        similarity: cos / temperature, related to the reference cells where these took part.
        match: probability that label text and cell match; NaN where it was not evaluated.
        score: alpha * softmax(similarity) + (1 - alpha) * softmax(match), both over the labels.
        cell_embeds: (cells, projection_dim), unit length.
    """

    similarity: Tensor
    match: Tensor
    score: Tensor
    cell_embeds: Tensor


@torch.inference_mode()
def encode_labels(model: LangCellModel, input_ids: Tensor, attention_mask: Tensor) -> EncodedLabels:
    """Encode label texts (labels, tokens), any number of them, for `score_cells`."""
    text_embeds, states = encode_texts(model, input_ids, attention_mask)
    return EncodedLabels(text_embeds, states, attention_mask)


@torch.inference_mode()
def score_cells(
    model: LangCellModel,
    labels: EncodedLabels,
    cell_input_ids: Tensor,
    cell_attention_mask: Tensor,
    reference_weights: Tensor | None = None,
    *,
    alpha: float | None = None,
    rerank: str = "full",
    k: int = DEFAULT_K,
    tokens_per_match: int = TOKENS_PER_MATCH,
) -> LabelScores:
    """Score encoded labels for a batch of cells; see `score_labels`.

    `reference_weights` say how near the reference cells are, whose embeddings the labels then know.
    `tokens_per_match` bounds the text tokens of (cell, label) pairs that are in memory at once; it changes no score.
    """
    alpha = check_alpha(model.config.alpha if alpha is None else alpha)
    check_rerank(rerank, k)
    cell_states = model.get_cell_states(cell_input_ids, cell_attention_mask)
    cell_embeds = unit_rows(model.project_cells(cell_states, cell_attention_mask))
    similarity = labels.similarity(cell_embeds, model.config.logit_temperature, reference_weights)
    if rerank == "none":
        return LabelScores(similarity, torch.full_like(similarity, torch.nan), similarity.softmax(-1), cell_embeds)
    texts = (model, labels.states, labels.attention_mask)
    if rerank == "full":
        match = match_all(*texts, cell_states, cell_attention_mask, tokens_per_match=tokens_per_match)
        return LabelScores(similarity, match, combine_scores(similarity, match, alpha=alpha), cell_embeds)
    prior = similarity.softmax(-1)
    evaluate = match_chosen(*texts, cell_states, cell_attention_mask, tokens_per_match=tokens_per_match)
    reranked = rerank_exact(prior, alpha, evaluate) if rerank == "exact" else rerank_top(prior, alpha, evaluate, k=k)
    return LabelScores(similarity, reranked.match, reranked.score, cell_embeds)


def unit_rows(embeds: Tensor) -> Tensor:
    """Embeddings as float32 of unit length: in bfloat16 a unit vector is one only to three digits."""
    return F.normalize(embeds.float(), dim=-1)


def check_rerank(rerank: str, k: int = DEFAULT_K) -> str:
    """`rerank`, if it and its `k` are legal.

    Raises:
        ValueError: it is no way of re-ranking, or k is below 1.
    """
    if rerank not in RERANKINGS:
        known = ", ".join(f"{name!r} ({what})" for name, what in RERANKINGS.items())
        raise ValueError(f"rerank is {rerank!r}; legal are {known}.")
    if rerank == "top-k" and k < 1:
        raise ValueError(f"k is {k}; give the number of labels whose match top-k evaluates, 1 or more.")
    return rerank


def check_alpha(alpha: float) -> float:
    """`alpha`, if it is legal.

    Raises:
        ValueError: it is outside 0 to 1.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; legal are 0 (match only) to 1 (similarity only).")
    return alpha


def combine_scores(similarity: Tensor, match: Tensor, *, alpha: float) -> Tensor:
    """The score: alpha * softmax(similarity) + (1 - alpha) * softmax(match), both over the labels (last axis)."""
    return alpha * similarity.softmax(-1) + (1 - alpha) * match.softmax(-1)


def score_labels(
    model: LangCellModel,
    *,
    cell_input_ids: Tensor,
    cell_attention_mask: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor,
    alpha: float | None = None,
    rerank: str = "full",
    k: int = DEFAULT_K,
) -> LabelScores:
    """Zero-shot scores of every cell for every label (Zhao et al. 2024, section 4.1), without reference cells.

    score = alpha * softmax(cos / temperature) + (1 - alpha) * softmax(match probability), each over the labels.

    Args:
        model: a LangCellModel in evaluation mode.
        cell_input_ids: ranked gene ids, (cells, genes).
        cell_attention_mask: (cells, genes).
        input_ids: token ids of the label texts, (labels, tokens).
        attention_mask: (labels, tokens).
        alpha: weight of the similarity; the model's own when None.
        rerank: "full" evaluates the match of every pair; "none" none: match is NaN, score the similarity's softmax.
            "exact" evaluates labels by falling similarity until no other can have the greatest score (the proof is in
            `langcell.inference.scoring.rerank`): the best label is that of "full"; what was not evaluated is NaN, and
            the scores of a cell with such gaps are the least that they can be. "top-k" is an approximation: the match
            of the k most similar labels, NaN for the others, which cannot win.
        k: labels that "top-k" looks at.

    Raises:
        ValueError: alpha is outside 0 to 1, rerank is unknown, or k is below 1.
    """
    labels = encode_labels(model, input_ids, attention_mask)
    return score_cells(model, labels, cell_input_ids, cell_attention_mask, alpha=alpha, rerank=rerank, k=k)
