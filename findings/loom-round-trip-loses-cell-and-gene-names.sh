#!/usr/bin/env bash
# A loom file that anndata wrote has cells "0", "1", "2" when anndata reads it.
#
# One would guess: write_loom and then read_loom of the same library gives the same names of cells and genes.
# What happens: write_loom calls them obs_names and var_names; read_loom looks for CellID and Gene, finds neither, and
#   numbers the rows. The names are there as ordinary columns. Categories come back as plain strings. No warning about
#   either.
# Seen with: anndata 0.12.19, loompy 3.0.8, numpy 2.4.6. Known: scverse/anndata issues 509 and 1878.
# Why a user would care: a model that looks genes up by var_names finds none in such a file, and barcodes no longer join
#   with other tables. read_loom(..., obs_names="obs_names", var_names="var_names") reads it.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile anndata==0.12.19 loompy==3.0.8 numpy==2.4.6 pandas==2.3.3
venv/bin/python -W ignore - <<'PY'
import sys
from importlib.metadata import version

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

obs = pd.DataFrame({"type": pd.Categorical(["B cell", "T cell", "T cell"])}, index=["AAAC-1", "AAAG-1", "AAAT-1"])
var = pd.DataFrame(index=["ENSG00000167286", "ENSG00000177455"])
cells = anndata.AnnData(sp.csr_matrix(np.arange(6, dtype="f4").reshape(3, 2)), obs=obs, var=var)
cells.write_loom("cells.loom")

plain = anndata.io.read_loom("cells.loom")
named = anndata.io.read_loom("cells.loom", obs_names="obs_names", var_names="var_names")
print(f"anndata {anndata.__version__}, loompy {version('loompy')}")
print(f"written:   {cells.obs_names.tolist()} and {cells.var_names.tolist()}, type is {cells.obs['type'].dtype}")
print(f"read back: {plain.obs_names.tolist()} and {plain.var_names.tolist()}, type is {plain.obs['type'].dtype}")
print(f"read with the names' columns: {named.obs_names.tolist()} and {named.var_names.tolist()}")
lost = plain.obs_names.tolist() == ["0", "1", "2"] and plain.var_names.tolist() == ["0", "1"]
found = named.obs_names.tolist() == obs.index.tolist() and named.var_names.tolist() == var.index.tolist()
if not (lost and found and plain.obs["type"].dtype != "category"):
    sys.exit("the behaviour changed")
PY
