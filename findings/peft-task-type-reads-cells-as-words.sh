#!/usr/bin/env bash
# Genes of a cell are read as words, because an adapter says what it is for.
#
# One would guess: task_type of peft is a note for readers, and a model with an adapter is called as the model was.
# What happens: with task_type="FEATURE_EXTRACTION" the wrapper has a signature of its own, which begins with input_ids.
#   What is given by place goes there by name. A model of cells and texts whose first argument is the genes' ids gets
#   them as ids of words: it answers with the embedding of a text that nobody wrote, and no line says so. Without a
#   task_type, or with names for the arguments, it answers with the cell's.
# Seen with: peft 0.21.2, transformers 5.23.0, torch 2.13.0. Known of models without an input_ids, which end in an
#   error: huggingface/peft issues 2291 and 2316.
# Why a user would care: the two embeddings have the same shape and length, so a search over cells finds neighbours of
#   noise. Fine-tuning by such calls trains the wrong encoder.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile torch==2.13.0
venv/bin/pip install --quiet --quiet --no-compile peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
HF_HOME="$room/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY' 2>log.txt
import sys

import peft
import torch
import transformers
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class CellConfig(PretrainedConfig):
    model_type = "cells"


class CellsAndTexts(PreTrainedModel):
    config_class = CellConfig

    def __init__(self, config):
        super().__init__(config)
        self.genes, self.words = nn.Embedding(50, 4), nn.Embedding(50, 4)
        self.query = nn.Linear(4, 4)
        self.post_init()

    def forward(self, cell_ids=None, input_ids=None, **kwargs):
        parts = ((cell_ids, self.genes), (input_ids, self.words))
        return [None if ids is None else self.query(table(ids)).mean(1) for ids, table in parts]


def adapted(task_type):
    torch.manual_seed(0)
    config = peft.LoraConfig(target_modules=["query"], task_type=task_type)
    return peft.get_peft_model(CellsAndTexts(CellConfig()), config).eval()


genes = torch.tensor([[7, 21, 3]])
torch.manual_seed(0)
model = CellsAndTexts(CellConfig()).eval()
with torch.no_grad():
    cell, word = model(cell_ids=genes)[0], model(input_ids=genes)[1]
    found = {"the model itself": model(genes)}
    for task_type in (None, "FEATURE_EXTRACTION"):
        found[f"task_type={task_type}"] = adapted(task_type)(genes)
    found["task_type=FEATURE_EXTRACTION, by name"] = adapted("FEATURE_EXTRACTION")(cell_ids=genes)
print(f"peft {peft.__version__}, transformers {transformers.__version__}; model(genes) gives the embedding of")
read = {}
for how, (of_cell, of_text) in found.items():
    is_cell = of_text is None and torch.equal(of_cell, cell)
    is_text = of_cell is None and torch.equal(of_text, word)
    read[how] = "a cell" if is_cell else "a text" if is_text else "neither"
    print(f"{how}: {read[how]}")
if list(read.values()) != ["a cell", "a cell", "a text", "a cell"]:
    sys.exit("the behaviour changed")
PY
