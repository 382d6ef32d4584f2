#!/usr/bin/env bash
# A bias that a checkpoint lacks holds whatever was in memory.
#
# One would guess: what from_pretrained does not find in a checkpoint has the value that __init__ gives it, or, as the
#   load report says, is "newly initialized".
# What happens: transformers 5 builds the model without memory and initialises missing values by type of layer.
#   A bare nn.Parameter or buffer of the model's own class belongs to none: it stays unfilled memory, in spite of
#   torch.zeros in __init__. It is often zero by luck. torch can fill new memory with NaN, which shows it each time.
# Seen with: transformers 5.23.0, torch 2.13.0. A model's own _init_weights has to fill them.
# Why a user would care: research models (a bias over genes, a learned temperature) have such parameters. A head on top
#   of a pre-trained encoder then starts from numbers that differ per run.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3 -m venv venv
venv/bin/pip install --quiet --quiet --no-compile torch==2.13.0
venv/bin/pip install --quiet --quiet --no-compile transformers==5.23.0 numpy==2.4.6
HF_HOME="$room/hf" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY' 2>log.txt
import sys

import torch
import transformers
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class CellConfig(PretrainedConfig):
    model_type = "cells"


class Encoder(PreTrainedModel):
    config_class, base_model_prefix = CellConfig, "encoder"

    def __init__(self, config):
        super().__init__(config)
        self.layer = nn.Linear(4, 4)
        self.post_init()


class GeneHead(PreTrainedModel):
    config_class, base_model_prefix = CellConfig, "encoder"

    def __init__(self, config):
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = nn.Linear(4, 5)
        self.gene_bias = nn.Parameter(torch.zeros(5))
        self.register_buffer("scale", torch.ones(5))
        self.post_init()


Encoder(CellConfig()).save_pretrained("encoder")
torch.use_deterministic_algorithms(True)  # with it, torch fills new memory with NaN
model = GeneHead.from_pretrained("encoder")
print(f"transformers {transformers.__version__}, torch {torch.__version__}; a checkpoint of the encoder alone")
print(f"decoder.bias, of nn.Linear: {model.decoder.bias.tolist()}")
print(f"gene_bias, a parameter that __init__ set to 0: {model.gene_bias.tolist()}")
print(f"scale, a buffer that __init__ set to 1: {model.scale.tolist()}")
unfilled = model.gene_bias.isnan().all() and model.scale.isnan().all()
if not (unfilled and model.decoder.bias.eq(0).all() and model.decoder.weight.isfinite().all()):
    sys.exit("the behaviour changed")
PY
