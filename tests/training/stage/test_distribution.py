"""Two processes (gloo) against one: a pass of the real stage, and whole runs by DistributedDataParallel and FSDP."""

import shutil
import subprocess
from pathlib import Path

import pytest
import stage_on_ranks
import tiny
import tiny_runs
import tiny_shards
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch.testing import assert_close
from warm_python import warm_python

from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.pretrain import main
from langcell.training.stage.distribution import asks_for_fsdp

CONFIGS = tiny_runs.ROOT / "training" / "configs" / "accelerate"


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """All cases on two processes, started by torchrun."""
    out = tmp_path_factory.mktemp("ranks") / "two.pt"
    script = Path(stage_on_ranks.__file__)
    command = [warm_python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", script, out]
    subprocess.run(list(map(str, command)), check=True, timeout=800)
    return torch.load(out, weights_only=True)


@pytest.fixture
def accelerator():
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("name", list(stage_on_ranks.CASES))
def test_two_ranks_with_half_the_cells_each_give_the_losses_and_gradients_of_one(on_two, accelerator, name):
    """One process reads all cells directly; the pairs of the match are drawn as two would (`DrawsAsProcesses`)."""
    case = stage_on_ranks.CASES[name]
    direct = stage_on_ranks.Case(case.objectives, frozen=case.frozen)
    expected = stage_on_ranks.run(direct, accelerator)
    assert on_two[name].keys() == expected.keys()
    assert {"loss", "cell_cell"} <= expected.keys()
    for each, value in expected.items():
        assert_close(on_two[name][each], value, atol=1e-5, rtol=0, msg=lambda text, each=each: f"{each}: {text}")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A run without dropout and without the match, whose draws depend on the process; two streams on any number."""
    home = tmp_path_factory.mktemp("run")
    model = tiny.tiny_model(tiny.tiny_config(cell=stage_on_ranks.NO_DROPOUT, text=stage_on_ranks.NO_DROPOUT))
    model.save_pretrained(home / "model")
    tiny.tiny_processor().save_pretrained(home / "model")
    shards = tiny_shards.write_tiny_shards(home / "shards")

    def of(output_dir, *overrides):
        fixed = (
            "batch.streams=2",
            "batch.size=6",
            "ema_decay=0.9",
            "objectives.cell_text_matching.weight=0",
            "steps=6",
        )
        return tiny_runs.arguments(2, output_dir, *fixed, *overrides, model=home / "model", shards=shards)

    return of


@pytest.fixture(scope="module")
def on_one(options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    assert main(options(folder)) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    return folder


def launch(config, arguments):
    command = ["-m", "accelerate.commands.launch", f"--config_file={CONFIGS / config}", "--num_processes=2"]
    done = subprocess.run(
        [warm_python(), *command, tiny_runs.SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "kind", "overrides"),
    [
        pytest.param("cpu2.yaml", "DistributedDataParallel", (), id="cpu2"),
        pytest.param("ddp.yaml", "DistributedDataParallel", ("batch.chunk=4",), id="ddp_in_chunks"),
        pytest.param("fsdp.yaml", "FSDP", (), id="fsdp"),
    ],
)
def test_a_run_on_two_ranks_is_that_of_one_process(tmp_path, options, on_one, config, kind, overrides):
    said = launch(config, options(tmp_path, *overrides))
    assert f"Training on 2 processes ({kind})." in said
    assert_runs_agree(tmp_path, on_one)
    LangCellForPreTraining.from_pretrained(tmp_path / "export")


def assert_runs_agree(run, expected):
    for got, line in zip(tiny_runs.log_of(run), tiny_runs.log_of(expected), strict=True):
        assert got == pytest.approx(line, abs=1e-4), line["step"]
    assert_close(_felt(tiny_runs.weights_of(run)), _felt(tiny_runs.weights_of(expected)), atol=1e-4, rtol=0)
    for name in ("weights", "average", "moments"):
        path = Path("checkpoint-00000003") / "state" / f"{name}.safetensors"
        assert_close(_felt(load_file(run / path)), _felt(load_file(expected / path)), atol=1e-4, rtol=0)


def _felt(weights):
    """Without the biases of attention keys: softmax does not feel them, and AdamW makes steps of rounding errors."""
    return {name: weight for name, weight in weights.items() if "key.bias" not in name}


@pytest.mark.slow
def test_fsdp_goes_on_from_one_process_and_one_process_from_fsdp(tmp_path, options, on_one):
    for folder, source in (("fsdp", on_one), ("one", tmp_path / "fsdp")):
        shutil.copytree(source / "checkpoint-00000003", tmp_path / folder / "checkpoint-00000003")
        shutil.copy(source / "metrics.jsonl", tmp_path / folder)
        if folder == "fsdp":
            assert "Resuming from" in launch("fsdp.yaml", options(tmp_path / folder, "batch.chunk=4"))
        else:
            assert main(options(tmp_path / folder)) == 0
            AcceleratorState._reset_state(reset_partial_state=True)
        assert_runs_agree(tmp_path / folder, on_one)


def test_fsdp_of_version_1_is_refused(monkeypatch):
    assert not asks_for_fsdp()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(ValueError, match="asks for fsdp_version 1; legal is 2"):
        asks_for_fsdp()
