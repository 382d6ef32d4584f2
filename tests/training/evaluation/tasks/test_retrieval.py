import json

import numpy as np
import pytest
import tiny_evaluation

from langcell.processing.ontology.descriptions import describe_term
from langcell.processing.ontology.terms import Ontology
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.metrics.ontology_scoring import TermDistances
from langcell.training.evaluation.tasks import retrieval

TRAINED = ["CL:0000236", "CL:0000084", "CL:0000623", "CL:0000542"]  # B, T, NK, lymphocyte


@pytest.fixture(scope="module")
def context(tmp_path_factory, tiny_model_dir):
    path = tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    context = EvaluationContext(path, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)
    context.loaded.config.training_cell_types = TRAINED
    return context


@pytest.fixture(scope="module")
def report(context):
    report = retrieval.run(context, candidates="training").report
    json.dumps(report, allow_nan=False)
    return report


def test_candidates_are_the_training_types_and_those_of_the_data(report):
    assert report["n_candidates"] == 5  # monocyte is added
    assert report["queries"] == {"cells": 36, "texts": 3}
    assert list(report["methods"]) == [
        "cell to text, name and definition", "cell to text, name only", "text to cell, name and definition",
        "text to cell, name only", "text to cell, sentences of function",
    ]  # fmt: skip


def test_recall_is_that_of_a_plain_search(report, context):
    ontology = Ontology.cellxgene()
    ids = sorted({*TRAINED, "CL:0000576"})
    texts = context.embed_texts([describe_term("cell type", ontology.term(term_id)) for term_id in ids])
    scores = context.embeddings.projected @ texts.T
    truth = [ids.index(tiny_evaluation.IDS[context.labelled.names[code]]) for code in context.labelled.truth]
    found = report["methods"]["cell to text, name and definition"]
    best = scores.argmax(axis=1)
    assert found["recall_at_1"] == pytest.approx(np.mean(best == truth))
    assert found["recall_at_5"] == 1.0
    distances = TermDistances(ontology)
    steps = [distances.between(ids[i], ids[j]) for i, j in zip(truth, best, strict=True)]
    assert found["ontology_distance"] == pytest.approx(np.mean(steps))
    # Text to cell: the nearest cell of each type's text.
    nearest = [truth[row] for row in scores[:, sorted(set(truth))].argmax(axis=0)]
    expected = np.mean(np.array(nearest) == sorted(set(truth)))
    assert report["methods"]["text to cell, name and definition"]["recall_at_1"] == pytest.approx(expected)


def test_a_sentence_counts_the_right_cells_among_the_first_it_finds(report, context):
    found = report["methods"]["text to cell, sentences of function"]
    ids = [tiny_evaluation.IDS[context.labelled.names[code]] for code in context.labelled.truth]
    text = "lymphocytes that mature in the thymus"
    right = np.array([term_id in {"CL:0000084", *Ontology.cellxgene().descendants("CL:0000084")} for term_id in ids])
    nearest = np.argsort(-(context.embeddings.projected @ context.embed_texts([text])[0]), kind="stable")
    assert found["sentences"][text] == pytest.approx(right[nearest[: right.sum()]].mean())
    assert found["precision_at_20"] == pytest.approx(np.mean(list(found["sentences"].values())))
    assert found["queries"] == len(found["sentences"]) < 60  # what no cell of the data is, nobody looks for


def test_all_terms_of_the_ontology_are_candidates_by_default(context):
    ids = retrieval._candidate_ids(context, "ontology", Ontology.cellxgene())
    assert len(ids) > 2500
    assert not any(Ontology.cellxgene().term(term_id).obsolete for term_id in ids)


def test_types_that_no_ontology_knows_cannot_be_looked_for(tmp_path, tiny_model_dir):
    labels = tmp_path / "labels.tsv"
    path = tiny_evaluation.save_cells(tmp_path / "cells.h5ad")
    labels.write_text("run 0\tone\nrun 1\tother\n")
    context = EvaluationContext(path, model=tiny_model_dir, label_column="batch", labels_file=labels, progress=False)
    with pytest.raises(ValueError, match=r"No type of the data is a Cell Ontology term.*--label-ids-column"):
        retrieval.run(context)


def test_other_candidates_are_refused_and_a_model_without_a_list_says_so(context, monkeypatch):
    with pytest.raises(ValueError, match="candidates is 'odd'; legal are 'ontology'"):
        retrieval.run(context, candidates="odd")
    monkeypatch.setattr(context.loaded.config, "training_cell_types", None)
    with pytest.raises(ValueError, match="does not list its training types"):
        retrieval.run(context, candidates="training")


def test_repeats_are_draws_of_the_queries(context, report):
    few, one = (retrieval.run(context, candidates="training", repeats=repeats) for repeats in (20, 1))
    for name, scores in one.report["methods"].items():
        if "mrr" not in scores:  # of the sentences, precision
            continue
        assert scores["mrr"] == few.report["methods"][name]["mrr"] == report["methods"][name]["mrr"]
        assert scores["mrr_sd"] is None
    name = "cell to text, name and definition"
    assert few.report["methods"][name]["mrr_sd"] != report["methods"][name]["mrr_sd"]
    assert not any("±" in cell for row in one.sections[0].table.rows for cell in row)
    assert "± is the standard deviation over 20 draws of the queries" in few.sections[0].text
