#!/usr/bin/env bash
# A folder with cells of the developing lung loads without the adult cells.
#
# One would guess: load_dataset of a folder of parquet files reads all of them.
# What happens: `dev`, between two separators of a file's name, means "validation". Once one file has such a word, the
#   files without one belong to no split and are left out. No warning, no error: of 107 cells, 7 are there.
# Seen with: datasets 5.2.0, pyarrow 26.0.1. Known: huggingface/datasets issues 3788 and 7201, both open.
# Why a user would care: atlases are stored per tissue and stage, and `dev` is how people write "developing". `test` and
#   `train` do the same. Name the files by data_files, or per split.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
HF_HOME="$room/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

datasets.disable_progress_bars()


def splits_of(folder, **cells_of_file):
    Path(folder).mkdir()
    for name, cells in cells_of_file.items():
        pq.write_table(pa.table({"cell": list(range(cells))}), f"{folder}/{name}.parquet")
    return {split: rows.num_rows for split, rows in datasets.load_dataset(folder).items()}


plain = splits_of("plain", lung_adult=100, lung_fetal=7)
split = splits_of("split", lung_adult=100, lung_dev=7)
print(f"datasets {datasets.__version__}")
print(f"lung_adult and lung_fetal: {plain}")
print(f"lung_adult and lung_dev:   {split}")
if not (plain == {"train": 107} and split == {"validation": 7}):
    sys.exit("the behaviour changed")
PY
