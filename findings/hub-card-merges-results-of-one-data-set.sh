#!/usr/bin/env bash
# A model card puts the accuracy of one task under the name of another.
#
# One would guess: two results with their own task_name and dataset_name are two entries of a card's model-index.
# What happens: huggingface_hub groups results by task type, data set type, configuration, split and revision, and takes
#   the names from the first of a group. The second result stands under the first one's task and data set; when the card
#   is read back, its own names are gone. No warning.
# Seen with: huggingface_hub 2.4.0.
# Why a user would care: single-cell data sets share one type ("h5ad"), so zero-shot accuracy on blood and few-shot
#   accuracy on lung become two accuracies of zero-shot on blood. A dataset_type or configuration per measurement helps.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile huggingface_hub==2.4.0
HF_HOME="$room/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import sys

import huggingface_hub
from huggingface_hub import EvalResult, ModelCard, ModelCardData


def read_back(*kinds):
    (blood, lung) = kinds
    results = [
        EvalResult("other", blood, "blood", "accuracy", 0.7, task_name="zero-shot"),
        EvalResult("other", lung, "lung", "accuracy", 0.9, task_name="few-shot"),
    ]
    card = ModelCard(f"---\n{ModelCardData(model_name='cells', eval_results=results).to_yaml()}\n---\n")
    return [(result.task_name, result.dataset_name, result.metric_value) for result in card.data.eval_results]


print(f"huggingface_hub {huggingface_hub.__version__}; given: zero-shot on blood 0.7, few-shot on lung 0.9")
one, two = read_back("h5ad", "h5ad"), read_back("h5ad-blood", "h5ad-lung")
print(f"one type of data set, read back: {one}")
print(f"a type per data set, read back:  {two}")
merged = [("zero-shot", "blood", 0.7), ("zero-shot", "blood", 0.9)]
if not (one == merged and two == [("zero-shot", "blood", 0.7), ("few-shot", "lung", 0.9)]):
    sys.exit("the behaviour changed")
PY
