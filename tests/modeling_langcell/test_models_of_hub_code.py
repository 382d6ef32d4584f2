"""A model that a folder's own code made is as good as one of langcell's class, whichever was imported first."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from tiny import tiny_config
from tiny_evidence import typed_model, typed_reference
from warm_python import warm_python

from langcell.modeling_langcell import LangCellForCellClassification

HELPERS = Path(__file__).resolve().parents[1] / "helpers"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["langcell", "hub"])
def test_every_public_function_takes_both_classes(tmp_path, first):
    loaded = typed_model(typed_reference())
    for part in (loaded.model, loaded.processor):
        part.save_pretrained(tmp_path / "model")
    torch.manual_seed(0)
    LangCellForCellClassification(tiny_config(num_labels=3)).save_pretrained(tmp_path / "classifier")
    done = subprocess.run(
        [warm_python(), str(HELPERS / "either_class.py"), str(tmp_path / "model"), str(tmp_path / "classifier"), first],
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["wrong"] == []
    assert len(answer["compared"]) == 20
