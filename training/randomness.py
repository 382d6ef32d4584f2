"""Random choices that follow from where a run stands: (seed, step, pass), and from the process or the cell.

Nothing is drawn from a state that runs along. So a run that is resumed needs no random states, on one process or many,
and a cell's hidden genes are the same whatever batch, chunk or process it is read in.
"""

import numpy as np
import torch
from torch import Tensor

# splitmix64 (Steele et al. 2014): a bijection of 64-bit numbers whose outputs pass the usual tests of randomness.
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_FLOAT_BITS = 24

# What a number is drawn for, so that no two uses share it.
DROPOUT, NEGATIVES = range(2)


def draw_number(*where: int) -> int:
    """Return a number in [0, 2**63) that follows from some numbers from 0 on, such as seed, step, pass and process.

    Example:
        >>> draw_number(0, 17) == draw_number(0, 17), draw_number(0, 17) == draw_number(17, 0)
        (True, False)
    """
    # With their count: SeedSequence takes (0,) and (0, 0) for the same.
    return int(np.random.SeedSequence([len(where), *where]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def cell_keys(input_ids: Tensor, counts: Tensor, *, seed: int) -> Tensor:
    """Return one 64-bit number for each cell, from its ids and their order.

    Args:
        input_ids: `[B, G]`.
        counts: `[B, G]` bool; what is not true (padding) has no say, so the number does not depend on it.
        seed: from `draw_number`.

    Returns:
        `[B, 1]` int64.
    """
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    mixed = _mix((input_ids.long() << 32) + positions + _signed(seed))
    return _mix(mixed.masked_fill(~counts, 0).sum(dim=1, keepdim=True))


def uniform(keys: Tensor, length: int, *, stream: int) -> Tensor:
    """Return uniform float32 numbers in [0, 1) for each cell and position.

    Args:
        keys: `[B, 1]` from `cell_keys`.
        length: positions; number g does not depend on how many there are.
        stream: another number gives other draws of the same cells.

    Returns:
        `[B, length]`.
    """
    positions = torch.arange(length, device=keys.device)
    mixed = _mix(_mix(keys + _signed(_GOLDEN * (stream + 1))) + positions * _signed(_GOLDEN))
    return _shifted(mixed, 64 - _FLOAT_BITS).float() / 2**_FLOAT_BITS


def _mix(numbers: Tensor) -> Tensor:
    numbers = (numbers ^ _shifted(numbers, 30)) * _signed(_FIRST)
    numbers = (numbers ^ _shifted(numbers, 27)) * _signed(_SECOND)
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shift to the right as if the numbers had no sign."""
    return (numbers >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    """Return the same 64 bits as torch's int64 reads them."""
    number %= 1 << 64
    return number - (1 << 64) if number >= 1 << 63 else number
