"""`evaluate zero-shot` names labels of which one lies above another as `annotate` does; labels as equals beside."""

import json

import anndata
import numpy as np
import pytest
from tiny import save_tiny_folder, tiny_config
from tiny_groups import SMALL, grouped_cells

import langcell
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.ontology.terms import Ontology
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.metrics.ontology_scoring import TermDistances
from langcell.training.evaluation.reports.report import eval_results
from langcell.training.evaluation.tasks import zero_shot

TYPES = ["CL:0000236", "CL:0000542", "CL:0000576", "CL:0000788"]  # B cell, lymphocyte, monocyte, naive B cell
TRUTH = ["B cell", "lymphocyte", "T cell"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    config = tiny_config(training_cell_types=TYPES, tissue_cell_types={"blood": TYPES, "lung": TYPES[1:3]})
    folder = save_tiny_folder(tmp_path_factory.mktemp("model") / "tiny", reference=True, config=config)
    return langcell.load(folder, device="cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    cells = grouped_cells()
    cells.obs["type"] = np.array(TRUTH)[np.arange(cells.n_obs) % 3]
    cells.write_h5ad(path := tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return path


def evaluated(path, loaded, **options):
    context = EvaluationContext(path, label_column="type", model=loaded, device="cpu", **SMALL)
    return zero_shot.run(context, repeats=2, **options)


@pytest.fixture(scope="module")
def branch(path, loaded):
    return evaluated(path, loaded, tissue="blood")


def answers(path, loaded, **options):
    named = langcell.annotate(anndata.read_h5ad(path), model=loaded, **SMALL, **options)
    return named.obs


def test_labels_as_equals_are_ranked_as_other_models_report_it(branch):
    equals = branch.report["methods"]["labels as equals"]
    assert 0 <= equals["macro_accuracy"] <= equals["macro_recall_at_5"] == 1, "there are four candidates"
    assert 0 <= equals["macro_auroc"] <= 1
    assert "macro recall@5" in branch.sections[0].table.head


def test_a_list_is_measured_as_annotate_answers(path, loaded):
    methods = evaluated(path, loaded).report["methods"]
    assert list(methods)[:3] == ["LangCell", "LangCell, refined", "labels as equals, refined"]
    labels = resolve_labels(sorted(TRUTH))
    for row, options in (
        ("LangCell", {"refine": "none"}),
        ("LangCell, refined", {}),
        ("labels as equals, refined", {"hierarchy": "none"}),
    ):
        obs = answers(path, loaded, labels=labels, **options)
        assert methods[row]["accuracy"] == np.mean(obs["langcell_label"].astype(str) == obs["type"].astype(str))


def test_a_branch_is_measured_as_annotate_answers(path, loaded, branch):
    methods, distances = branch.report["methods"], TermDistances(Ontology.cellxgene())
    term = {label.name: label.ontology_term_id for label in resolve_labels(TRUTH)}
    term |= {Ontology.cellxgene().term(one).name: one for one in TYPES}
    for row, column, options in (
        ("LangCell", "langcell_label", {"refine": "none"}),
        ("LangCell, finest level", "langcell_label_fine", {"refine": "none"}),
        ("LangCell, refined", "langcell_label", {}),
        ("LangCell, refined, finest level", "langcell_label_fine", {}),
        ("labels as equals, refined", "langcell_label", {"hierarchy": "none"}),
    ):
        obs = answers(path, loaded, tissue="blood", **options)
        pairs = zip(obs["type"].astype(str), obs[column].astype(str), strict=True)
        credit = np.mean([distances.credit(term[true], term[named]) for true, named in pairs])
        assert methods[row]["ontology_accuracy"] == pytest.approx(credit), row


def test_the_page_of_a_branch_names_its_candidates(branch):
    report, (first, *others) = branch.report, branch.sections
    assert (report["candidates"], report["hierarchy"]) == (4, "branch")
    assert "Candidates: 4 types of the model's training" in first.text
    assert "named from the top down" in first.text
    assert [label["name"] for label in report["labels"]][4:] == ["T cell"]  # no candidate, but a true type
    assert "Weight of the similarity" not in {section.title for section in others}
    types = next(section for section in others if section.title == "Types")
    assert sorted(row[0] for row in types.table.rows) == sorted(TRUTH)
    json.dumps(report, allow_nan=False)
    names = {entry.task_name for entry in eval_results(report)}
    assert names == {"zero-shot annotation among 4 types", "zero-shot annotation among 4 types, refined"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"tissue": "blood", "ontology_root": "lymphocyte"}, "both give the candidates", id="both"),
        pytest.param({"tissue": "moon"}, "No tissue 'moon' is known", id="no_tissue"),
        pytest.param({"tissue": "blood", "alpha": 0.5}, "alpha is 0.5, but a branch is named by", id="alpha"),
    ],
)
def test_candidates_that_cannot_be_had_are_refused(path, loaded, options, message):
    with pytest.raises(ValueError, match=message):
        evaluated(path, loaded, **options)


def test_types_without_a_term_cannot_be_judged(loaded, tmp_path):
    cells = grouped_cells()
    cells.obs["type"] = np.array(["mine", "yours"])[np.arange(cells.n_obs) % 2]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match="None of the true types has a term"):
        evaluated(tmp_path / "cells.h5ad", loaded, ontology_root="lymphocyte")
