"""`langcell demo`: real blood cells named by text, with a table and two pictures."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from rich.console import Console
from rich.table import Table

from langcell.inference.annotation import annotate
from langcell.loading.load import DEFAULT_MODEL
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
    draw_umap(cells, output / "umap.png")
    draw_confusion(named, truth, labels, output / "confusion.png")
    console.print(f"Wrote pbmc_named.h5ad, umap.png and confusion.png into {output}/")
    return cells


def summary_table(named: pd.Series, truth: pd.Series, confidence: pd.Series, labels: list[str]) -> Table:
    """Cells, mean confidence, and agreement with the sorted populations, label by label."""
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


def draw_umap(cells: AnnData, path: Path) -> None:
    """UMAP of the cell embeddings, coloured by label."""
    import matplotlib.pyplot as plt
    import scanpy as sc

    cells = cells.copy()  # neighbours, coordinates and colours are for the picture alone
    sc.pp.neighbors(cells, use_rep="X_langcell", n_neighbors=15, random_state=0)
    sc.tl.umap(cells, random_state=0)
    figure, axis = plt.subplots(figsize=(9, 5))
    cells.obs["label"] = cells.obs["langcell_label"].cat.remove_unused_categories()  # the legend names what is there
    sc.pl.umap(cells, color="label", ax=axis, show=False, frameon=False, title="Named by LangCell")
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def draw_confusion(named: pd.Series, truth: pd.Series, labels: list[str], path: Path) -> None:
    """Sorted population against given label, each row summing to one."""
    import matplotlib.pyplot as plt
    from sklearn.metrics import ConfusionMatrixDisplay

    figure, axis = plt.subplots(figsize=(10, 9))
    cells = truth.value_counts()
    ConfusionMatrixDisplay.from_predictions(
        truth,
        named,
        labels=labels,
        normalize="true",
        xticks_rotation="vertical",
        values_format=".2f",
        ax=axis,
        colorbar=False,
    )
    axis.set_yticklabels([f"{label} ({cells.get(label, 0)})" for label in labels])
    axis.set(xlabel="named by LangCell", ylabel="sorted population (cells)")
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
