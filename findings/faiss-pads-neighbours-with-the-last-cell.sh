#!/usr/bin/env bash
# Neighbours that were not found are read as the last cell.
#
# One would guess: an index with 200 cells that is asked for 30 neighbours gives 30, or fewer.
# What happens: an inverted-file index looks into its nearest lists only. Where these hold fewer cells, faiss fills the
#   row with the id -1, and `types[ids]` of numpy reads -1 as the last element: the last cell of the reference votes
#   once for each neighbour that is missing. The distances of the padding are the largest float.
# Seen with: faiss-cpu 1.15.1, numpy 2.4.6. faiss documents the -1.
# Why a user would care: types are transferred from an atlas by a vote of neighbours. Here the type of one cell at the
#   end of the file wins more than half of the votes.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile faiss-cpu==1.15.1 numpy==2.4.6
OMP_NUM_THREADS=1 venv/bin/python - <<'PY' 2>log.txt
import sys
from collections import Counter

import faiss
import numpy as np

cells = np.random.default_rng(0).normal(size=(200, 8)).astype("f4")
types = np.array(["T cell"] * 199 + ["platelet"])
index = faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 16)
index.train(cells)
index.add(cells)
_, ids = index.search(cells[:50], 30)


def winners(votes):
    return dict(Counter(Counter(row).most_common(1)[0][0] for row in votes))


naive = winners(types[ids].tolist())
right = winners([types[row[row >= 0]].tolist() for row in ids])
print(f"faiss {faiss.__version__}: 50 cells, 30 neighbours each, {int((ids == -1).sum())} of {ids.size} ids are -1")
print(f"winners of types[ids]: {naive}")
print(f"winners without the -1: {right}")
if not ((ids == -1).any() and right == {"T cell": 50} and naive.get("platelet", 0) > 25):
    sys.exit("the behaviour changed")
PY
