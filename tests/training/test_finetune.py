"""The script, by itself and as `accelerate launch` starts it on two processes."""

import os
import subprocess

import pytest
import torch
from places import ROOT
from safetensors.torch import load_file
from tiny import save_tiny_folder, tiny_config, tiny_model
from tiny_labelled import labelled_cells
from warm_python import warm_python

from langcell.training.fine_tuning.finetuning import finetune
from langcell.training.finetune import main

SCRIPT = ROOT / "training" / "finetune.py"
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def test_the_script_is_short():
    assert len(SCRIPT.read_text().splitlines()) <= 80


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, tiny_model_dir, capsys):
    arguments = ["absent.h5ad", "--label-column", "type", "--model", str(tiny_model_dir), "-o", str(tmp_path / "a")]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "absent.h5ad" in capsys.readouterr().err.splitlines()[-1]


ACCELERATE = ["-m", "accelerate.commands.launch", "--config_file", "training/configs/accelerate/cpu2.yaml"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "launch", [pytest.param(ACCELERATE, id="accelerate launch"), pytest.param(TORCHRUN, id="torchrun")]
)
def test_two_processes_learn_what_one_does(tmp_path, launch):
    labelled_cells().write_h5ad(tmp_path / "cells.h5ad")
    base = save_tiny_folder(tmp_path / "base")
    tiny_model(tiny_config(cell=NO_DROPOUT, text=NO_DROPOUT)).save_pretrained(base)
    options = {"label_column": "type", "shots": 4, "steps": 4, "batch_size": 5, "learning_rate": 0.01}
    options["dtype"] = "float32"  # another share of a batch is rounded otherwise
    written = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    run = subprocess.run(
        [warm_python(), *launch, SCRIPT, tmp_path / "cells.h5ad", "--model", base, "-o", tmp_path / "two", *written],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("Wrote") == 1  # by the first process alone
    alone = finetune(tmp_path / "cells.h5ad", model=base, device="cpu", progress=False, **options)
    assert alone.adapter is not None
    found = load_file(tmp_path / "two" / "adapter_model.safetensors")
    assert found.keys() == alone.adapter.tensors.keys()
    for name, tensor in alone.adapter.tensors.items():
        # The updates are 0.01 a step: one process more or less is not seen.
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=5e-4, msg=name)
