"""The memory of `explain` is that of a few chunks, whatever the number of cells in the file."""

import subprocess
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tiny import save_tiny_folder, tiny_gene_names
from warm_python import warm_python

FEW, MANY = 4_000, 60_000
N_GENES, VALUES = 600, 300  # the tiny model knows 40 of the genes, enough to be read
MIB = 1 << 20
SCRIPT = """
import sys
import langcell
langcell.explain(sys.argv[1], model=sys.argv[2], label_column="label", progress=False)
with open("/proc/self/status") as file:
    print("peak", next(line for line in file if line.startswith("VmHWM")).split()[1])
"""


def write_cells(path: Path, n_cells: int) -> int:
    """Write cells of four labels with random counts; return the bytes of their values."""
    rng = np.random.default_rng(0)
    columns = np.arange(VALUES) * (N_GENES // VALUES) + rng.integers(0, N_GENES // VALUES, (n_cells, 1))
    values = rng.integers(1, 9, columns.size).astype(np.float32)
    counts = sparse.csr_matrix(
        (values, columns.ravel().astype(np.int32), np.arange(0, columns.size + 1, VALUES)), shape=(n_cells, N_GENES)
    )
    known = tiny_gene_names()[:40]
    names = [*known, *(f"other{i}" for i in range(N_GENES - len(known)))]
    label = pd.Categorical(np.array(["B cell", "NK cell", "monocyte", "platelet"])[np.arange(n_cells) % 4])
    obs = pd.DataFrame({"label": label}, index=[f"cell{i}" for i in range(n_cells)])
    anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=names)).write_h5ad(path)
    return values.nbytes + columns.size * 4


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_peak_memory_does_not_grow_with_the_number_of_cells(tmp_path):
    model = save_tiny_folder(tmp_path / "model")
    peaks, sizes = {}, {}
    for n_cells in (FEW, MANY):
        sizes[n_cells] = write_cells(tmp_path / f"{n_cells}.h5ad", n_cells)
        words = [warm_python(), "-c", SCRIPT, str(tmp_path / f"{n_cells}.h5ad"), str(model)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks[n_cells] = int(done.stdout.split("peak ")[1]) * 1024
    grown = peaks[MANY] - peaks[FEW]
    per_cell = 400  # the label of each cell as text, its code, and where its row begins
    assert grown < (MANY - FEW) * per_cell + 32 * MIB, f"{grown / MIB:.1f} MiB more for {MANY - FEW} more cells"
    # Or the bound would not notice a matrix that is read whole.
    assert sizes[MANY] > (MANY - FEW) * per_cell + 96 * MIB
