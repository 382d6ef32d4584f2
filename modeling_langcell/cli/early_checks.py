"""What `langcell annotate` refuses before torch is imported, which takes seconds: a mistake is answered in about one.

The run checks the same again: it can be started from Python, and by several processes.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langcell.loading.options import BUNDLED_MODEL

if TYPE_CHECKING:
    from langcell.inference.naming.options import LabelOptions, NamingOptions
    from langcell.inference.running.options import ReadingOptions

# Opening one of these reads its tables alone; other containers may have to be converted first.
_QUICKLY_OPENED = (".h5ad", ".h5mu", ".h5", ".zarr")
_COLUMNS = ("cluster_column", "batch_column", "known_column")


def check_files(
    cells: Path,
    output: Path,
    *read: Path | None,
    naming: "NamingOptions",
    csv: Path | None,
    report: Path | None,
) -> None:
    """Refuse files that are not there or cannot be written.

    Args:
        cells: input.
        output: h5ad or zarr file to write.
        read: files that are read, too, which no table replaces; None is no file.
        naming: says whether there is a table of clusters.
        csv: table to write, too.
        report: page to write, too.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: another suffix, or something that must not be replaced.
    """
    from langcell.inference.naming.csv_tables import check_csv
    from langcell.processing.cells.annotation_values import check_output, check_page_place, refuse_same_file

    check_output(output)
    refuse_same_file(cells, output)
    check_csv(csv, clusters=naming.cluster or naming.cluster_column is not None)
    if csv is not None:
        for path in read:
            refuse_same_file(path, csv)
    if report is not None:
        check_page_place(report)


def check_words(labels: "LabelOptions", model: Any, *, adapter: Any = None) -> None:
    """Refuse labels that cannot be read, and a tissue that the model does not know.

    Args:
        labels: as given.
        model: model whose tissues are asked, where it is bundled (None, too) or a folder.
        adapter: names the base itself; tissues are not asked then.

    Raises:
        ValueError: which of them, and what is legal.
    """
    from langcell.processing.labels.resolve import read_labels, resolve_labels
    from langcell.processing.labels.splitting import split_labels
    from langcell.processing.labels.tissues import types_of_tissue

    labels.check()
    reading: dict[str, Any] = {"tissue": labels.tissue, "accept_suggestions": labels.accept_suggestions}
    if labels.labels is not None:
        resolve_labels(split_labels(labels.labels), **reading)
    elif labels.labels_file is not None:
        read_labels(labels.labels_file, **reading)
    elif labels.tissue is not None and labels.ontology_root is None and adapter is None:
        facts = _facts_of(model)
        if facts.get("tissue_cell_types") and not facts.get("fine_tuning"):
            types_of_tissue(labels.tissue, facts["tissue_cell_types"])


def check_cells(
    cells: Path, reading: "ReadingOptions", naming: "NamingOptions", *, sample_column: str | None = None
) -> None:
    """Refuse cells without raw counts, layers and columns that are not there; only where a file opens quickly.

    Args:
        cells: input.
        reading: how it is read.
        naming: may name columns of obs.
        sample_column: column of obs for the report.

    Raises:
        ValueError: what is wrong, and what to do.
    """
    if cells.suffix not in _QUICKLY_OPENED or not cells.exists():
        return
    from langcell.processing.cells.anndata_io import open_cells

    with open_cells(cells, **reading.source) as source:
        naming = naming.with_clusters_in(source.obs_columns)
        for name, column in [*((name, getattr(naming, name)) for name in _COLUMNS), ("sample_column", sample_column)]:
            if column is not None and column not in source.obs_columns:
                there = [str(each) for each in source.obs_columns]
                make = "; --cluster makes clusters" if name == "cluster_column" else ""
                raise ValueError(f"unknown {name.replace('_', ' ')} {column!r}; obs has {there}{make}")


def _facts_of(model: Any) -> dict[str, Any]:
    """Return the configuration of the bundled model or of a folder as it is stored; nothing for an id on the Hub."""
    if model is None or str(model) == BUNDLED_MODEL:
        folder = Path(str(files("langcell.hub_cards").joinpath(BUNDLED_MODEL)))
    else:
        folder = Path(model)
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
