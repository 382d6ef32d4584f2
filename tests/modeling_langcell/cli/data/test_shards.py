"""`langcell shards info` and `langcell push-shards --dry-run` on tokenized cells."""

import pytest
import tiny
import tiny_sources
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.processing.sources.open_source import find_sources
from langcell.processing.tokenization.tokenize import tokenize


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    specs = find_sources([tiny_sources.write_h5ad(folder / "a.h5ad")])
    tokenize(specs, folder / "shards", tiny.tiny_vocabulary(), options=tiny_sources.OPTIONS, progress=False)
    return folder / "shards"


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "120"})
    assert result.exit_code == code, result.output
    return result.output


def test_info_prints_the_manifest_and_draws_the_lengths(folder, tmp_path):
    output = run("shards", "info", folder, "-o", tmp_path / "lengths.png", "--verify")
    for text in ("a.h5ad", "counts known", "dropped", "tissue: 1", "blood", "COVID-19", "█"):
        assert text in output, text
    assert tiny.tiny_vocabulary().fingerprint in output
    assert "files are what the manifest says" in output
    assert (tmp_path / "lengths.png").read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_writes_the_card_and_sends_nothing(folder):
    output = run("push-shards", folder, "org/cells", "--dry-run", "--license", "cc-by-4.0", "--title", "Tiny cells")
    for text in (
        "data/train-00000.parquet",
        "descriptions/descriptions.parquet",
        "manifest.json",
        "README.md",
        "Nothing was sent",
    ):
        assert text in output, text
    assert "# Tiny cells" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["shards", "info", "nowhere"], "no manifest.json", id="info_without_shards"),
        pytest.param(["shards", "info", "nowhere", "-o", "a.pdf"], "does not end in .png", id="not_a_png"),
        pytest.param(["push-shards", "nowhere", "org/cells"], "no manifest.json", id="push_without_shards"),
        pytest.param(["push-shards", "nowhere", "a/b/c"], "is no Hub id", id="no_id"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    assert message in run(*arguments, code=2)
