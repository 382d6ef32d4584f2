#!/usr/bin/env bash
# Cells that were asked for in an order come in another, and each once.
#
# One would guess: an axis query of SOMA for the cells 5, 2, 0 and again 5 gives four rows in this order, as numpy,
#   pandas and AnnData do for the same list.
# What happens: three rows, sorted by join id: 0, 2, 5. The matrix, its table and the ids agree with each other, but not
#   with the list that was given.
# Seen with: tiledbsoma 2.3.0, anndata 0.12.19.
# Why a user would care: a sample drawn with replacement comes without its repeats, and labels that were put beside the
#   list of ids (a shuffled batch, a ranking by similarity) belong to other cells. Sort by join id again after reading.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile tiledbsoma==2.3.0 anndata==0.12.19 pandas==2.3.3 numpy==2.4.6
venv/bin/python -W ignore - <<'PY'
import sys

import anndata
import numpy as np
import pandas as pd
import tiledbsoma
import tiledbsoma.io

counts = np.arange(1, 13, dtype="f4").reshape(6, 2)
cells = anndata.AnnData(counts, obs=pd.DataFrame({"n": range(6)}, index=[f"cell{i}" for i in range(6)]))
tiledbsoma.io.from_anndata("cells", cells, measurement_name="RNA")

asked = [5, 2, 0, 5]
with tiledbsoma.Experiment.open("cells") as experiment:
    with experiment.axis_query("RNA", obs_query=tiledbsoma.AxisQuery(coords=(asked,))) as query:
        got = query.to_anndata("data")
print(f"tiledbsoma {tiledbsoma.__version__}, anndata {anndata.__version__}")
print(f"asked for {asked}: anndata gives {cells[asked].obs['n'].tolist()}, SOMA gives {got.obs['n'].tolist()}")
rows = np.asarray(got.X.todense())
if not (cells[asked].obs["n"].tolist() == asked and got.obs["n"].tolist() == [0, 2, 5]):
    sys.exit("the behaviour changed")
if not np.array_equal(rows, counts[[0, 2, 5]]):
    sys.exit("the matrix no longer agrees with its table")
PY
