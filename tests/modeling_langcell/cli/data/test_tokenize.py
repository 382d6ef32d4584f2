from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import tiny_soma
import tiny_sources
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.processing.shards.manifest import read_manifest, verify
from langcell.processing.vocabulary.vocabulary_files import write_vocabulary


def invoke(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["tokenize", *map(str, words)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def vocabulary_file(tmp_path: Path) -> Path:
    write_vocabulary(tiny.tiny_vocabulary(), tmp_path / "genes.json")
    return tmp_path / "genes.json"


def test_a_glob_with_a_model_s_genes(tmp_path: Path, tiny_model_dir: Path) -> None:
    for name in ("a", "b"):
        tiny_sources.write_h5ad(tmp_path / f"{name}.h5ad")
    words = (
        f"{tmp_path}/*.h5ad",
        "-o",
        tmp_path / "shards",
        "--model",
        tiny_model_dir,
        "--min-genes",
        3,
        "--workers",
        1,
    )
    code, stdout, stderr = invoke(*words)
    assert code == 0, stderr
    manifest = read_manifest(tmp_path / "shards")
    assert verify(tmp_path / "shards") == []
    assert manifest.max_length == tiny.MAX_CELL_LENGTH
    written = manifest.sources[0]["written"]
    assert f"a.h5ad: 60 cells read, {written} written, dropped: 15 duplicate, 11 too few genes; the voc" in stdout
    assert stdout.endswith(f"Wrote {2 * written} cells in 2 shards to {tmp_path / 'shards'}\n")
    assert invoke(*words)[:2] == (0, stdout)  # nothing to do, and it says the same


def test_a_local_census(tmp_path: Path, vocabulary_file: Path) -> None:
    place = tiny_soma.write_experiment(tmp_path / "experiment", tiny_sources.adata_of())
    code, stdout, stderr = invoke(
        "-o", tmp_path / "shards", "--vocabulary", vocabulary_file, "--census-uri", place, "--joinids", "0:40",
        "--value-filter", "dataset_id == 'set one'", "--keep-duplicates", "--workers", 1, "--max-length", 9,
    )  # fmt: skip
    assert code == 0, stderr
    assert "40 cells read" in stdout
    assert "10 outside filter" in stdout
    (shard,) = read_manifest(tmp_path / "shards").shards
    rows = pq.read_table(tmp_path / "shards" / shard.path)
    assert set(rows["source"].to_pylist()) == {"set one"}
    assert max(rows["row"].to_pylist()) < 30
    assert np.max(rows["length"].to_numpy()) == 9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param([], "No source of cells", id="no_source"),
        pytest.param(["nowhere.h5ad"], "no such file or folder: nowhere.h5ad", id="missing"),
        pytest.param(["--joinids", "0:5"], "give --census-uri", id="no_census"),
        pytest.param(["--census-uri", "x", "--joinids", "5"], "'5' is no range of soma_joinids", id="range"),
        pytest.param(["--vocabulary", "no.tsv"], "no.tsv", id="vocabulary"),
        pytest.param(["--vocabulary", "no.tsv", "--model", "m"], "not by both", id="both"),
        pytest.param(["--max-length", "1"], "max_length is 1", id="length"),
    ],
)
def test_bad_input_is_one_line_and_code_2(words: list[str], message: str, tmp_path: Path) -> None:
    code, _, stderr = invoke(*words, "-o", tmp_path / "shards")
    assert code == 2
    assert message in stderr
    assert stderr.count("\n") == 1
    assert not (tmp_path / "shards").exists()
