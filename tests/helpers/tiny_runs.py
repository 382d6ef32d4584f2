"""Command lines of pre-training runs that take seconds, and what they leave behind."""

import json
import os
import subprocess
from pathlib import Path

import torch
from places import ROOT
from safetensors.torch import load_file
from warm_python import warm_python

from langcell.training.speed.throughput import CLOCKED

SCRIPT = str(ROOT / "training" / "pretrain.py")


def arguments(stage: int, output_dir: Path, *overrides: str, model: Path, shards: Path) -> list[str]:
    """Options of training/pretrain.py: all losses of the stage, in float32, no trackers."""
    weights = [f"objectives.{name}.weight=0.2" for name in ("masked_gene", "cell_cell")]
    texts = ["batch.max_text_length=24", "batch.cache_texts=false", "freeze=[]", *weights] if stage == 2 else []
    places = [f"model.path={model}", f"data=[{{path: {shards}}}]", f"output_dir={output_dir}"]
    sizes = [
        "batch.size=12",
        "batch.window=3",
        "batch.max_length=20",
        "optimizer.warmup=3",
        "precision=no",
        "close_types=0",
    ]
    config = str(ROOT / "training" / "configs" / f"stage{stage}-mini.yaml")
    return ["--config", config, *sizes, *places, *texts, "trackers=[]", "steps=8", "checkpoint.every=3", *overrides]


def start(options: list[str], *, ranks: int = 1, **environment: str) -> subprocess.Popen[str]:
    """Start a run in processes of its own; its output is one stream.

    Args:
        options: of training/pretrain.py.
        ranks: how many processes.
        environment: variables besides those of this process.
    """
    torchrun = [warm_python(), "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    return subprocess.Popen(
        [*(torchrun if ranks > 1 else torchrun[:1]), SCRIPT, *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], *, code: int = 0) -> str:
    """Wait for a run to end with an exit code; what it said."""
    said, _ = process.communicate(timeout=800)
    assert process.returncode == code, said[-3000:]
    return said


def log_of(folder: Path) -> list[dict[str, float]]:
    """The log of a run, without what depends on the clock; every step is there once."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [{name: value for name, value in line.items() if name not in CLOCKED} for line in lines]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """What a run exported."""
    return load_file(folder / "export" / "model.safetensors")


def are_identical(first: Path, second: Path) -> bool:
    """Whether two runs have the same log and export the same weights, bit for bit."""
    one, two = weights_of(first), weights_of(second)
    same = one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    return same and log_of(first) == log_of(second)
