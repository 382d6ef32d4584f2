"""A Census that is read in a process of its own: a crash of the native library ends that process, and not the run."""

from collections.abc import Iterator, Sequence
from functools import partial
from types import TracebackType

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.gene_naming.found_genes import FoundGenes, GeneNaming
from langcell.processing.genes import GeneVocabulary
from langcell.processing.sources.census import CensusSelection, CensusSource, genes_of_census
from langcell.processing.workers.hosted import HostedObject
from langcell.processing.workers.worker import is_expendable


def open_census(
    selection: CensusSelection, *, gene_column: str | None = None, layer: str | None = None, naming: GeneNaming
) -> "CensusSource | HostedCensus":
    """Open a Census in this process if it may die, as workers may, and in one of its own otherwise.

    Raises:
        ValueError: What `CensusSource` raises.
        OSError: The process that reads died again and again.
    """
    if is_expendable():
        return CensusSource(selection, gene_column=gene_column, layer=layer, naming=naming)
    return HostedCensus(selection, gene_column=gene_column, layer=layer, naming=naming)


class HostedCensus:
    """A `CensusSource` in a process of its own; a context manager with the same attributes and methods."""

    def __init__(
        self,
        selection: CensusSelection,
        *,
        gene_column: str | None = None,
        layer: str | None = None,
        naming: GeneNaming | None = None,
    ) -> None:
        self.selection, self.naming = selection, naming or GeneNaming()
        make = partial(CensusSource, selection, gene_column=gene_column, layer=layer, naming=naming)
        self._hosted = HostedObject(make)
        try:
            facts = self._hosted.attributes("gene_names", "gene_columns", "var", "obs_columns")
        except BaseException:
            self._hosted.close()
            raise
        self.gene_names: list[str] = facts[0]
        self.gene_columns: list[str] = facts[1]
        self.var: pd.DataFrame = facts[2]
        self.obs_columns: list[str] = facts[3]

    def __enter__(self) -> "HostedCensus":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; safe to call twice."""
        self._hosted.close()

    def find_genes(self, vocabulary: GeneVocabulary, *, tell: bool = True) -> FoundGenes:
        """Return where the genes are in a vocabulary; see `genes_of_census`."""
        return genes_of_census(self, vocabulary, tell=tell)

    def n_in_range(self) -> int:
        """Return cells in the range of `soma_joinid`s, before the filter."""
        return self._hosted.call("n_in_range")

    def metadata(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Return the columns of the selected cells from `start` to `stop`, which are the index; a column not there is
        left out."""
        return self._hosted.call("metadata", columns, start, stop)

    def metadata_blocks(self, columns: Sequence[str], rows_per_block: int) -> Iterator[pd.DataFrame]:
        """Yield the columns of all selected cells in ascending order, in tables of at most `rows_per_block` rows."""

        def after(block: pd.DataFrame | None) -> tuple[Sequence[str], int, int | None]:
            return columns, rows_per_block, None if block is None else int(block.index.to_numpy()[-1])

        yield from self._hosted.stream("metadata_blocks", after)

    def counts_of(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Return the raw counts of some cells, cells x genes; see `CensusSource.counts_of`."""
        return self._hosted.call("counts_of", rows)
