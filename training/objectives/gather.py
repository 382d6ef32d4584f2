"""Tensors of all processes in one, with gradients: contrast over the global batch.

Every process computes the loss of the whole global batch. The backward of the gather sums what all processes ask of a
row, and DistributedDataParallel or FSDP divides by their number: together exactly the gradient that one process with
the whole batch would have. With one process every function here is the identity.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return the number of training processes (1 where none were launched)."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Return the number of this training process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


class _AllGather(torch.autograd.Function):
    """`[n, ...]` -> `[processes, n, ...]`; backward sums what every process asks of this process's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[dist.get_rank()]


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in rank order; gradients flow back to the process that owns a row.

    Args:
        rows: `[n, ...]`; `n` may differ between processes, the other sizes may not.

    Returns:
        `[sum of n, ...]`, the same on every process.
    """
    if world_size() == 1:
        return rows
    count = torch.tensor([rows.shape[0]], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(world_size())]
    dist.all_gather(counts, count)
    lengths = [int(n) for n in counts]
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: rows.shape[0]] = rows
    parts = _AllGather.apply(padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def global_mean(values: Tensor) -> Tensor:
    """Return the mean of `values` over all processes, as a number whose gradient is right once processes average
    gradients.

    Processes may hold different numbers of values, so each returns its own sum x processes / global count: the mean of
    these over the processes is the global mean. An empty batch gives 0, not NaN.

    Args:
        values: `[n]`.
    """
    count = torch.tensor(float(values.numel()), device=values.device)
    processes = world_size()
    if processes > 1:
        dist.all_reduce(count)
    return values.sum() * processes / count.clamp(min=1.0)
