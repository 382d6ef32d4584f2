import json

import anndata
import pandas as pd
import pytest
import tiny
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app

N_CELLS = 12


@pytest.fixture(scope="module")
def store(tiny_model_dir, tmp_path_factory):
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(N_CELLS)])
    adata = anndata.AnnData(tiny.tiny_counts(N_CELLS), obs=obs, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    langcell.embed(adata, model=tiny_model_dir, device="cpu", dtype="float32", progress=False)
    adata.write_h5ad(path := tmp_path_factory.mktemp("store") / "cells.h5ad")
    return path


@pytest.fixture
def retrieve(store, tiny_model_dir):
    def run(*arguments):
        words = ["retrieve", store, "--model", tiny_model_dir, "--device", "cpu", "--dtype", "float32", *arguments]
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


READERS = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".json": lambda path: pd.DataFrame(json.loads(path.read_text())),
}


@pytest.mark.parametrize("suffix", list(READERS))
def test_text_to_cells_is_the_library_s_retrieve(retrieve, store, tiny_model_dir, tmp_path, suffix):
    output = tmp_path / f"found{suffix}"
    options = ["--text", "NK cell", "--text", "one, two; three.", "--top-k", 3, "--rerank", 6]
    result = retrieve(*options, "-o", output)
    assert result.exit_code == 0, result.output
    written = READERS[suffix](output)
    expected = langcell.retrieve(
        store, ["NK cell", "one, two; three."], model=tiny_model_dir, top_k=3, rerank=6, device="cpu", dtype="float32"
    )
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, atol=1e-5, rtol=0)
    for words in ("NK cell", "one, two; three.", str(expected["found"][0]), "match", f"Wrote {output}"):
        assert words in result.stdout


def test_a_file_of_texts(retrieve, tmp_path):
    (tmp_path / "texts.tsv").write_text("killers\tcell type: nk cell\nB cell\n")
    result = retrieve("--texts-file", tmp_path / "texts.tsv", "--top-k", 1, "-o", tmp_path / "found.csv")
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "found.csv")["query"].tolist() == ["killers", "B cell"]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--labels", "B cell,NK cell,odd"), id="labels"),
        pytest.param(("--text", "B cell", "--text", "NK cell", "--text", "odd"), id="texts"),
    ],
)
def test_cell_to_texts(retrieve, tmp_path, options):
    result = retrieve("--cell", "cell3", "--row", 5, *options, "-o", tmp_path / "found.csv")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "found.csv")
    assert found["query"].tolist() == ["cell3"] * 3 + ["cell5"] * 3
    assert sorted(found["found"][:3]) == ["B cell", "NK cell", "odd"]
    assert "similarity" in result.stdout
    assert "match" not in result.stdout


def test_many_queries_are_counted(retrieve, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(f"number {i}" for i in range(23)))
    result = retrieve("--texts-file", tmp_path / "texts.txt", "--top-k", 1)
    assert result.exit_code == 0, result.output
    assert "and 3 other queries" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((), "Say what to look for: --text", id="nothing"),
        pytest.param(("--text", "B cell", "--labels", "B cell,NK cell"), "for --cell or --row alone", id="labels"),
        pytest.param(("--cell", "cell1", "--text", "a", "--labels", "B cell,NK cell"), "alone", id="both"),
        pytest.param(("--cell", "cell1"), "does not list the types", id="no_training_types"),
        pytest.param(("--cell", "nobody", "--text", "B cell"), "no cell is called 'nobody'", id="cell"),
        pytest.param(("--text", "B cell", "--top-k", 0), "top_k is 0", id="top_k"),
        pytest.param(("--text", "B cell", "-o", "found.xlsx"), "Cannot write found.xlsx", id="suffix"),
        pytest.param(("--text", "B cell", "--counts", "absent.h5ad", "--rerank", 2), "absent.h5ad", id="counts"),
        pytest.param(("--texts-file", "absent.txt"), "absent.txt", id="texts_file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(retrieve, arguments, message):
    result = retrieve(*arguments)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("langcell:")]
    assert message in line


def test_the_store_of_another_model_is_refused(store, tmp_path):
    result = CliRunner().invoke(app, ["retrieve", str(store), "--text", "B cell", "--device", "cpu"])
    assert result.exit_code == 2
    assert "were made by langcell-tiny" in result.stderr


def test_cells_without_embeddings_are_refused(tmp_path, tiny_model_dir):
    anndata.AnnData(tiny.tiny_counts(3), var=pd.DataFrame(index=tiny.tiny_gene_names())).write_h5ad(tmp_path / "a.h5ad")
    result = CliRunner().invoke(
        app, ["retrieve", str(tmp_path / "a.h5ad"), "--text", "x", "--model", str(tiny_model_dir)]
    )
    assert result.exit_code == 2
    assert "make them: langcell embed" in result.stderr
