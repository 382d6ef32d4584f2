"""Peak memory and speed of `langcell annotate` for files of a growing number of cells.

    python benchmarks/atlas_memory.py --cells 10000 100000 300000
    python benchmarks/atlas_memory.py --cells 200000 --refine none auto

Each file is synthetic: every cell has 5 counts on genes that the bundled model knows (so that the model is quick) and
100 on others (so that the matrix is large). Each run is a process of its own; its peak is VmHWM of /proc (Linux).
With `--refine none auto` the difference is what the refinement costs: its share of the time is greater here than with
real cells, which take the model longer.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from scipy.sparse import csr_matrix

from langcell.loading.load import bundled_model_folder
from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary

LABELS = "B cell,natural killer cell,monocyte,hepatocyte"
N_KNOWN, N_OTHER = 200, 1000
KNOWN_PER_CELL, OTHER_PER_CELL = 5, 100
ROWS_AT_ONCE = 10_000
MIB = 1 << 20

# VmHWM of the process itself; what a child would say by getrusage includes its parent before the exec.
SCRIPT = """
import sys
from langcell.cli.commands import app
app(sys.argv[1:], standalone_mode=False)
with open("/proc/self/status") as file:
    print("peak", next(line for line in file if line.startswith("VmHWM")).split()[1])
"""


def write_cells(path: Path, n_cells: int, gene_names: list[str]) -> None:
    """Write an h5ad file block by block, so that this process stays small too."""
    per_cell = KNOWN_PER_CELL + OTHER_PER_CELL
    empty = csr_matrix((0, len(gene_names)), dtype=np.float32)
    AnnData(empty, var=pd.DataFrame(index=gene_names)).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        write_elem(file, "obs", pd.DataFrame(index=[f"AAACCTGAG{i:09d}-1" for i in range(n_cells)]))
        x = file["X"]
        x.attrs["shape"] = (n_cells, len(gene_names))
        for name, dtype, length in (("data", "f4", n_cells * per_cell), ("indices", "i4", n_cells * per_cell)):
            del x[name]
            x.create_dataset(name, shape=(length,), dtype=dtype)
        del x["indptr"]
        x["indptr"] = np.arange(0, n_cells * per_cell + 1, per_cell)
        rng = np.random.default_rng(0)
        for start in range(0, n_cells, ROWS_AT_ONCE):
            n_rows = min(ROWS_AT_ONCE, n_cells - start)
            known = np.sort(rng.random((n_rows, N_KNOWN)).argsort(1)[:, :KNOWN_PER_CELL], axis=1)
            step = N_OTHER // OTHER_PER_CELL
            other = N_KNOWN + np.arange(OTHER_PER_CELL) * step + rng.integers(0, step, (n_rows, 1))
            place = slice(start * per_cell, (start + n_rows) * per_cell)
            x["indices"][place] = np.hstack([known, other]).astype(np.int32).ravel()
            x["data"][place] = rng.integers(1, 9, n_rows * per_cell).astype(np.float32)


def measure(n_cells: int, folder: Path, options: list[str]) -> tuple[float, float, float]:
    """Size of the file and peak of the process in MiB, and seconds."""
    vocabulary = GeneVocabulary.load(bundled_model_folder() / VOCABULARY_FILE)
    gene_names = [*vocabulary.gene_ids[:N_KNOWN], *(f"other{i}" for i in range(N_OTHER))]
    source, output = folder / "cells.h5ad", folder / "named.h5ad"
    write_cells(source, n_cells, gene_names)
    started = time.perf_counter()
    words = ["annotate", str(source), "-o", str(output), "--labels", LABELS, "--device", "cpu", *options]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    size = source.stat().st_size / MIB
    source.unlink()
    output.unlink()
    return size, int(done.stdout.split("peak ")[1]) / 1024, seconds


def main() -> None:
    """Print a line for each number of cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--refine", nargs="+", default=["auto"], choices=["auto", "none"])
    parser.add_argument("--max-batch-tokens", default="16384")
    options = parser.parse_args()
    print("   cells  refine  file MiB  peak MiB  seconds  cells/s")
    for n_cells, refine in product(options.cells, options.refine):
        words = ["--max-batch-tokens", options.max_batch_tokens, "--refine", refine]
        with tempfile.TemporaryDirectory() as folder:
            size, peak, seconds = measure(n_cells, Path(folder), words)
        speed = n_cells / seconds
        print(f"{n_cells:8}  {refine:>6}  {size:8.0f}  {peak:8.0f}  {seconds:7.0f}  {speed:7.0f}", flush=True)


if __name__ == "__main__":
    main()
