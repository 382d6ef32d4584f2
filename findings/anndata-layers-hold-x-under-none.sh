#!/usr/bin/env bash
# A loop over the layers of an AnnData meets the matrix X as well, and a second logarithm is taken of it.
#
# One would guess: adata.layers are the matrices that somebody put there by name; X is none of them.
# What happens: from anndata 0.13 on X is the layer None, which a loop over adata.layers gives, too. What the loop does
#   to every layer is done to X, and len(adata.layers) is one more. sorted(adata.layers) ends in a TypeError.
# Seen with: anndata 0.13.4, scanpy 1.12.4 (Python 3.12; PYTHON names one); with anndata 0.12.19 a loop gives "counts".
# Why a user would care: scripts that normalise X by scanpy and then each layer by a loop ran for years. With the new
#   version X has had the logarithm twice, no warning says so, and every value, marker and embedding is another.
#   Libraries loop, too: tiledbsoma 2.2.0 takes the name None for a text, and writes no AnnData of this version.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
for python in "${PYTHON:-}" python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[23]*/bin/python python3; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --quiet --no-compile anndata==0.13.4 scanpy==1.12.4 pandas==3.1.1 numpy==2.4.6
venv/bin/python -W ignore - <<'PY'
import sys

import anndata
import numpy as np
import scanpy

counts = np.array([[1.0, 3.0], [7.0, 0.0]], dtype=np.float32)
cells = anndata.AnnData(counts.copy(), layers={"counts": counts.copy()})
scanpy.pp.log1p(cells)
once = cells.X.copy()
names = list(cells.layers)
for name in names:
    cells.layers[name] = np.log1p(cells.layers[name])
print(f"anndata {anndata.__version__}, scanpy {scanpy.__version__}")
print(f"layers of an object with the layer 'counts': {names}")
print(f"X after log1p: {once.tolist()}")
print(f"X after the loop over the layers: {cells.X.tolist()}")
try:
    said = str(sorted(cells.layers))
except TypeError as error:
    said = f"TypeError: {error}"
print(f"sorted(adata.layers): {said}")
twice = np.array_equal(cells.X, np.log1p(np.log1p(counts)))
if not (set(names) == {None, "counts"} and np.array_equal(once, np.log1p(counts)) and twice and "TypeError" in said):
    sys.exit("the behaviour changed")
PY
