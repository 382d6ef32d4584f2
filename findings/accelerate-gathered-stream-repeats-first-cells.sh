#!/usr/bin/env bash
# An evaluation on two processes counts the first cells twice.
#
# One would guess: gather_for_metrics of `accelerate` drops the samples that were added to fill the last batch; its name
#   and its documentation say so.
# What happens: for a stream (an IterableDataset without a length) that every process reads itself
#   (dispatch_batches=False), the last batch is filled up with the first cells, and gather_for_metrics keeps them: the
#   number to drop is unknown. It logs one line at level info. With dispatch_batches=True, or a data set with a length,
#   each cell comes once.
# Seen with: accelerate 1.15.0, torch 2.13.0, two processes on a CPU. Related: huggingface/accelerate issue 3013.
# Why a user would care: accuracy over a stream of 9 cells is computed over 16. Streams with dispatch_batches=False are
#   how large collections of cells are read, since each process then reads its own files.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile torch==2.13.0
venv/bin/pip install --quiet --quiet --no-compile accelerate==1.15.0 numpy==2.4.6
cat > gather.py <<'PY'
import json

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader, IterableDataset


class Cells(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(9))


def gathered(data, *, dispatch):
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=dispatch))
    loader = accelerator.prepare(DataLoader(data, batch_size=4))
    return [cell for batch in loader for cell in accelerator.gather_for_metrics(batch).tolist()]


found = {
    "stream, every process reads": gathered(Cells(), dispatch=False),
    "stream, one process reads": gathered(Cells(), dispatch=True),
    "data set with a length": gathered(torch.arange(9), dispatch=False),
}
if Accelerator().is_main_process:
    with open("found.json", "w") as file:
        json.dump({"processes": Accelerator().num_processes, **found}, file)
Accelerator().end_training()
PY
OMP_NUM_THREADS=1 venv/bin/python -m torch.distributed.run --standalone --nproc_per_node 2 gather.py
venv/bin/python - <<'PY'
import json
import sys
from importlib.metadata import version

found = json.load(open("found.json"))
print(f"accelerate {version('accelerate')}, torch {version('torch')}, {found.pop('processes')} processes, 9 cells")
for how, cells in found.items():
    print(f"{how}: {len(cells)} gathered: {cells}")
once = list(range(9))
stream, dispatched, sized = found.values()
if not (dispatched == once and sized == once and stream[:9] == once and stream[9:] == once[:7]):
    sys.exit("the behaviour changed")
PY
