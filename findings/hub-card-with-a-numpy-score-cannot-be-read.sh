#!/usr/bin/env bash
# A card with a score from numpy is written, and nobody can read it.
#
# One would guess: a metric_value that is a numpy float, as scikit-learn and numpy return it, is written as a number or
#   refused.
# What happens: the metadata hold a dump of the numpy object in place of the number. Writing says nothing; ModelCard
#   and every other safe YAML reader refuse the whole card.
# Seen with: huggingface_hub 2.4.0, numpy 2.4.6.
# Why a user would care: the failure comes at the upload or at the reader, far from the evaluation. float(score) helps.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile huggingface_hub==2.4.0 numpy==2.4.6
HF_HOME="$room/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sys

import huggingface_hub
import numpy as np
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData


def written_and_read(score):
    result = EvalResult("other", "h5ad", "blood", "accuracy", score)
    text = ModelCardData(model_name="cells", eval_results=[result]).to_yaml()
    try:
        return text, ModelCard(f"---\n{text}\n---\n").data.eval_results[0].metric_value
    except yaml.YAMLError as error:
        return text, type(error).__name__


score = np.mean([True, True, False, True])
text, numpy_read = written_and_read(score)
_, float_read = written_and_read(float(score))
print(f"huggingface_hub {huggingface_hub.__version__}, numpy {np.__version__}; score {score!r}")
print(next(line.strip() for line in text.splitlines() if "value:" in line))
print(f"read back: {numpy_read}; as float: {float_read}")
if not ("!!python/object" in text and numpy_read == "ConstructorError" and float_read == 0.75):
    sys.exit("the behaviour changed")
PY
