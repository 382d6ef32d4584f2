import pytest
import torch
from accelerate import Accelerator

from langcell.training.checkpoints import load_checkpoint, newest_checkpoint, save_checkpoint


class Position:
    """Stands for the batches of a process."""

    def __init__(self, position=0):
        self.position = position

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


@pytest.fixture
def accelerator():
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(torch.nn.Linear(3, 2))
    accelerator.prepare(torch.optim.AdamW(model.parameters()))
    yield accelerator
    accelerator.free_memory()


def save(folder, accelerator, *, step, keep=2):
    return save_checkpoint(
        folder, step=step, accelerator=accelerator, run_state={"step": step}, data=Position(step), keep=keep
    )


def test_what_was_saved_comes_back(tmp_path, accelerator):
    (model,) = accelerator._models
    weights = model.weight.detach().clone()
    checkpoint = save(tmp_path, accelerator, step=7)
    expected_draw = torch.rand(2)
    with torch.no_grad():
        model.weight.zero_()
    data = Position()
    assert load_checkpoint(checkpoint, accelerator=accelerator, data=data) == {"step": 7}
    assert torch.equal(model.weight, weights)
    assert data.position == 7
    assert torch.equal(torch.rand(2), expected_draw)


def test_only_the_newest_stay(tmp_path, accelerator):
    for step in (5, 10, 15):
        save(tmp_path, accelerator, step=step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000010", "checkpoint-00000015"]
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-00000015"


@pytest.mark.parametrize("name", ["state/model.safetensors", "run.pt", "data-00000.json"])
def test_a_truncated_checkpoint_is_passed_over_with_a_warning(tmp_path, accelerator, name):
    whole, damaged = (save(tmp_path, accelerator, step=step) for step in (5, 10))
    content = (damaged / name).read_bytes()
    (damaged / name).write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=f"checkpoint-00000010 is damaged .{name}"):
        assert newest_checkpoint(tmp_path) == whole


def test_a_run_killed_while_it_saves_leaves_nothing_that_counts(tmp_path, accelerator):
    whole = save(tmp_path, accelerator, step=5)
    (tmp_path / "checkpoint-00000010.tmp").mkdir()
    assert newest_checkpoint(tmp_path) == whole
    assert newest_checkpoint(tmp_path / "elsewhere") is None
    save(tmp_path, accelerator, step=10)
    assert not (tmp_path / "checkpoint-00000010.tmp").exists()


def test_another_number_of_processes_is_refused(tmp_path, accelerator):
    checkpoint = save(tmp_path, accelerator, step=5)
    (checkpoint / "data-00001.json").write_text("{}")
    with pytest.raises(ValueError, match="written by 2 processes, this run has 1"):
        load_checkpoint(checkpoint, accelerator=accelerator, data=Position())
