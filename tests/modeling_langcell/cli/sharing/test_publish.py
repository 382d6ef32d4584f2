"""`langcell card` and `langcell publish`, from a folder to a Hub and back, and the model used by its name."""

import shutil

import anndata
import hub_server
import pytest
import tiny
import tiny_sources
from hub_processes import load_as_user, run_code, run_langcell
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.tokenize import tokenize

PUSH = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tiny
made = tiny.tiny_model(seed=1).push_to_hub("org/pushed", private=True)
tiny.tiny_processor().push_to_hub("org/pushed")
print(json.dumps(made.oid))
"""


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "120"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def hub():
    with hub_server.running() as hub:
        yield hub


@pytest.fixture
def model(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir, tmp_path / "mine")


def test_a_card_is_written_once_and_a_dry_run_sends_nothing(model):
    assert "Wrote" in run("card", model, "org/tiny", "--license", "mit", "--data", "Random numbers.")
    assert "give --replace" in run("card", model, "org/tiny", code=2)
    run("card", model, "org/tiny", "--license", "mit", "--data", "No data.", "--limit", "None known.", "--replace")
    assert "- None known." in (model / "README.md").read_text()
    output = run("publish", model, "org/tiny", "--dry-run", "--tag", "v1")
    lines = output.splitlines()
    assert f"{(model / 'model.safetensors').stat().st_size:>14,}  model.safetensors" in lines
    assert lines[-1].endswith("would go to the model org/tiny, with the tag v1. Nothing was sent.")
    assert len(lines) == len(list(model.iterdir())) + 1


@pytest.mark.slow
def test_publish_then_annotate_by_name(hub, model, tmp_path):
    run("card", model, "org/langcell", "--license", "mit", "--data", "Random numbers.")
    output = run_langcell(hub, tmp_path / "home", "publish", model, "org/langcell", "--private", "--tag", "v1")
    repository = hub.repository("org/langcell")
    assert repository.private
    assert repository.tags == {"v1": repository.head}
    size = sum(file.stat().st_size for file in model.iterdir()) / 1e6
    assert f"Pushed {len(list(model.iterdir()))} files, {size:.1f} MB to {hub.endpoint}/org/langcell" in output
    assert f"Downloaded again and compared: commit {repository.head}, tag v1" in output
    cells = tiny_sources.write_h5ad(tmp_path / "cells.h5ad")
    named = tmp_path / "named.h5ad"
    command = (
        "annotate",
        cells,
        "-o",
        named,
        "--model",
        "org/langcell",
        "--labels",
        "B cell,T cell",
        "--device",
        "cpu",
    )
    run_langcell(hub, tmp_path / "home", *command)
    facts = anndata.read_h5ad(named).uns["langcell"]
    assert (facts["model_id"], facts["model_revision"]) == ("org/langcell", repository.head)
    # Nothing of it without the token.
    refused = run_langcell(hub, tmp_path / "stranger", *command, token=None, code=2)
    assert "org/langcell cannot be loaded" in refused
    assert refused.count("\n") == 1


@pytest.mark.slow
def test_push_to_hub_of_transformers_gives_the_same_model(hub, tmp_path):
    commit = run_code(hub, tmp_path / "home", PUSH, str(tiny.__file__).rpartition("/")[0])
    assert commit in hub.repository("org/pushed").commits
    (loaded,) = load_as_user(hub, tmp_path / "user", {"name": "org/pushed"}, token=hub_server.TOKEN)
    assert loaded["is_remote_code"]


@pytest.mark.slow
def test_shards_are_published_and_streamed(hub, tmp_path):
    specs = find_sources([tiny_sources.write_h5ad(tmp_path / "a.h5ad")])
    tokenize(specs, tmp_path / "shards", tiny.tiny_vocabulary(), options=tiny_sources.OPTIONS, progress=False)
    output = run_langcell(hub, tmp_path / "home", "push-shards", tmp_path / "shards", "org/cells", "--license", "mit")
    assert f"to {hub.endpoint}/datasets/org/cells" in output
    files = hub.repository("org/cells", "dataset").files
    assert {"README.md", "manifest.json", "data/train-00000.parquet"} <= files.keys()


def test_results_of_other_weights_and_mistakes_are_one_line(model, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert "is no report of" in run("card", model, "org/a", "--results", tmp_path / "a.json", code=2)
    assert "is no Hub id" in run("publish", model, "a/b/c", code=2)
    assert "is no folder" in run("publish", tmp_path / "absent", "org/a", code=2)
    assert "has no README.md; write one with" in run("publish", model, "org/a", code=2)
