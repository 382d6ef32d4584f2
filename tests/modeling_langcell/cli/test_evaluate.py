import json
import subprocess

import anndata
import pandas as pd
import pytest
import tiny
import tiny_evaluation
from typer.testing import CliRunner
from warm_python import warm_python

from langcell.cli.commands import app
from langcell.training.evaluation.registry import TASKS
from langcell.training.fine_tuning.finetuning import finetune


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    obs = pd.DataFrame({"type": ["B cell", "T cell", "B cell"]}, index=["a", "b", "c"])
    adata = anndata.AnnData(tiny.tiny_counts(3), obs=obs, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    adata.write_h5ad(path := tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return path


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", "zero-shot", *map(str, arguments)])


def options(model, output):
    return ("--label-column", "type", "--model", model, "--device", "cpu", "-o", output)


def test_zero_shot_writes_the_report_and_meets_an_expectation(cells, tiny_model_dir, tmp_path):
    first = evaluate(cells, *options(tiny_model_dir, tmp_path))
    assert first.exit_code == 0, first.output
    assert "| majority class | " in first.stdout
    assert "0.6667" in first.stdout
    accuracy = json.loads((tmp_path / "zero-shot.json").read_text())["methods"]["LangCell"]["accuracy"]
    again = evaluate(cells, *options(tiny_model_dir, tmp_path), "--expect-accuracy", accuracy)
    assert again.exit_code == 0
    assert "pass: accuracy" in again.stdout


def test_another_accuracy_is_one_line_and_exit_code_2(cells, tiny_model_dir, tmp_path):
    # Three cells cannot give it.
    result = evaluate(cells, *options(tiny_model_dir, tmp_path), "--expect-accuracy", 0.5, "--tolerance", 0.01)
    assert result.exit_code == 2
    assert "langcell: fail: accuracy" in result.stderr
    assert (tmp_path / "zero-shot.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--label-column", "nope"), "unknown column 'nope'", id="no_such_column"),
        pytest.param(("--label-column", "type", "--alpha", 2), "alpha is 2.0", id="alpha"),
        pytest.param(("--label-column", "type", "--expect-accuracy", 91), "give a share", id="expectation"),
        pytest.param(("--label-column", "type", "--model", "./absent"), "no model folder", id="model"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(cells, tmp_path, arguments, message):
    result = evaluate(cells, *arguments, "-o", tmp_path / "results")
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("langcell:")]
    assert message in line
    assert not (tmp_path / "results").exists()


def test_an_output_that_is_a_file_is_refused(cells, tmp_path):
    (tmp_path / "results").write_text("")
    result = evaluate(cells, "--label-column", "type", "-o", tmp_path / "results")
    assert result.exit_code == 2
    assert "is a file; name a folder" in result.stderr


@pytest.mark.parametrize("task", [*TASKS, "all"])
def test_every_task_has_a_command_with_its_own_options(task):
    assert task in CliRunner().invoke(app, ["evaluate", "--help"]).stdout
    help_text = CliRunner().invoke(app, ["evaluate", task, "--help"], env={"COLUMNS": "200"}).stdout
    own = TASKS[task].options if task != "all" else {name: None for each in TASKS.values() for name in each.options}
    for option in (*own, "model", "adapter", "seed", "max_cells"):
        assert f"--{option.replace('_', '-')} " in help_text
    assert "--no-cache" in help_text


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    """More cells than `cells`, enough to learn from."""
    return tiny_evaluation.save_cells(tmp_path_factory.mktemp("types") / "types.h5ad")


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_a_task_is_run_once_and_then_found(types, tiny_model_dir, tmp_path):
    arguments = (
        "few-shot", types, "--label-column", "cell_type", "--model", tiny_model_dir, "--device", "cpu", "-o", tmp_path,
        "--shots", "1,2", "--repeats", 1, "--method", "none",
    )  # fmt: skip
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "| logistic regression on PCA |" in first.stdout
    assert "Wrote few-shot.json, few-shot.md, few-shot-curve.png" in first.stdout
    second = run(*arguments)
    assert "the same question was asked before; --no-cache computes it again" in second.stdout
    assert "In place of" not in second.stdout
    again = run(*arguments, "--no-cache")
    assert "the same question was asked before" not in again.stdout
    assert "In place of" not in again.stdout
    other = run(*arguments, "--seed", 1)
    assert "In place of an earlier few-shot.json (other options, " in other.stdout


def test_results_of_other_data_are_one_line_and_exit_code_2(types, cells, tiny_model_dir, tmp_path):
    assert evaluate(cells, *options(tiny_model_dir, tmp_path)).exit_code == 0
    more = ("--model", tiny_model_dir, "--device", "cpu", "-o", tmp_path)
    result = run("disease", types, "--label-column", "disease", *more)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("langcell:")]
    assert f"{tmp_path} has results of other data (zero-shot.json: " in line
    assert "on cells.h5ad); name another folder (-o)" in line
    assert not (tmp_path / "disease.json").exists()


