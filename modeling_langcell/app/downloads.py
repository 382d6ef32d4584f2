"""What can be taken home beside the annotated file: tables, the report, and the figure."""

from pathlib import Path

from langcell.reporting.contents import NamedData
from langcell.reporting.page import render
from langcell.reporting.picture import draw_picture

ANNOTATED, CELLS, CLUSTERS, REPORT, PNG, SVG = "h5ad", "cells", "clusters", "report", "png", "svg"


def table_beside(output: Path) -> Path:
    """Return where the table of cells goes, which naming writes as `langcell annotate --csv` does."""
    return output.with_suffix(".csv")


def write_downloads(output: Path, named: NamedData, *, tables: list[Path], title: str) -> dict[str, str]:
    """Write report and figure beside an annotated h5ad; returns kind -> name, with those of the h5ad and the tables.

    Args:
        output: the annotated h5ad.
        named: what is in it.
        tables: tables of the cells and, where there are clusters, of the clusters; written already.
        title: what the report and the picture call the data.
    """
    stem = output.with_suffix("")
    files = dict(zip((CELLS, CLUSTERS), tables, strict=False))
    files |= {kind: Path(f"{stem}{ending}") for kind, ending in _ENDINGS.items()}
    files[REPORT].write_text(render(named, title=title), encoding="utf-8")
    draw_picture(named, files[PNG], files[SVG], title=title)
    return {ANNOTATED: output.name, **{kind: file.name for kind, file in files.items()}}


_ENDINGS = {REPORT: "_report.html", PNG: ".png", SVG: ".svg"}
