#!/usr/bin/env bash
# A shuffled stream of cells does not go on where it stopped.
#
# One would guess: `datasets` gives a stream's state by state_dict(); a stream that loads it yields
#   the rest of the cells.
# What happens: the shuffle buffer is not part of the state. The cells that wait in it are lost, and some that were
#   already yielded come again. A warning says that the buffer "will be refilled"; nothing says that cells come twice.
# Seen with: datasets 5.2.0, pyarrow 26.0.1. Known: huggingface/datasets issue 7901; a fix is
#   proposed in pull request 8408.
# Why a user would care: a pre-training run that is stopped and resumed a few times no longer sees every cell once per
#   epoch, and its loss curve does not show it.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
HF_HOME="$room/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sys
from collections import Counter

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

for shard in range(3):
    cells = list(range(shard * 100, shard * 100 + 100))
    genes = pa.array([[1, 2, 3]] * 100, pa.list_(pa.uint16()))
    pq.write_table(pa.table({"cell": cells, "genes": genes}), f"cells-{shard}.parquet")


def stream():
    cells = datasets.load_dataset("parquet", data_files="cells-*.parquet", split="train", streaming=True)
    return cells.shuffle(seed=1, buffer_size=50)


whole = Counter(row["cell"] for row in stream())
first = stream()
rows = iter(first)
seen = [next(rows)["cell"] for _ in range(60)]
resumed = stream()
resumed.load_state_dict(first.state_dict())
seen += [row["cell"] for row in resumed]

counts = Counter(seen)
lost, again = 300 - len(counts), sum(n - 1 for n in counts.values())
print(f"datasets {datasets.__version__}: 300 cells, stopped after 60")
print(f"without a stop: {len(whole)} cells, each once: {set(whole.values()) == {1}}")
print(f"with a stop: {lost} cells never come, {again} come twice")
if not (len(whole) == 300 and set(whole.values()) == {1} and lost > 0 and again > 0):
    sys.exit("the behaviour changed")
PY
