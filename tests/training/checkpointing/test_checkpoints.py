import json

import pytest

from langcell.training.checkpointing.checkpoints import newest_checkpoint, write_checkpoint


def save(folder, *, step, keep=2):
    def fill(building):
        (building / "config.json").write_text("{}")
        (building / "state").mkdir()
        (building / "state" / "weights.safetensors").write_bytes(bytes(range(200)))

    return write_checkpoint(folder, step=step, keep=keep, fill=fill)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_only_the_newest_stay(tmp_path):
    for step in (5, 10, 15):
        assert save(tmp_path, step=step) == tmp_path / f"checkpoint-{step:08d}"
    assert names(tmp_path) == ["checkpoint-00000010", "checkpoint-00000015"]
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-00000015"
    listed = json.loads((tmp_path / "checkpoint-00000015" / "files.json").read_text())
    assert listed == {"config.json": 2, "state/weights.safetensors": 200}


@pytest.mark.parametrize("name", ["state/weights.safetensors", "config.json", "files.json"])
def test_a_truncated_checkpoint_is_passed_over_with_a_warning(tmp_path, name):
    whole, damaged = (save(tmp_path, step=step) for step in (5, 10))
    content = (damaged / name).read_bytes()
    (damaged / name).write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=rf"checkpoint-00000010 is damaged .*{name.split('/')[-1]}.* is passed over"):
        assert newest_checkpoint(tmp_path) == whole


def test_a_damaged_checkpoint_is_written_again(tmp_path):
    damaged = save(tmp_path, step=5)
    (damaged / "config.json").unlink()
    assert save(tmp_path, step=5) == newest_checkpoint(tmp_path) == damaged


def test_what_a_kill_left_behind_counts_for_nothing_and_goes_with_the_next_checkpoint(tmp_path):
    whole = save(tmp_path, step=5)
    for leftover in (".checkpoint-00000010.0a1b2c3d.tmp", ".checkpoint-00000001.old"):
        (tmp_path / leftover).mkdir()
    assert newest_checkpoint(tmp_path) == whole
    assert newest_checkpoint(tmp_path / "elsewhere") is None
    save(tmp_path, step=10)
    assert names(tmp_path) == ["checkpoint-00000005", "checkpoint-00000010"]


def test_an_error_while_it_is_written_leaves_nothing(tmp_path):
    def fill(building):
        (building / "half").write_text("half")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write_checkpoint(tmp_path, step=5, keep=1, fill=fill)
    assert names(tmp_path) == []
