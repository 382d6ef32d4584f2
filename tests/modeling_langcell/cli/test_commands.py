import json
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from numpy.testing import assert_allclose
from tiny import tiny_config, tiny_counts, tiny_gene_names, tiny_model, tiny_processor
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app, main
from langcell.processing.labels.resolve import resolve_labels

NAMES = ["natural killer cell", "B cell", "my odd cells"]
N_CELLS = 9


@pytest.fixture
def cells(tmp_path):
    """An h5ad file of tiny cells."""
    path = tmp_path / "cells.h5ad"
    AnnData(tiny_counts(N_CELLS), var=pd.DataFrame(index=tiny_gene_names())).write_h5ad(path)
    return path


@pytest.fixture
def run(cells, tiny_model_dir, tmp_path):
    """Run a command on the cells with the tiny model; its standard output, and what it wrote."""

    def run(command: str, *options: str, model: Path = tiny_model_dir) -> tuple[str, AnnData]:
        output = tmp_path / "out.h5ad"
        words = [command, str(cells), "-o", str(output), "--model", str(model), "--device", "cpu", *options]
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert f"Wrote {output}" in result.stdout
        return result.stdout, anndata.read_h5ad(output)

    return run


def labels_of(written: AnnData) -> list[str]:
    return list(langcell.score_table(written).columns)


def test_annotate_is_the_library_s_annotate(run, cells, tiny_model_dir):
    _, written = run("annotate", "--labels", ",".join(NAMES), "--alpha", "0.4", "--max-batch-tokens", "64")
    expected = langcell.annotate(
        anndata.read_h5ad(cells), NAMES, model=tiny_model_dir, device="cpu", alpha=0.4, progress=False
    )
    assert labels_of(written) == NAMES
    assert written.obs["langcell_label"].tolist() == expected.obs["langcell_label"].tolist()
    assert_allclose(langcell.score_table(written), langcell.score_table(expected), atol=1e-5)
    assert written.uns["langcell"]["alpha"] == 0.4


def test_plain_labels_are_listed(run):
    stdout, _ = run("annotate", "--labels", "B cell,my odd cells,NK cell,others")
    assert "Not in the Cell Ontology, used as they are: my odd cells, others\n" in stdout


def test_known_labels_are_not_listed(run):
    stdout, _ = run("annotate", "--labels", "B cell,NK cell")
    assert "Not in the Cell Ontology" not in stdout


def test_names_with_commas(run):
    _, written = run("annotate", "--labels", 'CD4-positive, alpha-beta T cell,B cell,"odd, very odd"')
    assert labels_of(written) == ["CD4-positive, alpha-beta T cell", "B cell", "odd, very odd"]


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        pytest.param("labels.txt", "\n".join(NAMES), None, id="txt"),
        pytest.param("labels.tsv", "label\ttext\nkillers\tnk cell\nmakers\tb cell\n", ["nk cell", "b cell"], id="tsv"),
        pytest.param("labels.json", json.dumps(NAMES), None, id="json_list"),
        pytest.param("labels.json", json.dumps({"killers": "nk cell", "makers": "b cell"}), ["nk cell", "b cell"],
                     id="json_object"),
    ],
)  # fmt: skip
def test_labels_file(run, tmp_path, name, content, texts):
    (tmp_path / name).write_text(content)
    _, written = run("annotate", "--labels-file", str(tmp_path / name))
    assert labels_of(written) == (["killers", "makers"] if texts else NAMES)
    assert list(written.uns["langcell"]["label_texts"]) == (texts or [label.text for label in resolve_labels(NAMES)])


def test_ontology_root(run, tmp_path):
    # Of these, the lymphocyte and the B cell are mononuclear cells (CL:0000842), the erythrocyte is not.
    folder = tmp_path / "model"
    tiny_model(tiny_config(training_cell_types=["CL:0000236", "CL:0000232", "CL:0000542"])).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    _, written = run("annotate", "--ontology-root", "CL:0000842", model=folder)
    assert labels_of(written) == ["B cell", "lymphocyte"]


def test_values_that_are_no_counts(run, cells):
    adata = anndata.read_h5ad(cells)
    adata.X = np.log1p(adata.X)
    adata.write_h5ad(cells)
    _, written = run("annotate", "--labels", "B cell,NK cell", "--x-is", "log1p")
    assert written.uns["langcell"]["x_is"] == "log1p"


def test_dtype(run):
    _, written = run("embed", "--dtype", "bfloat16")
    assert written.obsm["X_langcell"].dtype == np.float32


@pytest.mark.parametrize("hidden", [False, True])
def test_embed(run, hidden):
    _, written = run("embed", *(["--hidden"] if hidden else []))
    assert set(written.obsm) == {"X_langcell"} | ({"X_langcell_hidden"} if hidden else set())
    assert_allclose(np.linalg.norm(written.obsm["X_langcell"], axis=1), 1, atol=1e-5)
    assert not len(written.obs.columns)


def test_every_command_has_help():
    listed = CliRunner().invoke(app, ["--help"]).stdout
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert name in listed
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(["annotate", "a.h5ad", "--labls", "B cell"], "No such option: --labls", id="option"),
        pytest.param(["annotat"], "No such command 'annotat'", id="command"),
        pytest.param(["embed", "a.h5ad"], "Missing option '-o' / '--output'. See langcell embed --help.", id="missing"),
        pytest.param(
            ["annotate", "a.h5ad", "-o", "b.h5ad", "--alpha", "high"], "Invalid value for '--alpha'", id="value"
        ),
        pytest.param(
            ["annotate", "none.h5ad", "-o", "b.h5ad", "--labels", "A,B"], "none.h5ad: no such file", id="file"
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(words, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["langcell", *words])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith(f"langcell: {line}")
    assert said.count("\n") == 1


def test_a_group_without_a_command_shows_its_help(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["langcell", "evaluate"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "zero-shot" in capsys.readouterr().err
