#!/usr/bin/env bash
# "Every cell but the B cells" leaves out the cells that have no type.
#
# One would guess: of six cells, of which one is a B cell, the SOMA filter `cell_type != "B cell"` selects five, as the
#   same comparison does in pandas. A filter and its negation divide the cells.
# What happens: three are selected. A cell without a value passes neither `==` nor `!=`, neither `in` nor `not in`, as
#   in SQL. It holds for categories and for strings.
# Seen with: tiledbsoma 2.3.0. A way to ask for missing values is discussed in single-cell-data/TileDB-SOMA issue 3716.
# Why a user would care: unlabelled cells are the ones that people want to annotate. A training set "without type X"
#   loses them without a word, and counts of the two halves do not add up.
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

types = ["B cell", "T cell", None, "NK cell", "T cell", None]
obs = pd.DataFrame({"cell_type": pd.Categorical(types), "donor": ["a", "b", None, "c", "b", None]})
obs.index = [f"cell{i}" for i in range(6)]
tiledbsoma.io.from_anndata("cells", anndata.AnnData(np.ones((6, 2), "f4"), obs=obs), measurement_name="RNA")

print(f"tiledbsoma {tiledbsoma.__version__}; six cells, two without a type and a donor")
found = {}
with tiledbsoma.Experiment.open("cells") as experiment:
    for column, value in (("cell_type", "B cell"), ("donor", "a")):
        for operator, given in (("==", f'"{value}"'), ("!=", f'"{value}"'), ("not in", f'["{value}"]')):
            asked = f"{column} {operator} {given}"
            found[asked] = len(experiment.obs.read(value_filter=asked).concat())
            print(f"{asked}: {found[asked]} cells")
pandas_says = int((obs["cell_type"] != "B cell").sum())
print(f"pandas, cell_type != 'B cell': {pandas_says} cells")
if not (list(found.values()) == [1, 3, 3] * 2 and pandas_says == 5):
    sys.exit("the behaviour changed")
PY
