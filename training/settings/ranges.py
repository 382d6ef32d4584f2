"""Which numbers a pre-training config may hold, as one table."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Legal numbers.

    Attributes:
        low: the smallest.
        high: the largest.
        above: `low` itself is not legal.
        below: `high` itself is not legal.
        note: what to say of a special one.

    Example:
        >>> str(Range(0, 1, above=True, below=True)), str(Range(1)), str(Range(0, 1))
        ('above 0 and less than 1', 'at least 1', 'at least 0 and at most 1')
        >>> 0.15 in Range(0, 1, above=True), 0 in Range(0, 1, above=True), math.nan in Range(0)
        (True, False, False)
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False
    note: str = ""

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.above else number >= self.low
        return above and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        text = f"{'above' if self.above else 'at least'} {self.low}"
        if self.high < math.inf:
            text += f" and {'less than' if self.below else 'at most'} {self.high}"
        return text + (f" ({self.note})" if self.note else "")


COUNT = Range(1)
POSITIVE = Range(0, above=True)
NOT_NEGATIVE = Range(0)
SHARE = Range(0, 1)
SHARE_BELOW_ONE = Range(0, 1, below=True)

# `*` stands for every section at that place: all objectives that have the key, every item of a list.
RANGES = {
    "steps": COUNT,
    "data.*.weight": POSITIVE,
    "objectives.*.weight": Range(0, note="0 turns the loss off"),
    "objectives.*.temperature": POSITIVE,
    "objectives.masked_gene.rate": Range(0, 1, above=True, below=True),
    "objectives.cell_text_matching.negatives": COUNT,
    "optimizer.lr": NOT_NEGATIVE,
    "optimizer.warmup": NOT_NEGATIVE,
    "optimizer.final_ratio": SHARE,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "optimizer.betas.*": SHARE_BELOW_ONE,
    "optimizer.grad_clip": POSITIVE,
    "batch.size": COUNT,
    "batch.accumulate": COUNT,
    "batch.streams": Range(0, note="0: one for each process"),
    "batch.chunk": Range(0, note="0: no chunks"),
    "batch.max_length": Range(2, note="<cls> and a gene"),
    "batch.max_text_length": Range(2, note="the two that begin and end a text"),
    "batch.window": COUNT,
    "batch.text_variants": COUNT,
    "batch.aspect_dropout": SHARE_BELOW_ONE,
    "batch.gene_dropout": SHARE,
    "batch.workers": NOT_NEGATIVE,
    "checkpoint.every": COUNT,
    "checkpoint.keep": COUNT,
    "validation.every": COUNT,
    "validation.cells": COUNT,
    "close_types": Range(0, note="0: ancestors alone"),
    "seed": NOT_NEGATIVE,
    "ema_decay": SHARE_BELOW_ONE,
    "max_bad_steps": COUNT,
}


def check_ranges(config: Any) -> None:
    """Compare every number of a config with the table.

    Args:
        config: a `PretrainConfig`.

    Raises:
        ValueError: in one line, for the first number that is out of its range.
    """
    for name, legal in RANGES.items():
        for key, number in _values(config, name.split(".")):
            if number not in legal:
                raise ValueError(f"{key} is {number}; it has to be {legal}.")


def _values(node: Any, path: list[str], *, where: str = "") -> Iterator[tuple[str, float]]:
    """Yield each number that a path of the table stands for, with its key."""
    if not path:
        yield where.removesuffix("."), node
        return
    first, *rest = path
    children = {str(i): item for i, item in enumerate(node)} if isinstance(node, list | tuple) else vars(node)
    for name, child in children.items():
        if first in ("*", name):
            yield from _values(child, rest, where=f"{where}{name}.")
