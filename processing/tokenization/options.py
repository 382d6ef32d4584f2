"""Options of tokenizing; imports no library."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from langcell.processing.options import ReadOptions, option

OnUnknownId = Literal["error", "drop", "keep-name"]
ON_UNKNOWN_ID: tuple[OnUnknownId, ...] = get_args(OnUnknownId)


@dataclass(frozen=True)
class TokenizeOptions:
    """What the shards depend on beside their sources and the gene vocabulary.

    Attributes:
        read: how the values of the sources are found.

    Raises:
        ValueError: a number is out of range.
    """

    panel: ClassVar[str] = "Shards"

    max_length: int = option(2048, "Largest number of gene ids per cell, <cls> included.", in_cli=False)
    cells_per_shard: int = option(
        20_000, "Number of cells that a shard is planned for; it has fewer where cells are dropped."
    )
    min_genes: int = option(0, "Smallest number of expressed genes per cell; cells with fewer are dropped.")
    keep_duplicates: bool = option(
        False,
        "Keep cells that CELLxGENE marks as copies of cells in another data set (is_primary_data is False).",
        names=("--keep-duplicates",),
    )
    duplicate_genes: str = option(
        "sum", "Of several columns of one gene: sum their counts, or read the first alone.", in_cli=False
    )
    on_unknown_id: OnUnknownId = option(  # ruff knows it by the name that other files import
        "error",
        "Ontology ids that the ontologies do not have: error, drop (leave that aspect out), or keep-name (describe by "
        "the name beside the id).",
    )
    read: ReadOptions = field(default_factory=ReadOptions)

    def __post_init__(self) -> None:
        for name, least in {"max_length": 2, "cells_per_shard": 1, "min_genes": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least {least}.")
        if self.duplicate_genes not in ("sum", "first"):
            raise ValueError(f"duplicate_genes is {self.duplicate_genes!r}; legal are 'sum' and 'first'.")
        if self.on_unknown_id not in ON_UNKNOWN_ID:
            raise ValueError(f"on_unknown_id is {self.on_unknown_id!r}; legal are {', '.join(ON_UNKNOWN_ID)}.")
