#!/usr/bin/env bash
# An exported model takes two cells at a time and no other number.
#
# One would guess: an axis that dynamic_shapes of torch.onnx.export names is open in the file, or the export fails.
# What happens: a causal mask that the model makes with len(cells) fixes the number of cells to that of the example,
#   because len gives a plain number. torch.export refuses the same shapes ("You marked cells as dynamic but your code
#   specialized it"); torch.onnx.export goes through, each of its steps with a tick, and the file takes two cells alone.
#   With Dim.AUTO the axis looks open, and one cell gets two rows of answers. With cells.shape[0] all is well.
# Seen with: torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.31.1.
# Why a user would care: on the example that made it the export is right, so a comparison there passes. The last batch of
#   a file, which is smaller, then ends in an error, or has more answers than cells.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile torch==2.13.0
venv/bin/pip install --quiet --quiet --no-compile onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1 numpy==2.4.6
venv/bin/python - <<'PY' 2>log.txt
import sys

import onnx
import onnxruntime
import torch
from torch import nn
from torch.export import Dim


class Cells(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.count, self.table = count, nn.Embedding(50, 8)

    def forward(self, cells):
        genes = cells.shape[1]
        mask = torch.ones(self.count(cells), 1, genes, genes, dtype=torch.bool).tril()
        states = self.table(cells)[:, None]
        return nn.functional.scaled_dot_product_attention(states, states, states, attn_mask=mask)[:, 0].mean(1)


def outcome(count, shapes):
    """Export with two cells, and give the axis of cells in the file and what one to three cells get."""
    example = torch.randint(50, (2, 6))
    torch.onnx.export(
        Cells(count).eval(), (example,), "cells.onnx", input_names=["cells"], dynamic_shapes=(shapes,), verbose=False
    )
    session = onnxruntime.InferenceSession("cells.onnx", providers=["CPUExecutionProvider"])
    rows = []
    for n_cells in (1, 2, 3):
        try:
            found = session.run(None, {"cells": torch.randint(50, (n_cells, 6)).numpy()})[0]
            rows.append(f"{len(found)} rows")
        except Exception:
            rows.append("an error")
    return session.get_inputs()[0].shape[0], *rows


print(f"torch {torch.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
named, automatic = {0: Dim("cells"), 1: Dim("genes")}, {0: Dim.AUTO, 1: Dim.AUTO}
try:
    torch.export.export(Cells(len).eval(), (torch.randint(50, (2, 6)),), dynamic_shapes=(named,))
    refused = False
except Exception as error:
    refused = "You marked cells as dynamic" in str(error)
print(f"torch.export, a mask by len(cells), the axis named: {'refused' if refused else 'goes through'}")
found = {
    "a mask by len(cells), the axis named": outcome(len, named),
    "a mask by len(cells), Dim.AUTO": outcome(len, automatic),
    "a mask by cells.shape[0], the axis named": outcome(lambda cells: cells.shape[0], named),
}
for how, (axis, *rows) in found.items():
    print(f"torch.onnx.export, {how}: axis {axis!r}; 1, 2, 3 cells get {', '.join(rows)}")
by_name, by_itself, right = found.values()
if not (
    refused
    and by_name == (2, "an error", "2 rows", "an error")
    and isinstance(by_itself[0], str)
    and by_itself[1:] == ("2 rows", "2 rows", "an error")
    and right == ("cells", "1 rows", "2 rows", "3 rows")
):
    sys.exit("the behaviour changed")
PY
