"""Tests compute in the number format that every machine has, unless they ask for another one."""

from langcell.loading import precision

THIS_MACHINES = precision._multiplies_bfloat16


def compute_in_float32() -> None:
    """Have `auto` mean float32, whatever the machine is fast at.

    In bfloat16 each product of a new shape is compiled first, forward and back for more than two milliseconds, and
    batches of the tiny models have new shapes all the time: training one of them took ten times as long.
    """
    precision._multiplies_bfloat16 = lambda device: False
