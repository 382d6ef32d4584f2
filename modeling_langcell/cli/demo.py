"""`langcell demo`: real blood cells named by text, with a table, a picture, and a comparison with the sorting."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from rich.console import Console
from rich.table import Table

from langcell.inference.annotation import annotate
from langcell.inference.evidence.explain import Explanation, explain
from langcell.loading.load import DEFAULT_MODEL
from langcell.reporting.contents import read_named
from langcell.reporting.picture import draw_picture
from langcell.sample_data import BULK_LABELS, sample_cells


def run_demo(output: str | Path, *, model: str = DEFAULT_MODEL, device: str | None = None) -> AnnData:
    """Name the sample's cells, print a table, write h5ad and pictures into `output`; returns the named cells."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    cells = sample_cells()
    labels = list(BULK_LABELS.values())
    started = time.perf_counter()
    annotate(cells, labels, output=output / "pbmc_named.h5ad", model=model, device=device)
    seconds = time.perf_counter() - started
    table = pd.DataFrame(cells.obs)
    named, truth = (pd.Series(table[name], dtype=str) for name in ("langcell_label", "cell_type"))
    console = Console()
    console.print(summary_table(named, truth, pd.Series(table["langcell_confidence"]), labels))
    console.print(f"{len(cells)} cells, {len(labels)} labels, {seconds:.1f} s. Agreement {np.mean(named == truth):.1%}")
    found = explain(cells, model=model, device=device, progress=False)
    assert isinstance(found, Explanation)
    dots = found.dots(genes_per_label=2) if any(group.supporting for group in found.groups) else None
    draw_picture(read_named(cells), output / "cells.png", title="700 blood cells named by text", dots=dots)
    draw_confusion(named, truth, labels, output / "confusion.png")
    console.print(f"Wrote pbmc_named.h5ad, cells.png and confusion.png into {output}/")
    return cells


def summary_table(named: pd.Series, truth: pd.Series, confidence: pd.Series, labels: list[str]) -> Table:
    """Return cells, mean confidence, and agreement with the sorted populations, label by label."""
    table = Table(
        title="Blood cells named by text, without a labelled cell",
        caption="agreement: share of the cells with this label that were sorted as this population",
    )
    table.add_column("label")
    for column in ("cells", "mean confidence", "agreement"):
        table.add_column(column, justify="right")
    for label in sorted(labels, key=lambda label: -(named == label).sum()):
        chosen = named == label
        if chosen.any():
            agreement = f"{(truth[chosen] == label).mean():.0%}"
            table.add_row(label, str(chosen.sum()), f"{confidence[chosen].mean():.2f}", agreement)
        else:
            table.add_row(label, "0", "", "")
    return table


def draw_confusion(named: pd.Series, truth: pd.Series, labels: list[str], path: Path) -> None:
    """Draw sorted population against given label, each row summing to one; rows have names, columns their numbers."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    matrix = confusion_matrix(truth, named, labels=labels, normalize="true")
    cells = truth.value_counts()
    figure = Figure(figsize=(9.5, 5.6), layout="constrained")
    axis = figure.subplots()
    ConfusionMatrixDisplay(matrix).plot(values_format=".2f", ax=axis, colorbar=False, cmap="Blues")
    numbers = range(1, len(labels) + 1)
    axis.set_xticks(range(len(labels)), [str(number) for number in numbers])
    rows = [f"{label} ({cells.get(label, 0)})  {number}" for number, label in zip(numbers, labels, strict=True)]
    axis.set_yticks(range(len(labels)), rows)
    axis.set(xlabel="named by LangCell", ylabel="sorted population (cells)")
    figure.savefig(path, dpi=150, bbox_inches="tight")
