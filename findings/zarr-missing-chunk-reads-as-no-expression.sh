#!/usr/bin/env bash
# A zarr folder that was copied in part reads as cells without counts.
#
# One would guess: reading an AnnData zarr folder of which a file is missing fails, as a cut h5ad file does.
# What happens: in zarr a chunk that is not there holds the fill value, which is 0. read_zarr returns all cells with the
#   right shape, names and number of stored values; the counts of the missing chunk are explicit zeros. No warning.
# Seen with: anndata 0.12.19, zarr 3.1.6. Known: zarr-developers/zarr-python issue 486; pull request 3748 adds an option
#   that raises, off by default, to later versions.
# Why a user would care: a folder of thousands of small files is what an interrupted upload or copy leaves incomplete.
#   Cells without genes still get a type from any model.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile anndata==0.12.19 zarr==3.1.6 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1
venv/bin/python -W ignore - <<'PY'
import sys
from pathlib import Path

import anndata
import numpy as np
import scipy.sparse as sp
import zarr

counts = sp.random(5000, 50, density=0.3, format="csr", dtype="f4", random_state=0)
counts.data[:] = 1
anndata.AnnData(counts).write_zarr("cells.zarr")
chunks = sorted(path for path in Path("cells.zarr/X/data").rglob("*") if path.is_file() and path.name.isdigit())
chunks[0].unlink()

got = anndata.read_zarr("cells.zarr")
per_cell = np.asarray(got.X.sum(axis=1)).ravel()
print(f"anndata {anndata.__version__}, zarr {zarr.__version__}; 1 of {len(chunks)} files of X/data is missing")
print(f"cells: {got.n_obs} of {counts.shape[0]}; stored values: {got.X.nnz} of {counts.nnz}")
print(f"sum of counts: {got.X.sum():.0f} of {counts.sum():.0f}; cells without any count: {int((per_cell == 0).sum())}")
if not (got.shape == counts.shape and got.X.nnz == counts.nnz and 0 < got.X.sum() < 0.9 * counts.sum()):
    sys.exit("the behaviour changed")
PY
