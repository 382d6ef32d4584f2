"""Options of reading and batching the cells; imports no library."""

from dataclasses import dataclass
from typing import Any, ClassVar

from langcell.processing.options import READ_FIELDS, ReadOptions, option


@dataclass(frozen=True)
class ReadingOptions(ReadOptions):
    """How the cells are read and batched; the same for naming and embedding."""

    rows_per_chunk: int = option(
        2000, "Cells that are read at once; those of like length among them share a batch.", in_cli=False
    )
    max_batch_tokens: int | None = option(
        None, "Largest number of padded genes per batch; found from the free memory when not given."
    )
    progress: bool = option(True, "Whether to show a progress bar.", in_cli=False)

    def __post_init__(self) -> None:
        if self.rows_per_chunk < 1:
            raise ValueError(f"rows_per_chunk is {self.rows_per_chunk}; give at least one row per chunk.")
        if self.max_batch_tokens is not None and self.max_batch_tokens < 1:
            raise ValueError(f"max_batch_tokens is {self.max_batch_tokens}; give a positive number, such as 32768.")

    @property
    def source(self) -> dict[str, Any]:
        """Arguments of `open_cells`; of the table of cells only the names are ever read."""
        return {**{name: getattr(self, name) for name in READ_FIELDS}, "read_obs": False}


@dataclass(frozen=True)
class WritingOptions:
    """How the cells are written beside the results."""

    panel: ClassVar[str] = "Writing the cells"

    drop_unwritable: bool = option(
        False,
        "Leave out of the output what no file can hold, such as columns that mix kinds of values, and say what; "
        "otherwise such columns are an error before the work begins.",
        names=("--drop-unwritable",),
    )
