#!/usr/bin/env bash
# Row ids that happen to be consecutive are no column of the Arrow table or the Parquet file.
#
# One would guess: a table with set_index("soma_joinid") keeps its ids when it becomes an Arrow table or a Parquet file;
#   pyarrow stores every index but the default one as a column.
# What happens: pandas 3 makes a RangeIndex of consecutive numbers in set_index, and of a RangeIndex pyarrow keeps only
#   a note for pandas. The same code writes the column for cells 0, 2, 5 and leaves it out for cells 1000, 1001, 1002.
# Seen with: pandas 3.1.1, pyarrow 26.0.1; pandas 2.3.3 writes the column for both.
# Why a user would care: cells of an atlas are joined by their ids. Readers other than pandas (datasets, Arrow of other
#   languages, DuckDB) find no id in some of the files, those of whole blocks. tiledbsoma 2.2.0, which pip takes beside
#   pandas 3, cannot write an AnnData for that reason. preserve_index=True keeps the column.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
cat >ids.py <<'PY'
import json

import pandas as pd
import pyarrow as pa

found = {}
for name, ids in {"consecutive": [1000, 1001, 1002], "with gaps": [0, 2, 5]}.items():
    cells = pd.DataFrame({"soma_joinid": ids, "cell_type": ["B cell", "T cell", "NK cell"]}).set_index("soma_joinid")
    found[name] = pa.Table.from_pandas(cells).column_names
    found[f"{name}, preserve_index"] = pa.Table.from_pandas(cells, preserve_index=True).column_names
print(json.dumps({"pandas": pd.__version__, "pyarrow": pa.__version__, "columns": found}))
PY
python3 -m venv old
python3 -m venv new
old/bin/pip install --quiet --quiet --no-compile pandas==2.3.3 pyarrow==26.0.1 numpy==2.4.6
new/bin/pip install --quiet --quiet --no-compile pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
old/bin/python ids.py >old.json
new/bin/python ids.py >new.json
cat old.json new.json
new/bin/python - <<'PY'
import json
import sys

old, new = (json.load(open(name))["columns"] for name in ("old.json", "new.json"))
both = ["cell_type", "soma_joinid"]
if not (all(columns == both for columns in old.values()) and new == {**old, "consecutive": ["cell_type"]}):
    sys.exit("the behaviour changed")
PY
