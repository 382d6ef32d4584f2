"""Peak memory and speed of `langcell annotate` for files of a growing number of cells.

    python benchmarks/atlas_memory.py --cells 10000 100000 300000
    python benchmarks/atlas_memory.py --cells 200000 --refine none auto
    python benchmarks/atlas_memory.py --cells 1000000 --refine none auto --copies-of pbmc3k.h5ad

Each file is synthetic: every cell has 5 counts on genes that the bundled model knows (so that the model is quick) and
100 on others (so that the matrix is large). With --copies-of the cells are those of a real file, again and again; each
copy keeps each of its counts with a chance of nine in ten, so that no two are the same. Each run is a process of its
own; its peak is VmHWM of /proc (Linux), and its processor time counts the processes that it starts, too.
With `--refine none auto` the difference is what the refinement costs: its share of the time is greater for synthetic
cells than for real ones, which take the model longer.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from anndata.io import write_elem
from scipy.sparse import csr_matrix

from langcell.loading.load import bundled_model_folder
from langcell.processing.genes import VOCABULARY_FILE, GeneVocabulary

LABELS = "B cell,natural killer cell,monocyte,hepatocyte"
N_KNOWN, N_OTHER = 200, 1000
KNOWN_PER_CELL, OTHER_PER_CELL = 5, 100
ROWS_AT_ONCE = 10_000
# Chance of each count of a copied cell to be kept.
KEPT = 0.9
MIB = 1 << 20

# VmHWM of the process itself; what a child would say by getrusage includes its parent before the exec.
SCRIPT = """
import sys
from langcell.cli.commands import app
app(sys.argv[1:], standalone_mode=False)
with open("/proc/self/status") as file:
    print("peak", next(line for line in file if line.startswith("VmHWM")).split()[1])
"""


def synthetic_blocks(n_cells: int) -> tuple[list[str], Iterator[csr_matrix]]:
    """Return gene names and blocks of synthetic cells."""
    vocabulary = GeneVocabulary.load(bundled_model_folder() / VOCABULARY_FILE)
    names = [*vocabulary.gene_ids[:N_KNOWN], *(f"other{i}" for i in range(N_OTHER))]
    return names, _synthetic(n_cells, len(names))


def _synthetic(n_cells: int, n_genes: int) -> Iterator[csr_matrix]:
    per_cell, step = KNOWN_PER_CELL + OTHER_PER_CELL, N_OTHER // OTHER_PER_CELL
    rng = np.random.default_rng(0)
    for start in range(0, n_cells, ROWS_AT_ONCE):
        n_rows = min(ROWS_AT_ONCE, n_cells - start)
        known = np.sort(rng.random((n_rows, N_KNOWN)).argsort(1)[:, :KNOWN_PER_CELL], axis=1)
        other = N_KNOWN + np.arange(OTHER_PER_CELL) * step + rng.integers(0, step, (n_rows, 1))
        columns = np.hstack([known, other]).astype(np.int32).ravel()
        values = rng.integers(1, 9, n_rows * per_cell).astype(np.float32)
        yield csr_matrix((values, columns, np.arange(0, len(values) + 1, per_cell)), shape=(n_rows, n_genes))


def copied_blocks(path: Path, n_cells: int) -> tuple[list[str], Iterator[csr_matrix]]:
    """Return gene names and blocks of copies of the cells of a file with raw counts."""
    cells = read_h5ad(path)
    return list(cells.var_names), _copies(csr_matrix(cells.X), n_cells)


def _copies(counts: csr_matrix, n_cells: int) -> Iterator[csr_matrix]:
    rng, n_rows = np.random.default_rng(0), counts.shape[0]
    for start in range(0, n_cells, n_rows):
        block = csr_matrix(counts[: min(n_rows, n_cells - start)], copy=True)
        block.data = rng.binomial(block.data.astype(np.int64), KEPT).astype(np.float32)
        block.eliminate_zeros()
        yield block


def write_cells(path: Path, gene_names: list[str], blocks: Iterable[csr_matrix]) -> None:
    """Write an h5ad file block by block, so that this process stays small too."""
    empty = csr_matrix((0, len(gene_names)), dtype=np.float32)
    AnnData(empty, var=pd.DataFrame(index=gene_names)).write_h5ad(path)
    starts = [np.zeros(1, dtype=np.int64)]
    with h5py.File(path, "r+") as file:
        x = file["X"]
        del x["data"], x["indices"], x["indptr"]
        for name, dtype in (("data", "f4"), ("indices", "i4")):
            x.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(1 << 18,), dtype=dtype)
        for block in blocks:
            end = starts[-1][-1]
            starts.append(end + block.indptr[1:].astype(np.int64))
            for name, values in (("data", block.data), ("indices", block.indices)):
                x[name].resize((starts[-1][-1],))
                x[name][end:] = values
        x["indptr"] = np.concatenate(starts)
        n_cells = len(x["indptr"]) - 1
        x.attrs["shape"] = (n_cells, len(gene_names))
        write_elem(file, "obs", pd.DataFrame(index=[f"AAACCTGAG{i:09d}-1" for i in range(n_cells)]))


class Run(NamedTuple):
    """What a run of `langcell annotate` took.

    Attributes:
        peak: of memory, MiB.
        seconds: wall time.
        processor: processor time of all its processes, seconds.
    """

    peak: float
    seconds: float
    processor: float


def measure(source: Path, options: list[str]) -> Run:
    """Name the cells of a file in a process of its own."""
    output = source.with_name("named.h5ad")
    words = ["annotate", str(source), "-o", str(output), "--labels", LABELS, "--device", "cpu", *options]
    started, before = time.perf_counter(), _processor_time()
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    output.unlink()
    return Run(int(done.stdout.split("peak ")[1]) / 1024, seconds, _processor_time() - before)


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a line for each number of cells and each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--refine", nargs="+", default=["auto"], choices=["auto", "none"])
    parser.add_argument("--copies-of", type=Path, help="h5ad file with raw counts, whose cells are repeated")
    parser.add_argument("--max-batch-tokens", default="16384")
    options = parser.parse_args()
    print("   cells  refine  file MiB  peak MiB  seconds  processor s  cells/s")
    for n_cells in options.cells:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "cells.h5ad"
            copies = options.copies_of
            write_cells(source, *(synthetic_blocks(n_cells) if copies is None else copied_blocks(copies, n_cells)))
            size = source.stat().st_size / MIB
            for refine in options.refine:
                run = measure(source, ["--max-batch-tokens", options.max_batch_tokens, "--refine", refine])
                print(
                    f"{n_cells:8}  {refine:>6}  {size:8.0f}  {run.peak:8.0f}  {run.seconds:7.0f}  {run.processor:11.0f}"
                    f"  {n_cells / run.seconds:7.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
