import pandas as pd
import pytest
import tiny_evaluation

from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.runner import run_task
from langcell.training.evaluation.suite import FoundColumns, evaluate_all, find_columns, make_plans


@pytest.fixture
def obs():
    return pd.DataFrame(
        {
            "cell_type": ["B", "T", "T"],
            "cl_id": ["CL:0000236", "CL:0000084", "CL:0000084"],
            "batch": ["1", "unknown", None],
            "donor_id": ["d1", "d2", "d1"],
            "disease": ["normal"] * 3,
        }
    )


def test_columns_are_found_by_name_where_they_have_two_values(obs):
    found = find_columns(obs, FoundColumns())
    assert found == FoundColumns(label="cell_type", batch="donor_id", disease=None)
    assert find_columns(obs, FoundColumns(batch="batch")).batch == "batch"


def test_plans_say_why_a_task_is_left_out():
    plans = {plan.task: plan for plan in make_plans(FoundColumns(label="cell_type"), {"repeats": 2, "alpha": None})}
    assert not plans["few-shot"].why_not
    assert plans["few-shot"].options == {"repeats": 2}
    assert plans["zero-shot"].options == {}  # keeps its number of draws
    assert plans["integration"].why_not == "no column with two batches or more (--batch-column)"
    assert plans["disease"].why_not == "no column with two diseases or more (--disease-column)"
    assert plans["pathways"].why_not == "no file of gene sets (--gene-sets)"
    nothing = make_plans(FoundColumns(), {"gene_sets": "sets.gmt"})
    assert [plan.task for plan in nothing if not plan.why_not] == ["pathways"]


@pytest.mark.slow  # UMAP is compiled
def test_all_runs_what_the_file_allows_and_writes_one_report(tmp_path, tiny_model_dir):
    cells, sets = (
        tiny_evaluation.save_cells(tmp_path / "cells.h5ad"),
        tiny_evaluation.save_gene_sets(tmp_path / "a.gmt"),
    )
    options = {
        "shots": (1,), "repeats": 1, "steps": 1, "candidates": "training", "gene_sets": sets, "target_risk": 0.99,
        "batch_column": "nope",
    }  # fmt: skip

    def run():
        context = EvaluationContext(cells, model=tiny_model_dir, device="cpu", progress=False)
        return evaluate_all(context, tmp_path / "results", **options)

    suite = run()
    assert list(suite.outcomes) == [
        "zero-shot", "few-shot", "novel-types", "classification", "disease", "pathways", "calibration",
    ]  # fmt: skip
    # The tiny model lists no training types, and there is no such column: the others go on.
    assert "does not list its training types" in suite.skipped["retrieval"]
    assert "unknown column 'nope'" in suite.skipped["integration"]
    assert suite.outcomes["disease"].report["data"]["label_column"] == "disease"
    # Ids are read where they are named, as in each task, and the report says that they are there.
    data = suite.outcomes["few-shot"].report["data"]
    assert (data["label_ids_column"], data["unread_ids_column"]) == (None, "cell_type_ontology_term_id")
    text = (tmp_path / "results" / "report.md").read_text()
    html = (tmp_path / "results" / "report.html").read_text()
    for outcome in suite.outcomes.values():
        for name in outcome.files[2:]:
            assert f"]({name})" in text
            assert f'alt="{name.removesuffix(".png").replace("-", " ")}"' in html
    assert html.count('<img src="data:image/png;base64,') == text.count("![")
    assert 'src="' not in html.replace('<img src="data:image/png;base64,', "")
    overview = text[: text.index("# Not run")]
    for head in ("zero-shot | accuracy", "few-shot | accuracy", "novel-types | seen types", "calibration | ECE"):
        assert f"| {head}" in overview
    for baseline in ("majority class", "nearest centroid of embeddings", "the same encoder untrained"):
        assert f"| {baseline} |" in overview
    assert "**" in overview
    assert text.count("has one ontology id for each type and was not read; --label-ids-column cell_type_onto") == 5
    assert "| retrieval | " in text
    assert "retrieval</td>" in html
    assert "## calibration: " in text
    again = run()
    assert all(outcome.was_kept and not outcome.replaced for outcome in again.outcomes.values())
    assert (tmp_path / "results" / "report.md").read_text() == text


def test_all_refuses_a_folder_with_other_results_before_any_task(tmp_path, tiny_model_dir):
    cells = tiny_evaluation.save_cells(tmp_path / "cells.h5ad")
    others = tiny_evaluation.save_cells(tmp_path / "others.h5ad", seed=1)
    sets = tiny_evaluation.save_gene_sets(tmp_path / "a.gmt")
    shared = {"model": tiny_model_dir, "device": "cpu", "progress": False}
    run_task("pathways", EvaluationContext(cells, **shared), tmp_path / "results", gene_sets=sets, repeats=1)
    files = sorted((tmp_path / "results").iterdir())
    with pytest.raises(ValueError, match="has results of other data"):
        evaluate_all(EvaluationContext(others, **shared), tmp_path / "results", gene_sets=sets, repeats=1)
    assert sorted((tmp_path / "results").iterdir()) == files


def test_a_file_that_allows_nothing_is_refused_with_the_reasons(tmp_path, tiny_model_dir):
    import anndata

    adata = anndata.read_h5ad(tiny_evaluation.save_cells(tmp_path / "cells.h5ad"))
    adata.obs = adata.obs[[]]
    adata.write_h5ad(path := tmp_path / "bare.h5ad")
    with pytest.raises(ValueError, match="No task can be run: zero-shot: no column with two types"):
        evaluate_all(EvaluationContext(path, model=tiny_model_dir, device="cpu"), tmp_path / "results")
