"""The names and scores of the sample cells, end to end; run as a script in an environment with langcell.

    python annotate_numbers.py GOLDEN [--write]

writes cells into a file, annotates the file by the command line, reads the result, and compares with the file GOLDEN.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np

# Scores pass through libraries of sorting, summing and clustering that change between versions; weights do not.
TOLERANCE = 1e-4
MOST_OTHER_LABELS = 3  # of 700 cells: another processor rounds otherwise, and some cells lie between two labels
# Beyond these it is no rounding: the file GOLDEN is of another model or of another way to name cells.
MOST_BY_ROUNDING, MOST_LABELS_BY_ROUNDING = 0.05, 35
NAMES = ("python", "torch", "transformers", "anndata", "scanpy", "zarr", "numpy", "pandas", "scipy", "h5py")
MORE_NAMES = ("numba", "datasets", "pyarrow", "scikit-learn", "huggingface_hub", "accelerate")


def annotated() -> dict[str, list]:
    """Labels and confidences of the sample cells, by way of h5ad and zarr."""
    from langcell.sample_data import BULK_LABELS, sample_cells

    with tempfile.TemporaryDirectory() as folder:
        cells, named, labels = Path(folder, "cells.h5ad"), Path(folder, "named.zarr"), Path(folder, "labels.txt")
        sample_cells().write_h5ad(cells)
        labels.write_text("\n".join(sorted(set(BULK_LABELS.values()))) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "langcell.cli", "annotate", str(cells), "-o", str(named)]
        command += ["--dtype", "float32"]  # auto depends on the processor
        subprocess.run([*command, "--labels-file", str(labels)], check=True, stdout=subprocess.DEVNULL)
        table = anndata.read_zarr(named)
    return {
        "labels": table.obs["langcell_label"].astype(str).tolist(),
        "confidences": table.obs["langcell_confidence"].astype(float).round(6).tolist(),
        "embeddings": np.asarray(table.obsm["X_langcell"], dtype=np.float64)[::50, :4].round(7).tolist(),
    }


def main() -> int:
    """Run from the command line; 1 where names or numbers differ by more than rounding, 3 by rounding."""
    golden, *more = sys.argv[1:]
    found = annotated()
    if more == ["--write"]:
        Path(golden).write_text(json.dumps(found) + "\n", encoding="utf-8")
        return 0
    expected = json.loads(Path(golden).read_text(encoding="utf-8"))
    other = sum(one != two for one, two in zip(found["labels"], expected["labels"], strict=True))
    differences = {
        name: float(np.abs(np.array(found[name]) - np.array(expected[name])).max())
        for name in ("confidences", "embeddings")
    }
    versions = {name: version(name) for name in NAMES[1:] + MORE_NAMES}
    print(json.dumps({"python": sys.version.split()[0], "versions": versions, "labels": other, **differences}))
    greatest = max(differences.values())
    if other > MOST_LABELS_BY_ROUNDING or not greatest <= MOST_BY_ROUNDING:
        return 1
    return 3 if other > MOST_OTHER_LABELS or greatest > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
