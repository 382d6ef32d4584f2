"""Going on with the same settings and with others; exactness of what is resumed is in test_resume.py."""

import json
import shutil

import pytest
import tiny_runs
import tiny_shards
from safetensors.torch import load_file, save_file

from langcell.processing.files.file_locks import locked_file
from langcell.training.pretrain import main
from langcell.training.pretraining.resuming import changed_settings, keep_added_files
from langcell.training.settings.files import load_config

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards.write_tiny_shards(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture(scope="module")
def finished(tiny_model_dir, shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    assert (
        main(
            tiny_runs.arguments(1, folder / "run", "steps=4", "checkpoint.keep=9", model=tiny_model_dir, shards=shards)
        )
        == 0
    )
    return folder / "run"


@pytest.fixture
def go_on(tiny_model_dir, shards, finished, tmp_path):
    """Starts a copy of the finished run again; its folder."""

    def of(*overrides, stop=None, model=tiny_model_dir, data=shards, code=0):
        shutil.copytree(finished, tmp_path / "run", dirs_exist_ok=True)
        for name in ["export", "checkpoint-00000004"] if stop else []:
            shutil.rmtree(tmp_path / "run" / name)
        settings = ("steps=4", "checkpoint.keep=9", *overrides)
        assert main(tiny_runs.arguments(1, tmp_path / "run", *settings, model=model, shards=data)) == code
        return tmp_path / "run"

    return of


def bytes_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("optimizer.lr=5e-4", "optimizer.lr=0.001 (now 0.0005)", id="learning_rate"),
        pytest.param("objectives.cell_cell.weight=0.1", "objectives.cell_cell.weight=0.5 (now 0.1)", id="loss"),
        pytest.param("steps=6", "steps=4 (now 6)", id="more_steps"),
        pytest.param("seed=1", "seed=0 (now 1)", id="seed"),
    ],
)
@pytest.mark.parametrize("stop", [pytest.param(3, id="stopped"), pytest.param(None, id="finished")])
def test_other_settings_are_refused_and_nothing_changes(go_on, finished, capsys, override, message, stop):
    folder = go_on(override, stop=stop, code=2)
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    left = bytes_in(folder)
    assert left == {name: content for name, content in bytes_in(finished).items() if name in left}


def test_fewer_steps_than_were_done_are_refused(go_on, capsys):
    go_on("steps=3", "--change-settings", code=2)
    assert "is past steps=3; give more steps, or another output_dir" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["model", "data"])
def test_other_weights_and_other_cells_under_a_known_path_are_refused(
    go_on, capsys, tmp_path, tiny_model_dir, shards, what
):
    other = shutil.copytree(tiny_model_dir if what == "model" else shards, tmp_path / "other")
    assert go_on(**{what: other}), "the same in another place goes on"
    if what == "model":
        weights = load_file(other / "model.safetensors")
        save_file({name: weight + 1 for name, weight in weights.items()}, other / "model.safetensors", {"format": "pt"})
    else:
        shutil.rmtree(other)
        tiny_shards.write_tiny_shards(other, seed=5)
    capsys.readouterr()
    go_on(**{what: other}, code=2)
    assert f"was written with {'model.path' if what == 'model' else 'data'}=" in capsys.readouterr().err


def test_settings_that_weights_do_not_learn_from_may_change(go_on, finished):
    folder = go_on("checkpoint.every=2", "batch.workers=0", "model.attention=eager", "max_bad_steps=2", stop=3)
    assert json.loads((folder / "export" / "provenance.json").read_text())["changes"] == []
    assert tiny_runs.log_of(folder)[:3] == tiny_runs.log_of(finished)[:3]


def test_changes_that_are_meant_are_made_and_written_down(go_on):
    folder = go_on("optimizer.lr=5e-4", "--change-settings", stop=3)
    rates = [line["lr"] for line in tiny_runs.log_of(folder)]
    assert rates[2] == 1e-3
    assert rates[3] == 5e-4, "the new rate from the step after the checkpoint"
    (change,) = json.loads((folder / "export" / "provenance.json").read_text())["changes"]
    assert change == {"after_step": 3, "optimizer.lr": {"before": 1e-3, "after": 5e-4}}
    assert load_config(folder / "export" / "pretraining.yaml").optimizer.lr == 5e-4
    # The next ones come after it.
    assert main(_again(folder, "optimizer.lr=5e-4", "steps=5", "--change-settings")) == 0
    changes = json.loads((folder / "export" / "provenance.json").read_text())["changes"]
    assert changes == [change, {"after_step": 4, "steps": {"before": 4, "after": 5}}]


def _again(folder, *overrides):
    config = folder / "config.yaml"
    return ["--config", str(config), f"output_dir={folder}", *overrides]


def test_a_finished_run_leaves_its_export_as_it_is(go_on, tmp_path):
    folder = go_on()
    (folder / "export" / "README.md").write_text("a card")
    (folder / "export" / "config.json").write_text("{}")
    before = {name: text for name, text in bytes_in(folder / "export").items()}
    assert main(_again(folder)) == 0
    assert bytes_in(folder / "export") == before


def test_a_longer_run_keeps_what_people_put_beside_the_weights(go_on):
    folder = go_on()
    (folder / "export" / "README.md").write_text("a card")
    assert main(_again(folder, "steps=6", "--change-settings")) == 0
    assert (folder / "export" / "README.md").read_text() == "a card"
    assert json.loads((folder / "export" / "provenance.json").read_text())["step"] == 6


def test_somebody_elses_export_is_not_replaced(tiny_model_dir, shards, tmp_path, capsys):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.txt").write_text("years")
    assert main(tiny_runs.arguments(1, tmp_path, model=tiny_model_dir, shards=shards)) == 2
    assert "export exists and has files in it, which would be lost" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["export", "thesis.txt"]


def test_settings_that_only_one_of_two_versions_knows_are_left_out():
    assert changed_settings({"steps": 8, "old": 1}, {"steps": 8, "batch": {"new": 2}}) == {}


def test_weights_of_an_earlier_export_are_not_kept(tmp_path):
    before, building = tmp_path / "before", tmp_path / "building"
    (before / "plots").mkdir(parents=True)
    building.mkdir()
    for path in (before / "model-00001-of-00002.safetensors", before / "config.json", before / "plots" / "a.png"):
        path.write_text("before")
    (building / "config.json").write_text("new")
    keep_added_files(before, building)
    assert {path.name for path in building.iterdir()} == {"config.json", "plots"}
    assert (building / "config.json").read_text() == "new"


def test_a_run_beside_one_that_is_still_writing_is_refused(go_on, capsys):
    folder = go_on()
    with locked_file(folder / "lock", folder):
        assert main(_again(folder, "steps=6", "--change-settings")) == 2
    assert "run is writing" in capsys.readouterr().err
    assert json.loads((folder / "export" / "provenance.json").read_text())["step"] == 4


def test_what_speaks_against_a_run_is_said_before_its_texts_are_encoded(tmp_path, tiny_model_dir, shards, capfd):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.txt").write_text("years")
    settings = tiny_runs.arguments(2, tmp_path, "batch.cache_texts=true", model=tiny_model_dir, shards=shards)
    assert main(settings) == 2
    assert "texts:" not in capfd.readouterr().err
