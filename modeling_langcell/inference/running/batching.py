"""From ranked cells to padded batches, by length and within a token budget, and back into input order.

On a CPU, batches run side by side (`threads`), and share the budget.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from langcell.inference.running.threads import batches_at_once, side_by_side
from langcell.loading.loaded import LoadedModel
from langcell.processing.rank_values import RankedCells

logger = logging.getLogger("langcell")

# Of gene ids and mask, and of the weights of reference cells where there are some.
BatchFunction = Callable[..., tuple[Tensor, ...]]
# What torch's CPU allocator calls a lack of memory, in the text of a RuntimeError.
_CPU_ALLOCATOR_WORDS = ("DefaultCPUAllocator", "can't allocate memory")


class TokenBudget:
    """Padded tokens at once; halved when the memory turns out too small, for all batches that follow."""

    def __init__(self, tokens: int) -> None:
        if tokens < 1:
            raise ValueError(f"max_batch_tokens is {tokens}; give a positive number, such as 32768.")
        self.tokens = tokens

    def halve(self, failed_tokens: int) -> None:
        """Go down to half of a batch that did not fit."""
        self.tokens = max(1, min(self.tokens, failed_tokens) // 2)


def token_batches(lengths: np.ndarray, max_batch_tokens: int) -> Iterator[np.ndarray]:
    """Yield the row numbers of each batch: cells of like length together, rows x longest within the budget.

    A cell that is longer than the budget still gets a batch of its own.

    >>> [batch.tolist() for batch in token_batches(np.array([3, 9, 4, 8]), 16)]
    [[0, 2], [3], [1]]
    """
    max_batch_tokens = TokenBudget(max_batch_tokens).tokens
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
    loaded: LoadedModel,
    ranked: RankedCells | Sequence[np.ndarray],
    budget: TokenBudget | int,
    function: BatchFunction,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """Run `function` on padded batches and put its rows back into the cells' order.

    Where the device has no memory for a batch, the budget is halved and the batch done again in smaller ones.

    Args:
        loaded: model and processor.
        ranked: the cells, or their token ids.
        budget: padded tokens at once at most; a `TokenBudget` keeps what was learnt for the next call.
        function: (cell_input_ids, cell_attention_mask) -> tensors with a row for each cell of the batch; with `weights`
            it gets their rows as well.
        weights: float32, a row for each cell.

    Returns:
        One float32 array for each tensor, with a row for each of the ranked cells.

    Raises:
        ValueError: there are no cells, so that nobody can tell how many arrays and of what width they would be.
        MemoryError: the device is too small for a single cell.
    """
    if not len(ranked):
        raise ValueError("There are no cells to run the model on; give at least one.")
    budget = TokenBudget(budget) if isinstance(budget, int) else budget
    lengths = np.array([len(ids) for ids in ranked])
    results: list[np.ndarray] | None = None
    n = batches_at_once(loaded.model)
    run = partial(_run_batch, loaded, ranked, function=function, weights=weights)
    pending, tried_beside = deque(token_batches(lengths, max(1, budget.tokens // n))), set()
    with side_by_side(n) as running:
        while pending or running:
            while pending and running.has_room:
                running.start(run, pending.popleft())
            rows, outputs = running.first()
            if outputs is None and n > 1 and len(rows) == 1 and rows[0] not in tried_beside:
                running.one_at_a_time()  # the memory may be enough for a cell that is alone
                tried_beside.add(rows[0])
                pending.appendleft(rows)
                continue
            if outputs is None:
                _make_smaller(budget, rows, lengths, loaded.model.device, at_once=n)
                left = np.concatenate([rows, *pending])
                pending = deque(left[some] for some in token_batches(lengths[left], max(1, budget.tokens // n)))
                continue
            if results is None:
                results = [np.empty((len(ranked), *output.shape[1:]), dtype=np.float32) for output in outputs]
            for result, output in zip(results, outputs, strict=True):
                result[rows] = output
    return tuple(results or ())


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is no memory: on an accelerator, on the CPU, or in numpy."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR_WORDS)


def _run_batch(
    loaded: LoadedModel,
    ranked: RankedCells | Sequence[np.ndarray],
    rows: np.ndarray,
    function: BatchFunction,
    weights: np.ndarray | None,
) -> list[np.ndarray] | None:
    """Return what `function` makes of these rows, as float32; None where there is no memory for it."""
    arrays = [*loaded.processor.feature_extractor.pad([ranked[row] for row in rows]).values()]
    arrays += [] if weights is None else [weights[rows]]
    try:
        tensors = (torch.from_numpy(array).to(loaded.model.device) for array in arrays)
        with torch.inference_mode():  # which holds for one thread
            return [output.float().cpu().numpy() for output in function(*tensors)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None  # outside the except clause, whose error would keep the tensors of the failed batch alive


def _make_smaller(
    budget: TokenBudget, rows: np.ndarray, lengths: np.ndarray, device: torch.device, *, at_once: int
) -> None:
    failed = len(rows) * int(lengths[rows].max())
    if len(rows) == 1:
        raise MemoryError(
            f"{device} has no memory left for a single cell of {failed} genes; give it more, or free some."
        )
    budget.halve(failed * at_once)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what is cached in pieces of the old size
    logger.warning(
        "%s has no memory for a batch of %d cells; going on with max_batch_tokens %d.", device, len(rows), budget.tokens
    )
