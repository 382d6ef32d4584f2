"""float32 against bfloat16 for the bundled model: is it faster on this CPU, and what does it change?

    OMP_NUM_THREADS=1 python benchmarks/dtypes.py --cells 700 --labels 10 200

Names scanpy's 700 blood cells by `langcell.annotate` in both dtypes, and says CPU seconds (those of other processes do
not count), the share of equal labels, and the least cosine between the embeddings.
"""

import argparse
import logging
import time

import numpy as np
from anndata import AnnData

import langcell
from langcell.loading.load import load_config
from langcell.processing.labels.resolve import Label, labels_under, resolve_labels
from langcell.processing.ontology.terms import Ontology
from langcell.sample_data import BULK_LABELS, sample_cells

DTYPES = ("float32", "bfloat16")


def choose_labels(n_labels: int) -> list[Label]:
    """Return the ten sorted populations, or the first of the model's training types."""
    if n_labels <= len(BULK_LABELS):
        return resolve_labels(list(BULK_LABELS.values())[:n_labels])
    trained = load_config().training_cell_types or []
    return labels_under("CL:0000000", among=trained, ontology=Ontology.cellxgene())[:n_labels]


def name(cells: AnnData, labels: list[Label], dtype: str, rerank: str) -> tuple[AnnData, float]:
    """Name cells; return them, and the CPU seconds without loading."""
    few = cells[:2].copy()  # so that the first call's preparations are not measured
    named = cells.copy()
    seconds = []
    for part in (few, named):
        started = time.process_time()
        langcell.annotate(part, labels, device="cpu", dtype=dtype, rerank=rerank, progress=False)
        seconds.append(time.process_time() - started)
    return named, seconds[1] - seconds[0]


def main() -> None:
    """Print a line for each number of labels and way of re-ranking."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=700)
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 200])
    options = parser.parse_args()
    logging.getLogger("langcell").setLevel(logging.ERROR)
    cells = sample_cells()[: options.cells].copy()
    print("labels  rerank  float32 s  bfloat16 s  ratio  equal labels  least cosine")
    for n_labels in options.labels:
        labels = choose_labels(n_labels)
        for rerank in ("none", "exact"):
            results = [name(cells, labels, dtype, rerank) for dtype in DTYPES]
            (one, slow), (other, fast) = results
            equal = np.mean(one.obs["langcell_label"].astype(str) == other.obs["langcell_label"].astype(str))
            cosine = (one.obsm["X_langcell"] * other.obsm["X_langcell"]).sum(1).min()
            figures = f"{slow:9.1f}  {fast:10.1f}  {slow / fast:5.2f}  {equal:12.1%}  {cosine:.4f}"
            print(f"{len(labels):6}  {rerank:6}  {figures}", flush=True)


if __name__ == "__main__":
    main()
