import anndata
import pytest
from tiny_labelled import labelled_cells
from typer.testing import CliRunner

from langcell.cli import app


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cells.h5ad"
    labelled_cells().write_h5ad(path)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tune(data, base, output, *more):
    steps = ("--steps", 60, "--gene-dropout", 0.3, "--device", "cpu")
    return run("finetune", data, "--label-column", "type", "--shots", 8, "--model", base, "-o", output, *steps, *more)


def test_from_labelled_cells_to_named_cells(data, tiny_model_dir, tmp_path):
    learned = tune(data, tiny_model_dir, tmp_path / "a", "--learning-rate", 0.01, "--lora-dropout", 0.01)
    assert learned.exit_code == 0, learned.output
    assert "Learned 3 types from 24 cells" in learned.output
    assert f"--model {tiny_model_dir} --adapter {tmp_path / 'a'}" in learned.output
    labels = ("--labels", "B cell,T cell,monocyte", "--device", "cpu")
    model = ("--model", tiny_model_dir, "--adapter", tmp_path / "a")
    named = run("annotate", data, "-o", tmp_path / "n.h5ad", *model, *labels)
    assert named.exit_code == 0, named.output
    result = anndata.read_h5ad(tmp_path / "n.h5ad")
    assert (result.obs["langcell_label"].astype(str) == result.obs["type"].astype(str)).mean() > 0.8
    assert result.uns["langcell"]["model_id"] == "langcell-tiny+a"
    merged = run("merge", tiny_model_dir, tmp_path / "a", "-o", tmp_path / "m")
    assert merged.exit_code == 0, merged.output
    again = run("annotate", data, "-o", tmp_path / "n2.h5ad", "--model", tmp_path / "m", *labels)
    assert again.exit_code == 0, again.output
    of_merged = anndata.read_h5ad(tmp_path / "n2.h5ad").obs["langcell_label"]
    assert of_merged.astype(str).tolist() == result.obs["langcell_label"].astype(str).tolist()
    embedded = run("embed", data, "-o", tmp_path / "e.h5ad", *model, "--device", "cpu")
    assert embedded.exit_code == 0, embedded.output


def test_a_classifier_names_cells_with_its_own_command(data, tiny_model_dir, tmp_path):
    learned = tune(
        data, tiny_model_dir, tmp_path / "c", "--task", "classification", "--method", "full", "--learning-rate", 0.002
    )
    assert learned.exit_code == 0, learned.output
    assert f"langcell classify CELLS.h5ad -o NAMED.h5ad --model {tmp_path / 'c'}" in learned.output
    named = run("classify", data, "-o", tmp_path / "n.h5ad", "--model", tmp_path / "c", "--device", "cpu")
    assert named.exit_code == 0, named.output
    result = anndata.read_h5ad(tmp_path / "n.h5ad")
    assert (result.obs["langcell_label"].astype(str) == result.obs["type"].astype(str)).mean() > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(("--label-column", "kind"), "unknown column 'kind'", id="no such column"),
        pytest.param(("--gene-dropout", 2), "gene_dropout is 2.0; legal are 0 to below 1", id="gene dropout"),
        pytest.param(("--model", "absent"), "absent is no model folder", id="no such model"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(data, tiny_model_dir, tmp_path, options, message):
    failed = tune(data, tiny_model_dir, tmp_path / "a", *options)
    assert failed.exit_code == 2
    assert message in failed.stderr
    assert not (tmp_path / "a").exists()