def test_what_is_not_better_than_chance_is_said(types, tiny_model_dir, tmp_path):
    shared = ("--model", tiny_model_dir, "--device", "cpu", "-o", tmp_path)
    # Of these types that a tiny model has never seen one text wins for nearly all cells.
    result = run("disease", types, "--label-column", "batch", *shared)
    assert result.exit_code == 0, result.output
    assert "Not in MONDO, used as they are: run 0, run 1" in result.stdout
    assert "Not better than chance. LangCell: accuracy 0." in result.stdout
    assert "which is what comes of a guess among the 2 labels." in result.stdout
    assert "## Not better than chance" in (tmp_path / "disease.md").read_text()
    (fact,) = json.loads((tmp_path / "disease.json").read_text())["chance"]
    assert (fact["measure"], fact["chance"], fact["better_than_chance"]) == ("accuracy", 0.5, False)


def test_notes_on_labels_are_said_once(tiny_model_dir, tmp_path):
    adata = anndata.read_h5ad(tiny_evaluation.save_cells(tmp_path / "types.h5ad"))
    adata.obs["short"] = adata.obs["cell_type"].map({"B cell": "CD19+ B", "T cell": "odd", "monocyte": "CD14+ Mono"})
    adata.write_h5ad(tmp_path / "types.h5ad")
    arguments = (
        "evaluate", "few-shot", tmp_path / "types.h5ad", "--label-column", "short", "--model", tiny_model_dir,
        "--device", "cpu", "-o", tmp_path / "results", "--shots", "1,2", "--repeats", 2, "--steps", 1,
    )  # fmt: skip
    ran = subprocess.run(
        [warm_python(), "-m", "langcell.cli", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    said = ran.stdout + ran.stderr
    assert said.count("Read as terms of the Cell Ontology: ") == 1
    assert said.count("Not in the Cell Ontology, used as they are: odd") == 1
    assert said.count("in the model's vocabulary") == 1
    assert [line for line in said.splitlines() if line.startswith("few-shot: draw")] == [
        f"few-shot: draw {draw} of 2, K = {k}" for draw in (1, 2) for k in (1, 2)
    ]


def test_an_adapter_is_measured_as_it_annotates(types, tiny_model_dir, tmp_path):
    finetune(types, label_column="cell_type", output=tmp_path / "adapter", model=tiny_model_dir, steps=2, device="cpu")
    shared = ("calibration", types, "--label-column", "cell_type", "--model", tiny_model_dir, "--device", "cpu")
    options = ("--target-risk", 0.99, "--repeats", 1)
    for name, more in (("plain", ()), ("tuned", ("--adapter", tmp_path / "adapter"))):
        result = run(*shared, *options, *more, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
    plain, tuned = (json.loads((tmp_path / name / "calibration.json").read_text()) for name in ("plain", "tuned"))
    assert tuned["model"]["adapter"] == "adapter"
    assert plain["temperature"] != tuned["temperature"]


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.needs_labels])
def test_columns_that_hold_no_types_are_refused_by_every_task(tiny_model_dir, tmp_path, task):
    adata = anndata.read_h5ad(tiny_evaluation.save_cells(tmp_path / "cells.h5ad"))
    adata.obs["score"] = [i / 7 for i in range(adata.n_obs)]
    adata.obs["barcode"] = list(adata.obs_names)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    shared = ("--model", tiny_model_dir, "--device", "cpu", "-o", tmp_path / "results")
    more = ("--batch-column", "batch") if task == "integration" else ()
    for column, message in (("score", "has numbers with decimals, such as 0.142857"), ("barcode", "has 36 different")):
        result = run(task, tmp_path / "cells.h5ad", "--label-column", column, *shared, *more)
        assert result.exit_code == 2, result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("langcell:")]
        assert f"cells.h5ad: obs['{column}'] {message}" in line
        assert not (tmp_path / "results").exists()


