import json
from pathlib import Path

import tiny
import tiny_sources
from typer.testing import CliRunner

from langcell.cli.commands import app


def vocabulary_file(folder: Path) -> Path:
    tiny.tiny_vocabulary().save(folder / "genes.tsv")
    return folder / "genes.tsv"


def run(folder: Path, *words: str):
    return CliRunner().invoke(app, ["check", *words, "--vocabulary", str(vocabulary_file(folder))])


def test_good_files_end_well(tmp_path: Path) -> None:
    result = run(tmp_path, str(tiny_sources.write_h5ad(tmp_path / "cells.h5ad")))
    assert result.exit_code == 0, result.stderr
    assert "60 cells x 42 genes, counts in X; 40 genes known" in result.stdout
    assert "Nothing is wrong with 1 file." in result.stdout


def test_bad_files_are_a_table_and_exit_code_2(tmp_path: Path) -> None:
    tiny_sources.write_h5ad(tmp_path / "good.h5ad")
    (tmp_path / "bad.h5ad").write_text("no cells")
    result = run(tmp_path, f"{tmp_path}/*.h5ad")
    assert result.exit_code == 2
    assert "1 of 2 files cannot be used as they are: bad.h5ad" in result.stdout
    assert "what to do" in result.stdout
    assert "langcell:" not in result.stderr


def test_json_on_request(tmp_path: Path) -> None:
    tiny_sources.write_h5ad(tmp_path / "good.h5ad")
    (tmp_path / "bad.h5ad").write_text("no cells")
    result = run(tmp_path, f"{tmp_path}/*.h5ad", "--json")
    assert result.exit_code == 2
    found = {each["file"]: each for each in json.loads(result.stdout)}
    assert found["good.h5ad"]["fit"]
    assert found["good.h5ad"]["facts"]["cells"] == 60
    assert not found["bad.h5ad"]["fit"]
    assert found["bad.h5ad"]["problems"][0]["severity"] == "error"
