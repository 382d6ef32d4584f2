"""What an opened data set offers, before it is known which of its values to read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from langcell.processing.cells.cell_tables import CellTable
from langcell.processing.cells.feature_types import gene_rows
from langcell.processing.cells.matrix_rows import MatrixRows

RAW = "raw/X"


@dataclass(frozen=True)
class Contents:
    """What an opened file or object offers, before it is known which values to read.

    Attributes:
        name: The path, or what else messages call the data set.
        cells: Table of cells.
        var: Table of genes of X and the layers.
        raw_var: Table of genes of raw, which usually has more.
        matrices: Location ("X", "layers/counts", "raw/X") to a function that opens its rows.
        close: Releases the file.
        log_base: Base of the logarithms in X, as uns["log1p"]["base"] says; None where it does not.
    """

    name: str
    cells: CellTable
    var: pd.DataFrame
    raw_var: pd.DataFrame | None
    matrices: Mapping[str, Callable[[], MatrixRows]]
    close: Callable[[], None]
    log_base: float | None = None

    def var_of(self, location: str) -> pd.DataFrame:
        """Return the gene table that belongs to a location: raw has its own."""
        return self.raw_var if location == RAW and self.raw_var is not None else self.var

    def gene_rows_of(self, location: str) -> tuple[np.ndarray, str]:
        """Return which rows of that table are genes, and in words what the others are; see `gene_rows`."""
        table = self.var_of(location)
        is_gene, others = gene_rows(table)
        if table is not self.var and not others and self.var.index.is_unique:
            # Raw often keeps names alone: what the table of X says of a name is true of it there, too.
            is_known_gene, others = gene_rows(self.var)
            is_gene = ~table.index.isin(self.var.index[~is_known_gene])
            others = others if not is_gene.all() else ""
        return is_gene, others


def layer_names(adata: Any) -> list[str]:
    """List the layers of an AnnData without X, which anndata 0.13 has among them under the name None."""
    return [name for name in adata.layers if name is not None]


def layer_name(location: str) -> str:
    """Return what `layer=` calls a location: "X", "raw", or the name of the layer."""
    return "raw" if location == RAW else location.removeprefix("layers/")


def shown(location: str) -> str:
    """Return a location as AnnData users write it: `layers["counts"]`, `raw.X`."""
    if location.startswith("layers/"):
        return f'layers["{location.removeprefix("layers/")}"]'
    return location.replace("/", ".")
