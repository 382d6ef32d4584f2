import json
import shutil

import pytest
import tiny_evaluation

from langcell.training.evaluation import runner
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.registry import TASKS


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return tiny_evaluation.save_cells(folder / "cells.h5ad"), tiny_evaluation.save_gene_sets(folder / "sets.gmt")


@pytest.fixture
def new_context(files, tiny_model_dir):
    def make(**changes):
        options = {"model": tiny_model_dir, "label_column": "cell_type", "device": "cpu", "progress": False}
        return EvaluationContext(files[0], **(options | changes))

    return make


def test_a_second_call_reads_what_the_first_one_kept(new_context, files, tmp_path):
    first = runner.run_task("pathways", new_context(), tmp_path, gene_sets=files[1], repeats=1)
    assert not first.was_kept
    (tmp_path / "pathways.md").unlink()
    context = new_context()
    second = runner.run_task("pathways", context, tmp_path, gene_sets=files[1], repeats=1)
    assert second.was_kept
    assert "loaded" not in context.__dict__  # not even the model was read
    assert second.report == first.report == json.loads((tmp_path / "pathways.json").read_text())
    assert second.sections == first.sections
    assert (tmp_path / "pathways.md").read_text().startswith("# pathways: ")
    assert [name for name in first.files if name.endswith(".png")] == ["pathways-methods.png"]
    again = runner.run_task("pathways", new_context(), tmp_path, use_cache=False, gene_sets=files[1], repeats=1)
    assert not again.was_kept
    assert again.report["methods"] == first.report["methods"]


def test_whatever_could_change_a_number_changes_the_key(new_context, files, tmp_path, tiny_model_dir):
    task, options = TASKS["pathways"], {"gene_sets": files[1]}
    (other_sets := tmp_path / "sets.gmt").write_text(files[1].read_text().replace("FIRST", "THIRD"))
    (labels := tmp_path / "labels.tsv").write_text("B cell\tb\n")
    key = runner.question_key(task, new_context(), options)
    assert key == runner.question_key(task, new_context(), {**options, "repeats": 3})  # the default
    assert key == runner.question_key(task, new_context(max_batch_tokens=64, progress=True), options)
    others = [
        runner.question_key(task, new_context(), {"gene_sets": other_sets}),
        runner.question_key(task, new_context(), {**options, "repeats": 4}),
        runner.question_key(task, new_context(seed=1), options),
        runner.question_key(task, new_context(max_cells=9), options),
        runner.question_key(task, new_context(label_column="batch"), options),
        runner.question_key(task, new_context(labels_file=labels), options),
        runner.question_key(task, new_context(x_is="linear"), options),
        runner.question_key(task, new_context(dtype="bfloat16"), options),
        runner.question_key(task, new_context(model="langcell-mini"), options),
        runner.question_key(TASKS["calibration"], new_context(), {}),
    ]
    assert len({key, *others}) == 11


def test_a_task_that_fails_leaves_nothing_behind(new_context, files, tmp_path):
    with pytest.raises(ValueError, match="active_share"):
        runner.run_task("pathways", new_context(), tmp_path / "results", gene_sets=files[1], active_share=2.0)
    assert not (tmp_path / "results").exists()


def test_what_is_no_task_no_folder_or_no_file_is_refused(new_context, tmp_path):
    with pytest.raises(ValueError, match="Unknown task 'odd'; legal are zero-shot, few-shot"):
        runner.run_task("odd", new_context(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        runner.run_task("calibration", new_context(), tmp_path / "file")
    context = new_context()
    context.data = tmp_path / "absent.h5ad"
    with pytest.raises(FileNotFoundError, match="no such file"):
        runner.run_task("calibration", context, tmp_path)


def test_the_task_again_and_other_tasks_share_a_folder(new_context, files, tmp_path):
    first = runner.run_task("pathways", new_context(), tmp_path, gene_sets=files[1], repeats=1)
    assert not first.replaced
    assert not runner.run_task("pathways", new_context(), tmp_path, gene_sets=files[1], repeats=1).replaced
    assert not runner.run_task("calibration", new_context(), tmp_path, target_risk=0.99, repeats=1).replaced
    other = runner.run_task("pathways", new_context(), tmp_path, gene_sets=files[1], repeats=2)
    assert other.replaced
    assert json.loads((tmp_path / "pathways.json").read_text())["repeats"] == 2
    assert runner.run_task("pathways", new_context(), tmp_path, gene_sets=files[1], repeats=1).was_kept


def test_results_of_other_data_or_of_another_model_are_not_replaced(new_context, files, tmp_path, tiny_model_dir):
    runner.run_task("pathways", new_context(), tmp_path / "results", gene_sets=files[1], repeats=1)
    before = (tmp_path / "results" / "pathways.json").read_bytes()
    other_cells = new_context()
    other_cells.data = tiny_evaluation.save_cells(tmp_path / "others.h5ad", seed=1)
    with pytest.raises(ValueError, match=r"results of other data \(pathways.json: .*, on cells.h5ad\); name another"):
        runner.run_task("calibration", other_cells, tmp_path / "results", repeats=1)
    with pytest.raises(ValueError, match=r"results of another model, or of other .* \(pathways.json: .*revision"):
        runner.run_task("calibration", new_context(model="langcell-mini"), tmp_path / "results", repeats=1)
    assert (tmp_path / "results" / "pathways.json").read_bytes() == before
    assert not (tmp_path / "results" / "calibration.json").exists()
    # The same cells under another name are the same data.
    shutil.copy(files[0], tmp_path / "copy.h5ad")
    copied = new_context()
    copied.data = tmp_path / "copy.h5ad"
    runner.run_task("calibration", copied, tmp_path / "results", target_risk=0.99, repeats=1)


def test_a_file_that_is_called_like_a_report_is_not_replaced(new_context, tmp_path):
    (tmp_path / "zero-shot.json").write_text("my notes")
    with pytest.raises(ValueError, match=r"zero-shot.json is no report of this version .*name another folder"):
        runner.run_task("calibration", new_context(), tmp_path, repeats=1)
    assert (tmp_path / "zero-shot.json").read_text() == "my notes"
