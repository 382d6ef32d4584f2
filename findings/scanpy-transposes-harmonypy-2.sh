#!/usr/bin/env bash
# scanpy's Harmony does not fit the Harmony that pip installs.
#
# One would guess: scanpy.external.pp.harmony_integrate works with the harmonypy that scanpy's requirement lets in; and
#   Z_corr has one row per principal component, as harmonypy had it for years.
# What happens: harmonypy turned Z_corr to cells x components, and scanpy 1.11 still transposes it. The call ends in
#   "incorrect shape" after the whole integration has run. Code that indexes Z_corr itself gets the other axis.
# Seen with: scanpy 1.11.5, harmonypy 2.1.0. Known: scverse/scanpy issue 3940.
# Why a user would care: it is the common way to correct batches before a comparison of embeddings. Scripts that pin
#   neither break at the next install.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile scanpy==1.11.5 harmonypy==2.1.0 anndata==0.12.19 pandas==2.3.3
venv/bin/python -W ignore - <<'PY' 2>log.txt
import sys
from importlib.metadata import version

import anndata
import harmonypy
import numpy as np
import pandas as pd
import scanpy

components = np.random.default_rng(0).normal(size=(60, 5))
batches = pd.DataFrame({"batch": ["x", "y"] * 30}, index=[f"cell{i}" for i in range(60)])
print(f"scanpy {version('scanpy')}, harmonypy {version('harmonypy')}; 60 cells, 5 components")
shape = harmonypy.run_harmony(components, batches, ["batch"], verbose=False).Z_corr.shape
print(f"Z_corr: {shape}")
cells = anndata.AnnData(components.copy(), obs=batches)
cells.obsm["X_pca"] = components
try:
    scanpy.external.pp.harmony_integrate(cells, "batch")
    said = "no error"
except ValueError as error:
    said = str(error)
print(f"harmony_integrate: {said}")
if not (shape == (60, 5) and "incorrect shape" in said):
    sys.exit("the behaviour changed")
PY
