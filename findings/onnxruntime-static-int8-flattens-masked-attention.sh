#!/usr/bin/env bash
# Static quantisation of a masked softmax makes attention uniform.
#
# One would guess: quantize_static of onnxruntime, calibrated on padded batches, costs a percent or two of precision.
# What happens: an attention mask is added to the scores as a very negative number. The Add is quantised with them, so
#   one step of int8 is about 1e36 for a mask of -3.4e38 (40 for -1e4): every real score rounds to the same value, and
#   every gene that is not masked gets the same attention. Nothing warns. With op_types_to_quantize=["MatMul", "Gemm"]
#   the Add stays float, and attention is right to a few percent.
# Seen with: onnxruntime 1.31.1, onnx 1.23.2, on a CPU.
# Why a user would care: cells are padded to the longest list of genes in a batch, so any exported cell model has such a
#   mask. The output still is a unit vector that looks like an embedding.
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
from onnxruntime.quantization import CalibrationDataReader, quantize_static

GENES, REAL = 64, 40
rng = np.random.default_rng(0)
weights = numpy_helper.from_array(rng.normal(scale=0.3, size=(GENES, GENES)).astype("f4"), "weights")
nodes = [
    helper.make_node("MatMul", ["query", "weights"], ["scores"]),
    helper.make_node("Add", ["scores", "mask"], ["masked"]),
    helper.make_node("Softmax", ["masked"], ["attention"], axis=-1),
]
query, mask, attention = (
    helper.make_tensor_value_info(name, TensorProto.FLOAT, ["cells", GENES]) for name in ("query", "mask", "attention")
)
graph = helper.make_graph(nodes, "attention", [query, mask], [attention], [weights])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "float.onnx")


def batch(lowest):
    mask = np.zeros((4, GENES), "f4")
    mask[:, REAL:] = lowest
    return {"query": rng.normal(size=(4, GENES)).astype("f4"), "mask": mask}


class Padded(CalibrationDataReader):
    def __init__(self, lowest):
        self.batches = iter([batch(lowest) for _ in range(8)])

    def get_next(self):
        return next(self.batches, None)


def attend(model, feed):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0][:, :REAL]


print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}; attention to {REAL} real genes of {GENES}")
as_seen = True
for lowest in (float(np.finfo("f4").min), -1e4):
    feed = batch(lowest)
    right = attend("float.onnx", feed)
    for kinds in (None, ["MatMul", "Gemm"]):
        quantize_static("float.onnx", "int8.onnx", Padded(lowest), op_types_to_quantize=kinds)
        found = attend("int8.onnx", feed)
        spread = float(np.ptp(found))
        error = float(np.abs(found - right).max())
        how = f"mask {lowest:.1e}, quantised {kinds or 'all'}"
        print(f"{how}: spread {spread:.4f}, error {error:.4f}, of {np.ptp(right):.4f}")
        as_seen &= (spread < 1e-6) if kinds is None else (error < 0.1 * float(np.ptp(right)))
if not as_seen:
    sys.exit("the behaviour changed")
PY
