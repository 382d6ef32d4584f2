"""Zero-shot scores on tensors alone: `langcell.score_labels`."""

from typing import Any

from torch import Tensor

from langcell.encoders_langcell import TorchEncoders
from langcell.loading.load import LoadedLangCell
from langcell.loading.onnx_model import OnnxLangCell
from langcell.scoring_langcell import DEFAULT_K, EncodedLabels, LabelScores, score_cells
from langcell.text_blocks_langcell import encode_tokens


def score_labels(
    model: Any,
    *,
    cell_input_ids: Tensor,
    cell_attention_mask: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor,
    alpha: float | None = None,
    rerank: str = "full",
    k: int = DEFAULT_K,
) -> LabelScores:
    """Return the zero-shot scores of every cell for every label (Zhao et al. 2024, section 4.1), without reference
    cells.

    score = alpha * softmax(cos / temperature) + (1 - alpha) * softmax(match probability), each over the labels.

    Args:
        model: a LangCellModel in evaluation mode, of this package's class or of a Hub folder's own; or what
            `langcell.load` returned, or an opened ONNX export.
        cell_input_ids: ranked gene ids, (cells, genes).
        cell_attention_mask: (cells, genes).
        input_ids: token ids of the label texts, (labels, tokens).
        attention_mask: (labels, tokens).
        alpha: weight of the similarity; the model's own when None.
        rerank: "full" evaluates the match of every pair; "none" none: match is NaN, score the similarity's softmax.
            "exact" evaluates labels by falling similarity until no other can have the greatest score (the proof is in
            `langcell.reranking_langcell`): the best label is that of "full"; what was not evaluated is NaN, and
            the scores of a cell with such gaps are the least that they can be. "top-k" is an approximation: the match
            of the k most similar labels, NaN for the others, which cannot win.
        k: labels that "top-k" looks at.

    Raises:
        ValueError: alpha is outside 0 to 1, rerank is unknown, k is below 1, or the model reads no text.
    """
    encoders = model.encoders if isinstance(model, LoadedLangCell | OnnxLangCell) else TorchEncoders(model)
    labels = EncodedLabels(encode_tokens(encoders, input_ids, attention_mask))
    return score_cells(encoders, labels, cell_input_ids, cell_attention_mask, alpha=alpha, rerank=rerank, k=k)
