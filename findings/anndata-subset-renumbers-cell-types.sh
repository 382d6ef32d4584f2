#!/usr/bin/env bash
# The same cell type has another code in the training and in the test cells.
#
# One would guess: cell types are a pandas category, so that their codes are the same in every subset of rows; pandas
#   keeps unused categories.
# What happens: a subset of an AnnData drops the categories that it does not hold, also in a view, so the others move
#   up: a T cell is 2 in the whole, 1 or 0 in a part. `anndata.settings.remove_unused_categories = False` keeps them.
# Seen with: anndata 0.12.19, pandas 2.3.3.
# Why a user would care: `.cat.codes` is the shortest way to integer labels. A classifier that was trained on the codes
#   of one split is scored by other codes on the next, and the number that comes out is only low, not missing.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile anndata==0.12.19 pandas==2.3.3 numpy==2.4.6
venv/bin/python -W ignore - <<'PY'
import sys

import anndata
import numpy as np
import pandas as pd

types = pd.Categorical(["B cell", "NK cell", "T cell", "T cell", "NK cell"])
cells = anndata.AnnData(np.ones((5, 2), "f4"), obs=pd.DataFrame({"type": types}, index=list("abcde")))
late = cells.obs_names.isin(["c", "d", "e"])


def codes(table):
    return dict(zip(table["type"].astype(str), table["type"].cat.codes.tolist(), strict=True))


whole, table, view = codes(cells.obs), codes(cells.obs[late]), codes(cells[late].obs)
anndata.settings.remove_unused_categories = False
kept = codes(cells[late].obs)
print(f"anndata {anndata.__version__}, pandas {pd.__version__}")
print(f"all cells: {whole}")
print(f"the last three, subset of the table by pandas: {table}")
print(f"the last three, subset by anndata:             {view}")
print(f"the last three, remove_unused_categories=False: {kept}")
same = {"T cell": 2, "NK cell": 1}
if not (table == same and view == {"T cell": 1, "NK cell": 0} and kept == same):
    sys.exit("the behaviour changed")
PY
