import os
import subprocess

import pytest
import torch
from places import HELPERS
from warm_python import warm_python

from langcell.training.objectives import gather_with_gradient, global_mean
from langcell.training.objectives.gather import world_size

RANK_SCRIPT = HELPERS / "contrast_on_ranks.py"


def test_one_process_is_the_identity():
    rows = torch.ones(2, 3, requires_grad=True)
    assert world_size() == 1
    assert gather_with_gradient(rows) is rows
    assert global_mean(torch.tensor([1.0, 3.0])).item() == 2.0
    assert global_mean(torch.zeros(0)).item() == 0.0


def test_two_processes_give_the_loss_and_gradient_of_one_with_the_whole_batch(tmp_path):
    def run(processes):
        out = tmp_path / f"{processes}.pt"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "WORLD_SIZE": str(processes)}
        command = [warm_python(), str(RANK_SCRIPT), str(out), str(tmp_path / f"meeting-place-{processes}")]
        ranks = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}) for rank in range(processes)]
        try:
            assert [process.wait(timeout=400) for process in ranks] == [0] * processes
        finally:
            for process in ranks:
                process.kill()
                process.wait()
        return torch.load(out, weights_only=True)

    one, two = run(1), run(2)
    assert one.keys() == two.keys()
    for name in one:
        assert two[name] == pytest.approx(one[name], abs=1e-5), name
