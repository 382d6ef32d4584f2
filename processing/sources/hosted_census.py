"""A Census that is read in a process of its own: a crash of the native library ends that process, and not the run."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from langcell.processing.gene_naming.found_genes import GeneNaming
from langcell.processing.sources.census import CensusSelection, CensusSource
from langcell.processing.workers.hosted import HostedObject
from langcell.processing.workers.worker import is_expendable

# To who reads the types it is a `CensusSource`; what runs inherits nothing that would read SOMA in this process.
_Proxied = CensusSource if TYPE_CHECKING else object


def open_census(
    selection: CensusSelection, *, gene_column: str | None = None, layer: str | None = None, naming: GeneNaming
) -> CensusSource:
    """Open a Census in this process if it may die, as workers may, and in one of its own otherwise.

    Raises:
        ValueError: What `CensusSource` raises.
        OSError: The process that reads died again and again.
    """
    opened = CensusSource if is_expendable() else HostedCensus
    return opened(selection, gene_column=gene_column, layer=layer, naming=naming)


class HostedCensus(_Proxied):
    """A `CensusSource` in a process of its own: its attributes are copied, its methods run there."""

    def __init__(self, selection: CensusSelection, **options: Any) -> None:
        self._hosted = HostedObject(partial(CensusSource, selection, **options))
        try:
            vars(self).update(self._hosted.attributes())
        except BaseException:
            self.close()
            raise

    # What needs no SOMA runs here; it says in this process' log where the genes are.
    __enter__ = CensusSource.__enter__
    __exit__ = CensusSource.__exit__
    find_genes = CensusSource.find_genes

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not callable(getattr(CensusSource, name, None)):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return partial(self._hosted.call, name)

    def close(self) -> None:
        """End the process; safe to call twice."""
        self._hosted.close()

    def metadata_blocks(
        self, columns: Sequence[str], rows_per_block: int, after: int | None = None
    ) -> Iterator[pd.DataFrame]:
        """See `CensusSource.metadata_blocks`; where the process dies, another goes on after the last block."""

        def rest(block: pd.DataFrame | None) -> tuple[Sequence[str], int, int | None]:
            return columns, rows_per_block, after if block is None else int(block.index.to_numpy()[-1])

        yield from self._hosted.stream("metadata_blocks", rest)
