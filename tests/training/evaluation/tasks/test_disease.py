import json

import pytest
import tiny_evaluation

from langcell.processing.labels.resolve import Label
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.tasks import disease


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")


def test_diseases_are_named_by_their_texts_beside_the_baselines(cells, tiny_model_dir):
    context = EvaluationContext(cells, model=tiny_model_dir, label_column="disease", device="cpu", progress=False)
    result = disease.run(context)
    json.dumps(result.report, allow_nan=False)
    assert result.report["task"] == "disease"
    assert [label["ontology_term_id"] for label in result.report["labels"]] == ["MONDO:0005061", None]
    assert result.report["labels"][0]["text"].startswith("disease: lung adenocarcinoma. ")
    assert list(result.report["methods"]) == ["LangCell", "similarity only", "match only", "majority class"]
    assert result.report["methods"]["majority class"]["accuracy"] == pytest.approx(24 / 36)
    assert {"confusion", "per-type", "embeddings"} == result.figures.keys()
    assert result.report["data"]["names_searched_in"] == "MONDO"


def test_texts_of_a_file_go_before_the_ontology(cells, tiny_model_dir, tmp_path):
    (labels := tmp_path / "labels.tsv").write_text("normal\tdisease: none; \nlung adenocarcinoma\tdisease: cancer; \n")
    context = EvaluationContext(
        cells, model=tiny_model_dir, label_column="disease", labels_file=labels, device="cpu", progress=False
    )
    report = disease.run(context, alpha=1.0).report
    assert [label["text"] for label in report["labels"]] == ["disease: cancer;", "disease: none;"]
    assert report["data"]["names_searched_in"] == "the Cell Ontology"  # which the names of a file are looked up in
    assert report["methods"]["LangCell"]["accuracy"] == report["methods"]["similarity only"]["accuracy"]


def test_any_name_has_a_text():
    (first, second) = disease.resolve_diseases(["H1975", "COVID-19"])
    assert first == Label("H1975", "disease: h1975; ")
    assert second.ontology_term_id == "MONDO:0100096"
