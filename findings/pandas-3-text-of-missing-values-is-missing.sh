#!/usr/bin/env bash
# With pandas 3, leaving out the cells whose label is "nan" leaves out none.
#
# One would guess: obs["cell_type"].astype(str) makes a text of every value, and "nan" of a missing one, so that
#   comparing with "nan" finds the cells without a label, as it does with pandas 2.
# What happens: astype(str) leaves missing values missing, in text, category and number columns. `!= "nan"` is true for
#   them, and they stay among the labelled cells. Nothing warns. isna() finds them in both versions.
# Seen with: pandas 3.1.1; pandas 2.3.3 makes "nan" of them.
# Why a user would care: scripts and notebooks of single-cell work filter unlabelled cells by that comparison. With a
#   newer pandas the cells without a type are counted, plotted and trained on, and the same script says another number.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
cat >labels.py <<'PY'
import json

import numpy as np
import pandas as pd

obs = pd.DataFrame(
    {
        "category": pd.Categorical(["B cell", None, "T cell", None]),
        "number": [0.0, np.nan, 1.0, np.nan],
    }
)
kept = {name: int((values.astype(str) != "nan").sum()) for name, values in obs.items()}
print(json.dumps({"pandas": pd.__version__, "kept": kept, "labelled": obs.notna().sum().to_dict()}))
PY
python3 -m venv old
python3 -m venv new
old/bin/pip install --quiet --quiet --no-compile pandas==2.3.3 numpy==2.4.6
new/bin/pip install --quiet --quiet --no-compile pandas==3.1.1 numpy==2.4.6
old/bin/python labels.py >old.json
new/bin/python labels.py >new.json
cat old.json new.json
new/bin/python - <<'PY'
import json
import sys

old, new = (json.load(open(name)) for name in ("old.json", "new.json"))
right, all_cells = {"category": 2, "number": 2}, {"category": 4, "number": 4}
if not (old["kept"] == right and new["kept"] == all_cells and old["labelled"] == new["labelled"] == right):
    sys.exit("the behaviour changed")
PY
