#!/usr/bin/env bash
# A cell's embedding depends on the cells beside it.
#
# One would guess: a model whose layers treat rows one by one gives a row the same output in every batch, quantised or
#   not; "dynamic" means that scales fit the row.
# What happens: dynamic int8 of onnxruntime takes one scale of the activations over the whole batch. One row with large
#   values makes the steps of all others coarse: the same row comes out differently, and about four times further from
#   the float result.
# Seen with: onnxruntime 1.31.1, onnx 1.23.2, on a CPU. (DynamicQuantizeLinear of ONNX is defined per tensor.)
# Why a user would care: the same cell gets another nearest neighbour or another type when it is run in another batch
#   or order, so results are not reproducible from a file's rows.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PY' 2>warnings.txt
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

rng = np.random.default_rng(0)
weights = numpy_helper.from_array(rng.normal(size=(64, 64)).astype("f4"), "weights")
shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["cells", 64]) for name in ("cells_in", "cells_out")]
node = helper.make_node("MatMul", ["cells_in", "weights"], ["cells_out"])
graph = helper.make_graph([node], "layer", shapes[:1], shapes[1:], [weights])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "float.onnx")
quantize_dynamic("float.onnx", "int8.onnx")


def first_row(model, *rows):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"cells_in": np.stack(rows)})[0][0]


cell = rng.normal(size=64).astype("f4")
other = 10 * rng.normal(size=64).astype("f4")
print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}; largest difference of one cell's 64 outputs")
exact = float(np.abs(first_row("float.onnx", cell) - first_row("float.onnx", cell, other)).max())
moved = float(np.abs(first_row("int8.onnx", cell) - first_row("int8.onnx", cell, other)).max())
alone = float(np.abs(first_row("int8.onnx", cell) - first_row("float.onnx", cell)).max())
beside = float(np.abs(first_row("int8.onnx", cell, other) - first_row("float.onnx", cell)).max())
print(f"float, alone against beside another cell: {exact:.6f}")
print(f"int8, alone against beside another cell:  {moved:.6f}")
print(f"int8 against float: {alone:.6f} alone, {beside:.6f} beside another cell")
if not (exact < 1e-4 and moved > 0.1 and beside > 2 * alone):
    sys.exit("the behaviour changed")
PY
