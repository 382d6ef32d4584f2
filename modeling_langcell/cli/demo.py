"""`langcell demo`: real blood cells named by text, with a table and two pictures."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from langcell.inference.annotation import annotate
from langcell.loading.load import DEFAULT_MODEL

# How the Cell Ontology calls the ten sorted populations of scanpy's sample.
BULK_LABELS = {
    "CD14+ Monocyte": "CD14-positive monocyte",
    "Dendritic": "dendritic cell",
    "CD19+ B": "B cell",
    "CD56+ NK": "natural killer cell",
    "CD4+/CD25 T Reg": "regulatory T cell",
    "CD4+/CD45RA+/CD25- Naive T": "naive thymus-derived CD4-positive, alpha-beta T cell",
    "CD4+/CD45RO+ Memory": "CD4-positive, alpha-beta memory T cell",
    "CD8+ Cytotoxic T": "CD8-positive, alpha-beta cytotoxic T cell",
    "CD8+/CD45RA+ Naive Cytotoxic": "naive thymus-derived CD8-positive, alpha-beta T cell",
    "CD34+": "hematopoietic stem cell",
}


def sample_cells() -> AnnData:
    """700 peripheral blood cells (10x Genomics, in scanpy's package) with their counts recovered.

    The sample holds log1p of counts per 10,000 for 765 genes; with the true depth in obs["n_counts"] the counts come
    back exactly: round(expm1(x) * n_counts / 10,000).

    Raises:
        ValueError: the values do not come out as whole counts (another version of the sample).
    """
    import scanpy as sc

    sample = sc.datasets.pbmc68k_reduced()
    table = pd.DataFrame(sample.obs[["bulk_labels", "n_counts"]])
    depth = table["n_counts"].to_numpy()
    counts = csr_matrix(sample.raw.X, dtype=np.float64)
    counts.data = np.expm1(counts.data) * np.repeat(depth, np.diff(counts.indptr)) / 10_000
    whole = np.rint(counts.data)
    if np.abs(counts.data - whole).max() > 0.1:
        raise ValueError("scanpy's pbmc68k_reduced is not as expected: its values do not come back as whole counts.")
    counts.data = whole
    table["cell_type"] = pd.Categorical([BULK_LABELS[name] for name in table["bulk_labels"]])
    return AnnData(counts.astype(np.float32), obs=table, var=pd.DataFrame(sample.raw.var))


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
