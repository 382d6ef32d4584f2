"""A CELLxGENE Census, public or private, or any SOMA experiment with its layout, as a source of cells (extra `census`).

The Census is a TileDB-SOMA collection with one experiment an organism. Cells are found by `soma_joinid`, a number that
each has for good; all reads here are of ranges of it, so that no more than a chunk is in memory, wherever the data lie.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.cell_source import gene_columns, gene_names
from langcell.processing.cells.raw_counts import first_fault, to_linear
from langcell.processing.gene_naming.found_genes import FoundGenes, GeneNaming, find_genes
from langcell.processing.genes import GeneVocabulary

logger = logging.getLogger("langcell")

HUMAN = "homo_sapiens"
_MEASUREMENT = "RNA"
_COUNTS = "raw"
_VERSION = re.compile(r"latest|stable|\d{4}-\d{2}-\d{2}")
# TileDB keeps a buffer of this size for each column of a read; the Census' own default is 1 GB.
_BUFFER_BYTES = 64 * 2**20
# What excludes values in a condition, and with them, as in SQL, the cells that have none.
_EXCLUDES = re.compile(r"!=|\bnot\b")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True)
class CensusSelection:
    """Which cells of which Census.

    Attributes:
        uri: URI of a Census, or of one experiment: s3://..., a folder, ...
        organism: Key of the experiment in a Census, such as "homo_sapiens" or "mus_musculus".
        value_filter: Condition on obs columns in TileDB-SOMA's syntax, such as
            "is_primary_data == True and tissue_general == 'blood'". A cell without a value passes neither == nor !=.
        joinids: First `soma_joinid` and the one to stop before; None for all.
    """

    uri: str
    organism: str = HUMAN
    value_filter: str | None = None
    joinids: tuple[int, int] | None = None


def resolve_census(uri_or_version: str) -> str:
    """Return the URI of a Census: a public version ("stable", "latest", a date) is looked up, a folder made absolute.

    Raises:
        ValueError: No such version, or the extra is not installed.
    """
    if _VERSION.fullmatch(uri_or_version):
        census = _library("cellxgene_census")
        try:
            return census.get_census_version_description(uri_or_version)["soma"]["uri"]
        except Exception as error:  # network and lookup errors of several libraries
            raise ValueError(f"Census version {uri_or_version!r} cannot be looked up: {_first_line(error)}") from error
    return uri_or_version if "://" in uri_or_version else str(Path(uri_or_version).resolve())


def parse_joinids(text: str) -> tuple[int, int]:
    """Return a range of `soma_joinid` from "start:stop".

    Raises:
        ValueError: It is none.

    >>> parse_joinids("1000:2000")
    (1000, 2000)
    """
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise ValueError(f"{text!r} is no range of soma_joinids; give start:stop, such as 0:100000.")
    return int(match[1]), int(match[2])


def excludes_values(value_filter: str) -> bool:
    """Return whether a condition leaves out values, and so the cells without one too.

    >>> excludes_values("cell_type != 'B cell'"), excludes_values("cell_type == 'not !='")
    (True, False)
    """
    return _EXCLUDES.search(_QUOTED.sub("", value_filter)) is not None


class CensusSource:
    """The cells of a `CensusSelection`, by `soma_joinid`; a context manager. The counterpart of `CellSource`.

    Attributes:
        gene_names: One name a gene, `feature_id` where there is that column.
        gene_columns: Other columns of var that hold names.
        naming: How the genes are named: species and orthologs.
        var: Table of genes.
        obs_columns: Names of the columns of obs.

    Raises:
        ValueError: The extra is not installed, nothing can be opened there, or it has another layout or no such column.
    """

    def __init__(
        self,
        selection: CensusSelection,
        *,
        gene_column: str | None = None,
        layer: str | None = None,
        naming: GeneNaming | None = None,
    ) -> None:
        self.selection, self.naming = selection, naming or GeneNaming()
        self._soma = _library("tiledbsoma")
        layer = layer or _COUNTS
        with self._readable_errors():
            self._opened, experiment = self._open()
            self._obs = experiment.obs
            measurement = experiment.ms[_MEASUREMENT]
            if layer not in measurement.X:
                raise ValueError(f"{selection.uri}: no X layer {layer!r}; it has {sorted(measurement.X.keys())}.")
            self._x = measurement.X[layer]
            var = measurement.var.read().concat().to_pandas().sort_values("soma_joinid")
        if self._obs.index_column_names[0] != "soma_joinid":
            raise ValueError(f"{selection.uri}: obs is indexed by {self._obs.index_column_names}, not by soma_joinid.")
        self._gene_ids = var["soma_joinid"].to_numpy()
        self.var = var = var.set_index("soma_joinid")
        self.gene_columns = gene_columns(var)
        self.gene_names = gene_names(
            var, gene_column or ("feature_id" if "feature_id" in var else self.gene_columns[0])
        )
        self.obs_columns = list(self._obs.schema.names)

    def __enter__(self) -> "CensusSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the Census; safe to call twice."""
        self._opened.close()

    def find_genes(self, vocabulary: GeneVocabulary, *, tell: bool = True) -> FoundGenes:
        """Return where the genes are in a vocabulary, and say in the log what there is to say. See `find_genes`."""
        try:
            found = find_genes(self.gene_names, vocabulary, naming=self.naming, other_columns=self.gene_columns)
        except ValueError as error:
            raise ValueError(f"{self.selection.uri}: {error}") from None
        for note in found.notes if tell else ():
            logger.info("%s", note)
        return found

    def n_in_range(self) -> int:
        """Return the number of cells in the range of `soma_joinid`s, before the filter."""
        with self._readable_errors():
            if self.selection.joinids is None:
                return int(self._obs.count)
            reads = self._obs.read(self._range(*self.selection.joinids), column_names=["soma_joinid"])
            return sum(table.num_rows for table in reads)

    def metadata(self, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
        """Return the columns of the selected cells from `start` to `stop`, which are the index; a column not there is
        left out."""
        first, last = self.selection.joinids or (start, stop)
        start, stop = max(start, first), min(stop, last)
        tables = list(self._tables(columns, (start, stop))) if start < stop else []
        return pd.concat(tables) if tables else pd.DataFrame(columns=pd.Index(self._present(columns)))

    def metadata_blocks(
        self, columns: Sequence[str], rows_per_block: int, after: int | None = None
    ) -> Iterator[pd.DataFrame]:
        """Yield the columns of all selected cells in ascending order, in tables of at most `rows_per_block` rows.

        Those up to the cell `after` are left out.
        """
        joinids = self.selection.joinids
        if after is not None:
            last = int(self._obs.domain[0][1]) + 1 if joinids is None else joinids[1]
            if after + 1 >= last:
                return
            joinids = (after + 1, last)
        for table in self._tables(columns, joinids):
            for start in range(0, len(table), rows_per_block):
                yield table.iloc[start : start + rows_per_block]

    def counts_of(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Return the raw counts of some cells.

        Args:
            rows: int64, their `soma_joinid`s, ascending.

        Returns:
            Cells x genes, checked and in canonical form.

        Raises:
            ValueError: A value is no count, or cannot be read.
        """
        parts = []
        with self._readable_errors():
            for table in self._x.read((rows, slice(None))).tables():
                cells = np.searchsorted(rows, table["soma_dim_0"].to_numpy())
                genes = np.searchsorted(self._gene_ids, table["soma_dim_1"].to_numpy())
                parts.append((table["soma_data"].to_numpy(), cells.astype(np.int32), genes.astype(np.int32)))
        shape = (len(rows), len(self._gene_ids))
        if not parts:
            return sparse.csr_matrix(shape, dtype=np.float32)
        values, cells, genes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if (fault := first_fault(values, "counts")) is not None:
            place, reason = fault
            where = f"cell {rows[cells[place]]}, gene {self.gene_names[genes[place]]}"
            raise ValueError(f"{self.selection.uri}: {where}, {reason}; counts expected: read another layer.")
        return to_linear(sparse.csr_matrix((values, (cells, genes)), shape=shape), "counts")

    def _open(self) -> tuple[Any, Any]:
        """Return what was opened, and the experiment in it."""
        context = _library("cellxgene_census").get_default_soma_context(
            {"soma.init_buffer_bytes": _BUFFER_BYTES, "py.init_buffer_bytes": _BUFFER_BYTES}
        )
        opened = self._soma.open(self.selection.uri, context=context)
        if isinstance(opened, self._soma.Experiment):
            return opened, opened
        if "census_data" not in opened:
            raise ValueError(f"{self.selection.uri}: neither a SOMA experiment nor a Census, which has 'census_data'.")
        organisms = opened["census_data"]
        if self.selection.organism not in organisms:
            raise ValueError(f"No organism {self.selection.organism!r}; the Census has {sorted(organisms.keys())}.")
        return opened, organisms[self.selection.organism]

    def _tables(self, columns: Sequence[str], joinids: tuple[int, int] | None) -> Iterator[pd.DataFrame]:
        names = ["soma_joinid", *self._present(columns)]
        with self._readable_errors():
            reads = self._obs.read(
                () if joinids is None else self._range(*joinids),
                column_names=names,
                value_filter=self.selection.value_filter,
                result_order="row-major",  # by soma_joinid
            )
            for table in reads:
                yield table.to_pandas().set_index("soma_joinid")[names[1:]]

    def _present(self, columns: Sequence[str]) -> list[str]:
        return [column for column in columns if column in self.obs_columns]

    def _range(self, start: int, stop: int) -> tuple[slice, ...]:
        return (slice(start, stop - 1),)  # both ends belong to a SOMA slice

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except self._soma.SOMAError as error:
            chosen = f" (filter {self.selection.value_filter!r})" if self.selection.value_filter else ""
            raise ValueError(f"{self.selection.uri}{chosen}: {_first_line(error)}") from error


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f'A Census is read with {name}: pip install "langcell[census]" ({error}).') from error


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
