"""What a run leaves behind: checkpoints that are Hub repositories, metrics of speed and validation, a picture."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess

import pytest
import tiny_shards
import torch
from accelerate.state import AcceleratorState
from matplotlib.image import imread
from places import ROOT
from safetensors.torch import load_file
from warm_python import warm_python

from langcell.processing.shards.manifest import sha256_of
from langcell.training.pretrain import main
from langcell.training.pretraining import loop
from langcell.training.pretraining.tracking import draw_losses
from langcell.training.settings.files import load_config
from langcell.training.speed.throughput import CLOCKED, peak_flops

pytestmark = pytest.mark.usefixtures("fresh_accelerate")

CONFIGS = ROOT / "training" / "configs"
RECALLS = [f"{direction}_recall_at_{k}" for direction in ("cell_to_text", "text_to_cell") for k in (1, 5)]
VALIDATION = ("masked_gene", "masked_gene_accuracy", "matching_accuracy", *RECALLS)
LOAD = """
import sys, torch, transformers
folder, saved = sys.argv[1:]
model = transformers.AutoModelForPreTraining.from_pretrained(folder, trust_remote_code=True)
processor = transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True)
assert "langcell" not in sys.modules, "the folder's own code was not tested"
batch = processor(cells=[[41, 5, 6, 7]], text=["b cell"], return_tensors="pt")
torch.save({name: t for name, t in model.eval().state_dict().items()}, saved)
print(type(model).__name__, float(model(**batch).logits_per_cell.detach()[0, 0]))
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    home = tmp_path_factory.mktemp("shards")
    return [tiny_shards.write_tiny_shards(home / name, seed=i) for i, name in enumerate(("train", "held-out"))]


@pytest.fixture(scope="module")
def arguments(tiny_model_dir, shards):
    def of(output_dir, *overrides):
        weights = [f"objectives.{name}.weight=0.2" for name in ("masked_gene", "cell_cell")]
        sizes = ["batch.size=12", "batch.window=3", "batch.max_length=20", "batch.max_text_length=24", "close_types=0"]
        places = [f"model.path={tiny_model_dir}", f"data=[{{path: {shards[0]}}}]", f"output_dir={output_dir}"]
        run = ["steps=6", "checkpoint.every=3", "checkpoint.keep=9", "precision=no", "batch.cache_texts=false"]
        return ["--config", str(CONFIGS / "stage2-mini.yaml"), *weights, *sizes, *places, *run, *overrides]

    return of


@pytest.fixture(scope="module")
def validated(arguments, shards):
    def of(output_dir, *overrides):
        return arguments(
            output_dir, f"validation.path={shards[1]}", "validation.every=2", "validation.cells=40", *overrides
        )

    return of