def test_without_a_model_an_adapter_names_it(types, tiny_model_dir, tmp_path, monkeypatch):
    finetune(types, label_column="cell_type", output=tmp_path / "adapter", model=tiny_model_dir, steps=2, device="cpu")
    arguments = ("zero-shot", types, "--label-column", "cell_type", "--adapter", tmp_path / "adapter", "-o", tmp_path)
    result = run(*arguments, "--device", "cpu")
    assert result.exit_code == 2
    assert f"was trained on {tiny_model_dir.name} (weights " in result.stderr
    assert "which was a folder; name it: --model FOLDER" in result.stderr
    # An adapter of a model on the Hub, as far as its files say; the model is looked for under that name.
    config = json.loads((tmp_path / "adapter" / "config.json").read_text())
    config["fine_tuning"]["base"]["model_id"] = "models/tiny"
    (tmp_path / "adapter" / "config.json").write_text(json.dumps(config))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny").symlink_to(tiny_model_dir)
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, "--device", "cpu")
    assert result.exit_code == 0, result.output
    model = json.loads((tmp_path / "zero-shot.json").read_text())["model"]
    assert model["id"] == f"{tiny_model_dir.name}+adapter"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("few-shot", "--shots", "1,x"), "--shots is '1,x'; give whole numbers", id="shots"),
        pytest.param(("few-shot", "--repeats", 0), "repeats is 0", id="repeats"),
        pytest.param(("zero-shot", "--repeats", 0), "repeats is 0", id="repeats_of_zero_shot"),
        pytest.param(("disease", "--repeats", 0), "repeats is 0", id="repeats_of_disease"),
        pytest.param(("retrieval", "--repeats", 0), "repeats is 0", id="repeats_of_retrieval"),
        pytest.param(
            ("few-shot", "--adapter", "./absent"), "absent is no folder; give the folder of the adapter", id="adapter"
        ),
        pytest.param(("calibration", "--max-cells", 1), "max_cells is 1", id="max_cells"),
        pytest.param(("calibration", "--target-risk", 2), "target_risk is 2", id="risk"),
    ],
)
def test_bad_options_of_the_tasks_are_one_line_and_exit_code_2(types, tiny_model_dir, tmp_path, arguments, message):
    task, *rest = arguments
    shared = (types, "--label-column", "cell_type", "--model", tiny_model_dir, "--device", "cpu")
    result = run(task, *shared, "-o", tmp_path / "results", *rest)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("langcell:")]
    assert message in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "legal"),
    [
        pytest.param(("zero-shot", "--x-is"), "'counts', 'linear', 'log1p'", id="x_is"),
        pytest.param(("classification", "--method"), "'lora', 'full', 'head'", id="method"),
        pytest.param(("retrieval", "--candidates"), "'ontology', 'training'", id="candidates"),
    ],
)
def test_a_choice_that_is_none_is_refused_with_the_legal_ones(tmp_path, arguments, legal):
    result = run(arguments[0], tmp_path / "cells.h5ad", "--label-column", "cell_type", *arguments[1:], "odd")
    assert result.exit_code == 2
    assert f"'odd' is not one of {legal}" in result.stderr


def test_all_runs_what_there_is_and_says_what_was_not_run(tiny_model_dir, tmp_path):
    counts, _ = tiny_evaluation.type_counts()
    adata = anndata.AnnData(counts, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    adata.write_h5ad(tmp_path / "bare.h5ad")
    sets = tiny_evaluation.save_gene_sets(tmp_path / "sets.gmt")
    result = run(
        "all", tmp_path / "bare.h5ad", "--model", tiny_model_dir, "--device", "cpu", "-o", tmp_path / "results",
        "--gene-sets", sets, "--repeats", 1, "--shots", "1,2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Not run: few-shot: no column with two types or more (--label-column)" in result.stdout
    assert "Wrote report.md and report.html" in result.stdout
    assert (tmp_path / "results" / "pathways.json").is_file()
