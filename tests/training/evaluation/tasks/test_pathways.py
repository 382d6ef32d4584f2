import json

import pytest
import tiny_evaluation

from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.tasks import pathways


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pathways")
    return tiny_evaluation.save_cells(folder / "cells.h5ad"), tiny_evaluation.save_gene_sets(folder / "sets.gmt")


@pytest.fixture(scope="module")
def result(files, tiny_model_dir):
    context = EvaluationContext(files[0], model=tiny_model_dir, device="cpu", progress=False)
    return pathways.run(context, gene_sets=files[1], active_share=1 / 3, repeats=2)


def test_the_model_stands_beside_the_same_encoder_untrained(result):
    json.dumps(result.report, allow_nan=False)
    assert list(result.report["methods"]) == ["LangCell", "the same encoder untrained", "PCA"]
    for scores in result.report["methods"].values():
        assert all(0 <= scores[key] <= 1 and f"{key}_sd" in scores for key in ("auroc", "auprc", "f1"))
    assert result.report["methods"]["PCA"]["auroc"] > 0.9  # the sets are what tells the types apart


def test_sets_without_enough_genes_are_named(result):
    sets = result.report["gene_sets"]
    assert sets["left_out"] == ["ABSENT"]
    assert sets["sets"] == {"FIRST": {"genes": 10, "in_data": 10}, "SECOND": {"genes": 10, "in_data": 10}}
    assert len(result.sections[1].table.rows) == 2


@pytest.mark.parametrize(
    ("share", "text", "message"),
    [
        pytest.param(1.5, None, r"active_share is 1\.5", id="share"),
        pytest.param(0.25, "A\t\tNO1\tNO2\tNO3\n", "no set has 3 genes or more", id="unknown_genes"),
    ],
)
def test_what_cannot_be_measured_is_refused(files, tiny_model_dir, tmp_path, share, text, message):
    sets = files[1]
    if text is not None:
        (sets := tmp_path / "sets.gmt").write_text(text)
    context = EvaluationContext(files[0], model=tiny_model_dir, device="cpu", progress=False)
    with pytest.raises(ValueError, match=message):
        pathways.run(context, gene_sets=sets, active_share=share)


def test_too_few_cells_for_a_split_is_one_line(files, tiny_model_dir):
    context = EvaluationContext(files[0], model=tiny_model_dir, device="cpu", progress=False, max_cells=6)
    with pytest.raises(ValueError, match=r"cells are too few|No gene set is active"):
        pathways.run(context, gene_sets=files[1], active_share=0.2)


def test_every_set_has_a_spread_over_the_splits(result):
    for scores in result.report["methods"].values():
        assert scores["auroc_by_set_sd"].keys() == scores["auroc_by_set"].keys() == {"FIRST", "SECOND"}
        mean = sum(scores["auroc_by_set"].values()) / 2
        assert mean == pytest.approx(scores["auroc"])
    assert all("±" in cell for row in result.sections[1].table.rows for cell in row[2:])
