#!/usr/bin/env bash
# An adapter that should keep one head trains and stores three.
#
# One would guess: modules_to_save=["head"] of peft is the module `head`, or the modules whose last part is `head`.
# What happens: it is every module whose full name ends with these letters: `masked_head` and `encoder.cell_head` too.
#   They are copied, trained and stored in the adapter, without a word.
# Seen with: peft 0.21.2, torch 2.13.0. Known: huggingface/peft issues 1917 and 3755.
# Why a user would care: a cell model with a head over all genes and a small one for types gets adapters of the size
#   of the former, and pre-trained heads that change under fine-tuning.
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
from torch import nn


class Cells(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict({"query": nn.Linear(4, 4), "cell_head": nn.Linear(4, 4)})
        self.masked_head = nn.Linear(4, 9)
        self.head = nn.Linear(4, 2)

    def forward(self, cells):
        return self.head(self.encoder["query"](cells))


model = peft.get_peft_model(Cells(), peft.LoraConfig(target_modules=["query"], modules_to_save=["head"]))
trained = sorted(
    name.split("base_model.model.")[1].split(".modules_to_save")[0]
    for name, parameter in model.named_parameters()
    if parameter.requires_grad and "modules_to_save" in name and name.endswith("weight")
)
print(f"peft {peft.__version__}; modules_to_save=['head']")
print(f"trained and stored: {trained}")
if trained != ["encoder.cell_head", "head", "masked_head"]:
    sys.exit("the behaviour changed")
PY
