"""From ranked cells to padded batches, by length and within a token budget, and back into input order."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from langcell.loading import LoadedLangCell
from langcell.processing.rank_values import RankedCells

DEFAULT_MAX_BATCH_TOKENS = 32_768


def token_batches(lengths: np.ndarray, max_batch_tokens: int) -> Iterator[np.ndarray]:
    """Row numbers of each batch: cells of like length together, rows x longest within the budget.

    A cell that is longer than the budget still gets a batch of its own.

    >>> [batch.tolist() for batch in token_batches(np.array([3, 9, 4, 8]), 16)]
    [[0, 2], [3], [1]]
    """
    if max_batch_tokens < 1:
        raise ValueError(f"max_batch_tokens is {max_batch_tokens}; give a positive number, such as 32768.")
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(order):
        end = begin + 1
        # Sorted ascending, so the batch is as long as its last cell.
        while end < len(order) and (end + 1 - begin) * lengths[order[end]] <= max_batch_tokens:
            end += 1
        yield order[begin:end]
        begin = end


def for_each_batch(
    loaded: LoadedLangCell,
    ranked: RankedCells,
    max_batch_tokens: int,
    function: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
) -> tuple[np.ndarray, ...]:
    """Run `function` on padded batches and put its rows back into the cells' order.

    Args:
        loaded: model and processor.
        ranked: the cells.
        max_batch_tokens: padded tokens in a batch at most.
        function: (cell_input_ids, cell_attention_mask) -> tensors with a row for each cell of the batch.

    Returns:
        One float32 array for each tensor, with a row for each of the ranked cells.

    Raises:
        ValueError: there are no cells, so that nobody can tell how many arrays and of what width they would be.
        MemoryError: the device is too small for a batch; the text says which option to lower.
    """
    if not len(ranked):
        raise ValueError("There are no cells to run the model on; give at least one.")
    results: list[np.ndarray] | None = None
    for rows in token_batches(ranked.lengths, max_batch_tokens):
        batch = loaded.processor.feature_extractor.pad([ranked[row] for row in rows])
        tensors = (torch.from_numpy(batch[name]).to(loaded.model.device) for name in batch)
        try:
            outputs = [output.float().cpu().numpy() for output in function(*tensors)]
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"{loaded.model.device} has no memory left for a batch of {len(rows)} cells; lower max_batch_tokens "
                f"({max_batch_tokens})."
            ) from error
        if results is None:
            results = [np.empty((len(ranked), *output.shape[1:]), dtype=np.float32) for output in outputs]
        for result, output in zip(results, outputs, strict=True):
            result[rows] = output
    return tuple(results or ())
