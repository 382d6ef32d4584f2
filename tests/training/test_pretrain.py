import json
import shutil

import pytest
import tiny_runs
import tiny_shards
import torch
from accelerate.state import AcceleratorState
from places import ROOT
from safetensors.torch import load_file

from langcell.modeling_langcell import LangCellForPreTraining
from langcell.training.pretrain import main
from langcell.training.speed.throughput import CLOCKED

pytestmark = pytest.mark.usefixtures("fresh_accelerate")

CONFIGS = ROOT / "training" / "configs"
SIZES = [
    "batch.size=12",
    "batch.window=3",
    "batch.max_length=20",
    "optimizer.warmup=3",
    "precision=no",
    "close_types=0",
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards.write_tiny_shards(tmp_path_factory.mktemp("shards") / "labelled")


@pytest.fixture(scope="module")
def arguments(tiny_model_dir, shards):
    """Command line of a tiny run of a stage."""

    def of(stage, output_dir, *overrides):
        # All four losses; the tiny model reads cells in more than its last layer, so its texts cannot be cached.
        weights = [f"objectives.{name}.weight=0.2" for name in ("masked_gene", "cell_cell")]
        texts = ["batch.max_text_length=24", "batch.cache_texts=false", *weights] if stage == 2 else []
        places = [f"model.path={tiny_model_dir}", f"data=[{{path: {shards}}}]", f"output_dir={output_dir}"]
        config = str(CONFIGS / f"stage{stage}-mini.yaml")
        return ["--config", config, *SIZES, *places, *texts, "steps=8", "checkpoint.every=3", *overrides]

    return of


@pytest.fixture(scope="module", params=[1, 2])
def whole(request, tmp_path_factory, arguments):
    """A stage, and the folder of a run of it that nobody stopped; read only."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(arguments(request.param, folder, "checkpoint.keep=9", "batch.accumulate=2")) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    return request.param, folder


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [{name: value for name, value in line.items() if name not in CLOCKED} for line in lines]


def weights(folder):
    return load_file(folder / "export" / "model.safetensors")


def test_stage_1_then_stage_2_from_its_export(tmp_path, arguments, tiny_model_dir):
    assert main(arguments(1, tmp_path / "one")) == 0
    before, after = load_file(tiny_model_dir / "model.safetensors"), weights(tmp_path / "one")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"cell_encoder", "cell_projection", "masked_gene_head"}
    assert main(arguments(2, tmp_path / "two", f"model.path={tmp_path / 'one' / 'export'}")) == 0
    before, after = after, weights(tmp_path / "two")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert all("crossattention" in name for name in moved if name.startswith("text_encoder"))
    expected = ("text_encoder", "text_projection", "match_head", "cell_encoder", "cell_projection", "masked_gene_head")
    assert {name.split(".")[0] for name in moved} == set(expected)
    assert set(losses(tmp_path / "two")[0]) >= {"masked_gene", "cell_cell", "cell_text", "cell_text_matching", "lr"}


def test_the_export_is_a_complete_folder(tmp_path, arguments, tiny_model_dir):
    assert main(arguments(1, tmp_path, "steps=2")) == 0
    files = {path.name for path in (tmp_path / "export").iterdir()}
    assert files == {path.name for path in tiny_model_dir.iterdir()} | {"pretraining.yaml", "provenance.json"}
    LangCellForPreTraining.from_pretrained(tmp_path / "export")


def test_losses_fall(tmp_path, arguments):
    learning = ("steps=100", "optimizer.lr=3e-3", "objectives.masked_gene.weight=1")
    assert main(arguments(2, tmp_path, *learning, "ema_decay=0", "checkpoint.every=100")) == 0
    history = losses(tmp_path)
    for name in ("cell_text", "cell_text_matching", "masked_gene"):
        first, last = (sum(line[name] for line in part) / 10 for part in (history[:10], history[-10:]))
        assert last < 0.95 * first, name


@pytest.mark.parametrize("stop", [pytest.param(3, id="first_checkpoint"), pytest.param(6, id="second_checkpoint")])
def test_a_resumed_run_is_bit_identical(tmp_path, arguments, whole, stop):
    (stage, whole), resumed = whole, tmp_path / "resumed"
    shutil.copytree(whole / f"checkpoint-{stop:08d}", resumed / f"checkpoint-{stop:08d}")
    lines = (whole / "metrics.jsonl").read_text().splitlines(keepends=True)
    (resumed / "metrics.jsonl").write_text("".join(lines[: stop + 1]) + '{"step": 5, "lo')  # killed while it wrote
    assert main(arguments(stage, resumed, "checkpoint.keep=9", "batch.accumulate=2")) == 0
    assert losses(resumed) == losses(whole)
    expected, got = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_bf16_runs(tmp_path, arguments):
    assert main(arguments(2, tmp_path, "precision=bf16", "steps=2")) == 0


def test_a_run_that_is_not_finite_stops_and_keeps_the_batch(tmp_path, arguments, capsys):
    assert main(arguments(1, tmp_path, "optimizer.lr=1e30", "optimizer.warmup=0", "max_bad_steps=3", "steps=50")) == 2
    assert "not finite for 3 steps in a row" in capsys.readouterr().err
    saved = torch.load(tmp_path / "bad-batch-00000.pt", weights_only=True)
    assert saved["batches"][0]["cell_input_ids"].shape[0] == 12


def test_broken_weights_do_not_take_the_place_of_good_ones(tmp_path, arguments):
    # The first step breaks the weights; what is found broken is not kept.
    broken = ("optimizer.lr=1e30", "optimizer.warmup=0", "max_bad_steps=5", "steps=50", "checkpoint.every=2")
    assert main(arguments(1, tmp_path, *broken)) == 2
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_run_whose_steps_are_all_skipped_exports_nothing(tmp_path, arguments, capsys):
    assert main(arguments(1, tmp_path, "objectives.cell_cell.temperature=1e-45", "steps=2")) == 2
    said = capsys.readouterr()
    assert "2 of 2 steps were skipped" in said.out
    assert "No step had a finite loss and gradient" in said.err
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param(["model.path=/nowhere"], "/nowhere is no folder; give the folder of the LangCell", id="no_model"),
        pytest.param(["model.path=runs/none/export"], "Stage 2 starts from the export of stage 1", id="no_stage_1"),
        pytest.param(["data=[]"], "data is empty", id="no_data"),
        pytest.param(["data=[{path: nowhere}]"], "no manifest.json", id="no_shards"),
        pytest.param(["data=[{path: nowhere}]"], "training/langcell_mini.py --prepare-only", id="how_to_make_shards"),
        pytest.param(["freeze=[nothing_like_it]"], "finds no parameter", id="freeze_finds_nothing"),
        pytest.param(["freeze=['(']"], "is no regular expression", id="freeze_is_no_pattern"),
        pytest.param(["freeze=['.']"], "Nothing is left to train", id="all_frozen"),
        pytest.param(["batch.max_length=99"], "the model reads at most 32 ids", id="cells_too_long"),
        pytest.param(["batch.sise=1"], "Did you mean batch.size?", id="unknown_key"),
        pytest.param(["optimizer.learning_rate=1"], "Did you mean optimizer.lr?", id="key_in_full"),
        pytest.param(["data=[{path: x"], "Override data cannot be read as yaml", id="no_yaml"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(tmp_path, arguments, capsys, overrides, message):
    assert main(arguments(1, tmp_path / "run", *overrides)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "run").exists()


def test_shards_of_another_vocabulary_are_refused_before_the_first_step(tmp_path, arguments, shards, capsys):
    other = tmp_path / "other"
    shutil.copytree(shards, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"vocabulary_fingerprint": "f" * 64}))
    assert main(arguments(1, tmp_path / "run", f"data=[{{path: {other}}}]")) == 2
    assert "ffffffffffff; use files that were made with the same gene vocabulary" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_processes_that_find_the_same_mistake_say_it_once(tmp_path, tiny_model_dir, shards):
    options = tiny_runs.arguments(1, tmp_path / "run", "batch.sise=1", model=tiny_model_dir, shards=shards)
    said = tiny_runs.finish(tiny_runs.start(options, ranks=2), code=1)  # torchrun's own code
    assert [line for line in said.splitlines() if "Did you mean batch.size?" in line] == [
        line for line in said.splitlines() if line.startswith("error: Unknown config key batch.sise.")
    ]
    assert said.count("Did you mean batch.size?") == 1


def test_a_mistake_of_another_process_alone_is_said_by_it(tmp_path, arguments, capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("langcell.training.pretrain.PATIENCE", 0)
    assert main(arguments(1, tmp_path / "run", "batch.sise=1")) == 2
    assert capsys.readouterr().err.startswith("error in process 1: Unknown config key batch.sise.")
