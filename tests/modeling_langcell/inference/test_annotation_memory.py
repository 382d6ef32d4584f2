"""The memory that a file on the disk takes: that of a few chunks, whatever the number of its cells."""

import subprocess
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix
from tiny import N_GENES, tiny_gene_names
from warm_python import warm_python

FEW, MANY = 5_000, 40_000
LABELS = ("B cell", "natural killer cell", "monocyte")
# Genes that the tiny model does not know, to give each cell the bulk of a real one: 500 values, 4 kB.
N_OTHER_GENES = 2_000
VALUES_PER_CELL, N_KNOWN_VALUES = 500, 20
MIB = 1 << 20

# VmHWM of the process itself; what a child would say by getrusage includes its parent before the exec.
SCRIPT = """
import sys
from langcell.cli.commands import app
code = app(sys.argv[1:], standalone_mode=False)
assert not code, code
with open("/proc/self/status") as file:
    print("peak", next(line for line in file if line.startswith("VmHWM")).split()[1])
"""


def write_cells(path: Path, n_cells: int) -> int:
    """Write cells with random counts; the bytes of X."""
    rng = np.random.default_rng(0)
    n_genes = N_GENES + 2 + N_OTHER_GENES
    known = np.sort(rng.random((n_cells, N_GENES)).argsort(1)[:, :N_KNOWN_VALUES], axis=1)
    # One of every four others, so that they are sorted and none comes twice.
    others = np.arange(VALUES_PER_CELL - N_KNOWN_VALUES) * 4 + rng.integers(0, 4, (n_cells, 1))
    columns = np.hstack([known, N_GENES + 2 + others]).astype(np.int32)
    counts_of = rng.integers(1, 9, columns.shape)
    counts_of[:, :N_KNOWN_VALUES] *= 10  # a fifth of the counts has to be known
    data = counts_of.ravel().astype(np.float32)
    indptr = np.arange(0, columns.size + 1, VALUES_PER_CELL)
    counts = csr_matrix((data, columns.ravel(), indptr), shape=(n_cells, n_genes))
    names = [*tiny_gene_names(), *(f"other{i}" for i in range(N_OTHER_GENES))]
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)])
    AnnData(counts, obs=obs, var=pd.DataFrame(index=names)).write_h5ad(path)
    return data.nbytes + columns.nbytes


def peak_bytes(cells: Path, output: Path, model: Path) -> int:
    words = ["annotate", str(cells), "-o", str(output), "--labels", ",".join(LABELS), "--model", str(model)]
    done = subprocess.run(
        [warm_python(), "-c", SCRIPT, *words, "--device", "cpu", "--max-batch-tokens", "8192", "--refine", "none"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split("peak ")[1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_peak_memory_does_not_grow_with_the_number_of_cells(tiny_model_dir, tmp_path):
    peaks, sizes = {}, {}
    for n_cells in (FEW, MANY):
        cells = tmp_path / f"{n_cells}.h5ad"
        sizes[n_cells] = write_cells(cells, n_cells)
        peaks[n_cells] = peak_bytes(cells, tmp_path / f"named{n_cells}.h5ad", tiny_model_dir)
    assert anndata.read_h5ad(tmp_path / f"named{MANY}.h5ad", backed="r").n_obs == MANY
    print(f"peaks: {peaks[FEW] / MIB:.0f} and {peaks[MANY] / MIB:.0f} MiB")
    grown = peaks[MANY] - peaks[FEW]
    # What is kept of each cell: its label, ontology id and confidence, and where its row begins. Names, scores and
    # embeddings go from disk to disk.
    per_cell = 64
    # The allocator returns memory in pages of its own choosing: two runs on the same file differ by 20 MiB, by 35 MiB
    # once in some dozens. A matrix that is read whole has 133 MiB.
    margin = 56 * MIB
    assert grown < (MANY - FEW) * per_cell + margin, f"{grown / MIB:.1f} MiB more for {MANY - FEW} more cells"
    # Or the bound would not notice a matrix that is read whole.
    assert sizes[MANY] - sizes[FEW] > 2 * ((MANY - FEW) * per_cell + margin)
