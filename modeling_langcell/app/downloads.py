"""What can be taken home beside the annotated file: tables, the report, and the figure."""

from pathlib import Path

import pandas as pd

from langcell.processing.cells.anndata_io import open_elements
from langcell.processing.cells.cell_tables import StoredTable
from langcell.reporting.contents import NamedData
from langcell.reporting.page import render
from langcell.reporting.picture import draw_picture

ANNOTATED, CELLS, CLUSTERS, REPORT, PNG, SVG = "h5ad", "cells", "clusters", "report", "png", "svg"


def write_downloads(output: Path, named: NamedData, *, title: str) -> dict[str, str]:
    """Write the files beside an annotated h5ad; returns kind -> name, with that of the h5ad.

    Args:
        output: the annotated h5ad.
        named: what is in it.
        title: what the report and the picture call the data.
    """
    stem = output.with_suffix("")
    files = {kind: Path(f"{stem}{ending}") for kind, ending in _ENDINGS.items()}
    _cells(output).to_csv(files[CELLS], index=False)
    if named.clusters is not None:
        named.clusters.to_csv(files[CLUSTERS], index=False)
    else:
        del files[CLUSTERS]
    files[REPORT].write_text(render(named, title=title), encoding="utf-8")
    draw_picture(named, files[PNG], files[SVG], title=title)
    return {ANNOTATED: output.name, **{kind: file.name for kind, file in files.items()}}


_ENDINGS = {CELLS: "_cells.csv", CLUSTERS: "_clusters.csv", REPORT: "_report.html", PNG: ".png", SVG: ".svg"}


def _cells(output: Path) -> pd.DataFrame:
    """A row for each cell: barcode, and the columns that the run wrote, as Seurat's AddMetaData and Loupe read them."""
    with open_elements(output) as (root, read):
        table = StoredTable(root["obs"], read)
        columns = [name for name in table.columns if name.startswith("langcell_")]
        cells = table.read(columns, 0, table.n_cells)
        cells.insert(0, "barcode", pd.Series(table.names(0, table.n_cells)))
    return cells
