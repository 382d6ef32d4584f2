"""Runs that are killed, and resumed on as many processes or on others."""

import json
import shutil
import signal
import time
from contextlib import suppress

import psutil
import pytest
import tiny
import tiny_runs
import tiny_shards
import torch
from accelerate.state import AcceleratorState
from warm_python import warm_processes

from langcell.training.pretrain import main

STEPS = 9


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Command line of a run with all four losses, the average of the weights and dropout.

    Dropout is in the text encoder alone, so that on other ranks the losses of cells alone can be told to be the same.
    """
    home = tmp_path_factory.mktemp("run")
    model, shards = tiny.save_tiny_folder(home / "model"), tiny_shards.write_tiny_shards(home / "shards")
    config = json.loads((model / "config.json").read_text())
    config["cell_config"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    assert config["text_config"]["hidden_dropout_prob"] > 0
    (model / "config.json").write_text(json.dumps(config))

    def of(output_dir, *overrides):
        always = (f"steps={STEPS}", "checkpoint.every=2", "ema_decay=0.9")
        return tiny_runs.arguments(2, output_dir, *always, *overrides, model=model, shards=shards)

    return of


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    """Runs that nobody kills, on one process and on two."""
    folder = tmp_path_factory.mktemp("undisturbed")
    on_two = tiny_runs.start(options(folder / "2"), ranks=2)
    _run_here(options(folder / "1"))
    tiny_runs.finish(on_two)
    return {1: folder / "1", 2: folder / "2"}


def _run_here(arguments):
    assert main(arguments) == 0
    AcceleratorState._reset_state(reset_partial_state=True)


def _kill_when(process, is_time):
    """Kill a run and all of its processes in the very moment."""

    def to_all(number):
        parent = psutil.Process(process.pid)
        for each in (parent, *parent.children(recursive=True), *warm_processes()):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    deadline = time.monotonic() + 800
    while time.monotonic() < deadline and process.poll() is None:
        if is_time():
            to_all(signal.SIGSTOP)
            if is_time():  # still, now that nothing moves
                break
            to_all(signal.SIGCONT)
        time.sleep(0.002)
    assert process.poll() is None, f"the run ended before it was killed: {process.communicate()[0][-2000:]}"
    to_all(signal.SIGKILL)
    process.communicate()


def _logged(folder, step):
    log = folder / "metrics.jsonl"
    return log.exists() and len(log.read_text().splitlines()) >= step


MOMENTS = {
    "before_the_first_checkpoint": lambda folder: _logged(folder, 1) and not list(folder.glob("*checkpoint-*")),
    "while_a_checkpoint_is_written": lambda folder: bool(list(folder.glob(".checkpoint-00000004.*"))),
    "between_checkpoints": lambda folder: _logged(folder, 5) and bool(list(folder.glob("checkpoint-00000004"))),
}


@pytest.mark.parametrize(
    ("moment", "ranks"),
    [
        *(pytest.param(moment, 1, id=moment) for moment in MOMENTS),
        pytest.param("while_a_checkpoint_is_written", 2, id="two_ranks", marks=pytest.mark.slow),
    ],
)
def test_kill_9_and_the_same_command_again(tmp_path, options, undisturbed, moment, ranks):
    process = tiny_runs.start(options(tmp_path), ranks=ranks)
    _kill_when(process, lambda: MOMENTS[moment](tmp_path))
    assert not (tmp_path / "export").exists()
    if ranks == 1:
        _run_here(options(tmp_path))
    else:
        assert "Resuming from" in tiny_runs.finish(tiny_runs.start(options(tmp_path), ranks=ranks))
    assert tiny_runs.are_identical(tmp_path, undisturbed[ranks])
    assert not list(tmp_path.glob(".checkpoint-*"))


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [pytest.param(2, 1, id="2_to_1"), pytest.param(1, 2, id="1_to_2")])
def test_resume_on_another_number_of_ranks(tmp_path, options, undisturbed, capfd, before, after):
    shutil.copytree(undisturbed[before] / "checkpoint-00000008", tmp_path / "checkpoint-00000008")
    shutil.copy(undisturbed[before] / "metrics.jsonl", tmp_path)
    if after == 1:
        _run_here(options(tmp_path))
        said = capfd.readouterr().out
    else:
        said = tiny_runs.finish(tiny_runs.start(options(tmp_path), ranks=after))
    cells = 12 * before
    assert f"It was written by {before} processes, this run has {after}. The position in the data is kept" in said
    assert f"the same {cells} cells, {cells // after} on each process instead of 12" in said
    expected, got = tiny_runs.log_of(undisturbed[before]), tiny_runs.log_of(tmp_path)
    assert got[:8] == expected[:8]
    # The same weights and the same cells; texts fall under other dropout.
    for loss in ("masked_gene", "cell_cell"):
        assert got[8][loss] == pytest.approx(expected[8][loss], abs=1e-5)
    assert got[8]["cell_text"] != expected[8]["cell_text"]


def test_a_truncated_checkpoint_is_passed_over_and_the_run_ends_the_same(tmp_path, options, undisturbed):
    shutil.copytree(undisturbed[1], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "export")
    newest = sorted((tmp_path / "run").glob("checkpoint-*"))[-1]
    moments = newest / "state" / "moments.safetensors"
    moments.write_bytes(moments.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=rf"{newest.name} is damaged \(state/moments.safetensors .* is passed over"):
        _run_here(options(tmp_path / "run"))
    assert tiny_runs.are_identical(tmp_path / "run", undisturbed[1])


def test_a_checkpoint_of_a_run_that_trains_something_else_is_refused(tmp_path, options, undisturbed, capsys):
    shutil.copytree(undisturbed[1] / "checkpoint-00000008", tmp_path / "checkpoint-00000008")
    assert main(options(tmp_path, "freeze=['^text_encoder']", "--change-settings")) == 2
    assert "trains other parameters, such as text_encoder." in capsys.readouterr().err
    AcceleratorState._reset_state(reset_partial_state=True)
    assert main(options(tmp_path, "freeze=[]", "ema_decay=0.5", "steps=8", "--change-settings")) == 0
    weights = tiny_runs.weights_of(tmp_path)
    assert all(torch.isfinite(weight).all() for weight in weights.values())
    AcceleratorState._reset_state(reset_partial_state=True)