@pytest.fixture(scope="module")
def whole(tmp_path_factory, validated):
    """The folder of a run with validation, the default tracker and all that lean.py leaves out; read only."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "draw_losses", draw_losses)
        patch.setattr(loop, "peak_flops", peak_flops)
        assert main(validated(folder)) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    return folder


def log_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def reproducible(folder):
    return [{name: value for name, value in line.items() if name not in CLOCKED} for line in log_of(folder)]


def same_weights(first, second):
    first, second = (load_file(folder / "export" / "model.safetensors") for folder in (first, second))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("ema", [pytest.param(0.0, id="last_weights"), pytest.param(0.9, id="average")])
def test_a_checkpoint_loads_as_a_hub_repository_in_a_fresh_process(tmp_path, arguments, shards, ema):
    assert main(arguments(tmp_path / "run", f"ema_decay={ema}", "trackers=[]")) == 0
    checkpoint = tmp_path / "run" / "checkpoint-00000003"
    environment = os.environ | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    command = [warm_python(), "-c", LOAD, str(checkpoint), str(tmp_path / "weights.pt")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("LangCellForPreTraining ")
    loaded = torch.load(tmp_path / "weights.pt", weights_only=True)
    expected = load_file(checkpoint / "state" / ("average.safetensors" if ema else "weights.safetensors"))
    assert expected.keys() <= loaded.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert len(loaded) > 50
    provenance = json.loads((checkpoint / "provenance.json").read_text())
    assert provenance["step"] == 3
    assert provenance["data"][0]["manifest_sha256"] == sha256_of(shards[0] / "manifest.json")
    assert load_config(checkpoint / "pretraining.yaml").steps == 6
    listed = json.loads((checkpoint / "files.json").read_text())
    assert {"model.safetensors", "config.json", "pretraining.yaml", "provenance.json"} <= set(listed)


def test_the_log_line_has_speed_losses_and_validation(whole):
    log = log_of(whole)
    names = {*CLOCKED, "loss", "masked_gene", "cell_cell", "cell_text", "cell_text_matching", "grad_norm", "lr"}
    for line in log:
        assert names <= set(line)
        assert 0 <= line["data_wait"] < 1
        assert 0 < line["model_flops_utilization"] < 1
        assert line["teraflops_per_second"] > 0
    expected = {f"validation_{name}" for name in VALIDATION}
    assert [set(line) & expected for line in log] == [expected if step % 2 == 0 else set() for step in range(1, 7)]


def test_validation_does_not_change_the_training(tmp_path, arguments, validated):
    with_it, without = tmp_path / "with", tmp_path / "without"
    assert main(validated(with_it, "trackers=[]", "model.attention=eager")) == 0
    assert main(arguments(without, "trackers=[]", "model.attention=eager")) == 0
    assert same_weights(with_it, without)


def test_a_resumed_run_validates_and_ends_the_same(tmp_path, validated, whole):
    shutil.copytree(whole / "checkpoint-00000003", tmp_path / "checkpoint-00000003")
    shutil.copy(whole / "metrics.jsonl", tmp_path)
    assert main(validated(tmp_path, "trackers=[]")) == 0
    assert reproducible(tmp_path) == reproducible(whole)
    assert same_weights(tmp_path, whole)


def test_tensorboard_and_the_picture_of_the_losses(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole / "trackers")).Reload()  # the default tracker
    log = log_of(whole)
    for name in ("loss", "lr", "grad_norm", "cells_per_second", "model_flops_utilization"):
        drawn = {event.step: event.value for event in events.Scalars(name)}
        assert drawn == pytest.approx({line["step"]: line[name] for line in log}), name
    assert [event.step for event in events.Scalars("validation_matching_accuracy")] == [2, 4, 6]
    assert imread(whole / "losses.png").shape[1] == 1430


def test_trackio_keeps_the_log_beside_the_run(tmp_path, validated):
    code = "import sys; from langcell.training.pretrain import main; sys.exit(main(sys.argv[1:]))"
    environment = {name: value for name, value in os.environ.items() if name != "TRACKIO_DIR"}
    command = [warm_python(), "-c", code, *validated(tmp_path, "trackers=[trackio]")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (database,) = (tmp_path / "trackers").glob("*.db")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "select step, metrics from metrics where run_name = ? order by step", (tmp_path.name,)
        )
        logged = {step: json.loads(metrics)["loss"] for step, metrics in rows if "loss" in json.loads(metrics)}
    assert logged == pytest.approx({line["step"]: line["loss"] for line in log_of(tmp_path)})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param(
            ["trackers=[mlflow]"], "trackers.0 is 'mlflow'; legal: one of tensorboard, trackio, wandb", id="tracker"
        ),
        pytest.param(["validation.path=nowhere"], "no manifest.json", id="no_validation_shards"),
        pytest.param(["validation.every=0"], "validation.every is 0; it has to be at least 1", id="never"),
        pytest.param(["model.attention=fast"], "model.attention is 'fast'; legal: one of sdpa", id="attention"),
    ],
)
def test_mistakes_end_with_one_line_before_anything_is_written(tmp_path, arguments, capsys, overrides, message):
    assert main(arguments(tmp_path / "run", *overrides)) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_activation_checkpointing_trains_the_same_weights(tmp_path, arguments):
    plain, checkpointed = tmp_path / "plain", tmp_path / "checkpointed"
    assert main(arguments(plain, "trackers=[]")) == 0
    assert main(arguments(checkpointed, "trackers=[]", "model.activation_checkpointing=true")) == 0
    first, second = (load_file(folder / "export" / "model.safetensors") for folder in (plain, checkpointed))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [pytest.param("false", id="ddp"), pytest.param("true", id="fsdp")])
def test_validation_by_two_processes_gives_the_same_numbers(tmp_path, validated, fsdp):
    # A learning rate of 0: the weights stay the same, whatever each process trains on.
    options = ["trackers=[]", "steps=1", "optimizer.lr=0", "batch.size=6"]
    assert main(validated(tmp_path / "one", *options)) == 0
    arguments = validated(tmp_path / "two", *options)
    script = str(CONFIGS.parent / "pretrain.py")
    launch = [warm_python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", script, *arguments]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "ACCELERATE_USE_FSDP": fsdp, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if "rror" in line)
    (one,), (two,) = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    measured = {name: value for name, value in one.items() if name.startswith("validation_")}
    assert len(measured) == 7
    assert {name: two[name] for name in measured} == pytest.approx(measured, abs=1e-5)
