import logging
import re

import anndata
import numpy as np
import pytest
from tiny_labelled import labelled_cells
from typer.testing import CliRunner

from langcell.cli.commands import app
from langcell.sample_data import sample_cells


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cells.h5ad"
    cells = labelled_cells()
    obs = {"n_counts": np.linspace(0.1, 7, cells.n_obs), "barcode": list(cells.obs_names), "species": "human"}
    cells.obs = cells.obs.assign(**obs)
    cells.write_h5ad(path)
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


def rows_of(output: str) -> dict[str, int]:
    """Cells of each label in the printed table."""
    found = re.findall(r"│ (.+?) +│ +([\d,]+) │", output)
    return {name: int(cells) for name, cells in found}


def test_an_adapter_names_cells_by_its_own_labels(data, tiny_model_dir, tmp_path):
    assert tune(data, tiny_model_dir, tmp_path / "a", "--steps", 2).exit_code == 0
    model = ("--model", tiny_model_dir, "--adapter", tmp_path / "a", "--device", "cpu")
    named = run("annotate", data, "-o", tmp_path / "own.h5ad", *model)
    assert named.exit_code == 0, named.output
    assert "No labels given; those of the fine-tuning are taken: B cell, T cell, monocyte\n" in named.stdout
    result = anndata.read_h5ad(tmp_path / "own.h5ad")
    assert list(result.uns["langcell"]["labels"]) == ["B cell", "T cell", "monocyte"]
    assert list(result.uns["langcell"]["label_ontology_term_ids"]) == ["CL:0000236", "CL:0000084", "CL:0000576"]
    counts = result.obs["langcell_label"].value_counts()
    assert rows_of(named.stdout) == {name: counts.get(name, 0) for name in ("B cell", "T cell", "monocyte")}
    same = run("annotate", data, "-o", tmp_path / "same.h5ad", *model, "--labels", "B cell,T cell,monocyte")
    assert same.exit_code == 0, same.output
    assert "fine-tun" not in same.output
    assert anndata.read_h5ad(tmp_path / "same.h5ad").obs.equals(result.obs)
    merged = run("merge", tiny_model_dir, tmp_path / "a", "-o", tmp_path / "m")
    assert merged.exit_code == 0, merged.output
    again = run("annotate", data, "-o", tmp_path / "m.h5ad", "--model", tmp_path / "m", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert anndata.read_h5ad(tmp_path / "m.h5ad").obs["langcell_label"].equals(result.obs["langcell_label"])


def test_other_labels_than_an_adapters_are_legal_and_told(data, tiny_model_dir, tmp_path, caplog):
    assert tune(data, tiny_model_dir, tmp_path / "a", "--steps", 2).exit_code == 0
    model = ("--model", tiny_model_dir, "--adapter", tmp_path / "a", "--device", "cpu")
    with caplog.at_level(logging.INFO, logger="langcell"):
        named = run("annotate", data, "-o", tmp_path / "n.h5ad", *model, "--labels", "B cell,neuron")
    assert named.exit_code == 0, named.output
    assert "The model was fine-tuned on 3 labels; 1 of the 2 given are others" in caplog.text
    assert "by their texts alone: neuron." in caplog.text


@pytest.mark.usefixtures("numbers_of_this_machine")
@pytest.mark.parametrize(("task", "command"), [("text", "annotate"), ("classification", "classify")])
def test_an_adapter_of_the_bundled_weights_needs_no_model(tmp_path, monkeypatch, task, command):
    monkeypatch.chdir(tmp_path)
    cells = sample_cells()[:60].copy()
    cells.write_h5ad("cells.h5ad")
    learn = ("finetune", "cells.h5ad", "--label-column", "bulk_labels", "--shots", 1, "--steps", 1, "--device", "cpu")
    learned = run(*learn, "--task", task, "-o", "a")
    assert learned.exit_code == 0, learned.output
    (used,) = [line for line in learned.stdout.splitlines() if "use it with" in line]
    assert used.endswith(f"langcell {command} CELLS.h5ad -o NAMED.h5ad --adapter a")
    named = run(command, "cells.h5ad", "-o", "named.h5ad", "--adapter", "a", "--device", "cpu")
    assert named.exit_code == 0, named.output
    written = anndata.read_h5ad("named.h5ad")
    assert written.uns["langcell"]["model_id"] == "langcell-mini+a"
    counts = written.obs["langcell_label"].value_counts()
    assert rows_of(named.stdout) == {name: counts.get(name, 0) for name in set(cells.obs["bulk_labels"])}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(("--label-column", "kind"), "unknown column 'kind'", id="no such column"),
        pytest.param(("--gene-dropout", 2), "gene_dropout is 2.0; legal are 0 to below 1", id="gene dropout"),
        pytest.param(("--label-column", "n_counts"), "has numbers with decimals, such as", id="measurements"),
        pytest.param(("--label-column", "barcode"), "has 36 different values", id="barcodes"),
        pytest.param(("--label-column", "species"), "has only the type 'human' (36 cells)", id="one type"),
        pytest.param(("--model", "absent"), "absent is no model folder", id="no such model"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(data, tiny_model_dir, tmp_path, options, message):
    failed = tune(data, tiny_model_dir, tmp_path / "a", *options)
    assert failed.exit_code == 2
    assert message in failed.stderr
    assert not (tmp_path / "a").exists()
