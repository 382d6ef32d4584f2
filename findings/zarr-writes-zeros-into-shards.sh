#!/usr/bin/env bash
# zarr before 3.1.3 loses chunks of an array that is given as `data` and stored in shards.
#
# One would guess: what create_array is given as data is what the array holds; shards are a matter of files.
# What happens: chunks of one shard are written at the same time, each as a whole shard, so that one of them is left and
#   the others are zeros. No error and no warning comes. What is assigned to an array that is there (a[...] = data) is
#   whole, and 3.1.3 writes what it is given, too.
# Seen with: zarr 3.1.1 and 3.1.2, numpy 2.1.0 and 2.4.6, Python 3.11 and 3.12.
# Why a user would care: a count matrix that is stored so has lost half of its counts or more, and its pointers and gene
#   numbers, too. The files look complete, and a package that says "zarr>=3.1" lets pip keep such a version.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet --no-compile zarr==3.1.2 numpy==2.1.0
venv/bin/python -W ignore - <<'PY'
import sys

import numpy as np
import zarr

given = np.arange(1, 24, dtype=np.int32)
group = zarr.open_group("cells.zarr", mode="w")
group.create_array("plain", data=given, chunks=(10,))
group.create_array("sharded", data=given, chunks=(10,), shards=(20,))
group.create_array("assigned", shape=given.shape, dtype=given.dtype, chunks=(10,), shards=(20,))[...] = given
found = zarr.open_group("cells.zarr", mode="r")
print(f"zarr {zarr.__version__}")
print(f"in chunks: {found['plain'][:].tolist()}")
print(f"in shards: {found['sharded'][:].tolist()}")
print(f"in shards, assigned: {found['assigned'][:].tolist()}")
same = {name: np.array_equal(found[name][:], given) for name in ("plain", "sharded", "assigned")}
if same != {"plain": True, "sharded": False, "assigned": True}:
    sys.exit("the behaviour changed")
PY
