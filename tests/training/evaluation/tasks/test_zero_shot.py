import json

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny

import langcell
from langcell.processing.labels.resolve import resolve_labels
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.tasks.naming import naming_sections
from langcell.training.evaluation.tasks.zero_shot import ALPHAS, evaluate_zero_shot, name_and_measure

TYPES = ["B cell", "T cell", "monocyte", "B cell", "unknown", "T cell", "B cell", None]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Eight cells, two without a label, one (the first) without a known gene."""
    counts = tiny.tiny_counts(len(TYPES)).tolil()
    counts[0, : tiny.N_GENES] = 0
    counts[0, tiny.N_GENES] = 3
    obs = pd.DataFrame({"type": TYPES}, index=[f"c{i}" for i in range(len(TYPES))])
    adata = anndata.AnnData(counts.tocsr(), obs=obs, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    adata.write_h5ad(path := tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return path


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    vocabulary, rng = tiny.tiny_vocabulary(), np.random.default_rng(1)
    obs = pd.DataFrame({"cl_id": ["CL:0000236", "CL:0000084"]}, index=["p0", "p1"])
    var = pd.DataFrame({"ensembl_id": list(vocabulary.gene_ids)}, index=list(vocabulary.symbols))
    adata = anndata.AnnData(rng.gamma(1, size=(2, tiny.N_GENES)).astype(np.float32), obs=obs, var=var)
    adata.write_h5ad(path := tmp_path_factory.mktemp("profiles") / "profiles.h5ad")
    return path


@pytest.fixture(scope="module")
def report(cells, profiles, tiny_model_dir):
    return evaluate_zero_shot(
        cells, label_column="type", model=tiny_model_dir, profiles=profiles, device="cpu", progress=False
    )


def test_the_model_is_measured_as_annotate_names(report, cells, tiny_model_dir):
    adata = anndata.read_h5ad(cells)
    labels = resolve_labels(["B cell", "T cell", "monocyte"])
    langcell.annotate(adata, labels, model=tiny_model_dir, device="cpu", progress=False)
    kept = [i for i, name in enumerate(TYPES) if name not in (None, "unknown")]
    named = adata.obs["langcell_label"].astype(str).to_numpy()
    assert report["methods"]["LangCell"]["accuracy"] == np.mean([named[i] == TYPES[i] for i in kept])
    columns = [label.name for label in labels] + ["unassigned"]
    confusion = [[sum(TYPES[i] == t and named[i] == c for i in kept) for c in columns] for t in columns[:-1]]
    assert report["methods"]["LangCell"]["confusion"] == confusion
    assert sum(row[-1] for row in confusion) == 1  # the cell without a known gene


def test_the_report_says_what_was_measured_on_what(report, cells, tiny_model_dir):
    json.dumps(report, allow_nan=False)
    loaded = langcell.load(tiny_model_dir, device="cpu")
    assert report["model"]["revision"] == loaded.revision
    assert report["model"]["vocabulary_fingerprint"] == loaded.processor.feature_extractor.vocabulary.fingerprint
    data = report["data"]
    assert (data["cells"], data["labelled_cells"], data["left_out_without_label"]) == (8, 6, 2)
    assert (data["file"], len(data["sha256"]), data["without_known_gene"]) == ("cells.h5ad", 64, 1)
    assert [(label["name"], label["support"]) for label in report["labels"]] == [
        ("B cell", 3), ("T cell", 2), ("monocyte", 1),
    ]  # fmt: skip
    assert report["alpha"] == loaded.config.alpha
    assert report["cells_per_second"] > 0


def test_the_ends_of_the_sweep_are_the_parts_of_the_score(report):
    assert [row["alpha"] for row in report["alpha_sweep"]] == list(ALPHAS)
    for row, method in ((0, "match only"), (-1, "similarity only")):
        assert report["alpha_sweep"][row]["macro_f1"] == report["methods"][method]["macro_f1"]


def test_baselines_stand_beside_the_model(report):
    assert list(report["methods"]) == [
        "LangCell", "similarity only", "match only", "majority class", "nearest profile",
        "marker genes of the profiles", "logistic regression on simulated cells",
    ]  # fmt: skip
    assert report["refinement"] == {
        "refined": False, "why_alone": "the file has 8 cells, and cells name each other from 100 on",
    }  # fmt: skip
    assert report["methods"]["majority class"]["accuracy"] == 0.5
    assert report["methods"]["nearest profile"]["types_without_profile"] == ["monocyte"]
    text = naming_sections(report)[0].text
    assert "so that no method that reads it names them: monocyte." in text
    assert "Each cell stands alone: the file has 8 cells" in text


def test_alpha_of_the_caller_wins_and_needs_no_place_in_the_sweep(cells, tiny_model_dir):
    report = evaluate_zero_shot(cells, label_column="type", model=tiny_model_dir, alpha=0.25, progress=False)
    assert report["alpha"] == 0.25
    assert len(report["alpha_sweep"]) == 11
    assert "nearest profile" not in report["methods"]


def test_an_illegal_alpha_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match=r"alpha is 1\.5; legal are 0"):
        evaluate_zero_shot("absent.h5ad", label_column="type", alpha=1.5)


def test_every_alpha_and_every_type_has_a_spread(report):
    for row in report["alpha_sweep"]:
        assert {"accuracy_sd", "macro_f1_sd", "weighted_f1_sd"} <= row.keys()
    assert any(row["accuracy_sd"] for row in report["alpha_sweep"])
    sections = {section.title: section for section in naming_sections(report)}
    for title in ("Types", "Weight of the similarity"):
        assert all("±" in row[-1] for row in sections[title].table.rows)
    assert "± is the standard deviation over 200 draws of the cells with replacement" in naming_sections(report)[0].text


def test_a_model_with_reference_cells_is_also_measured_without_them(cells, report, tmp_path):
    folder = tiny.save_tiny_folder(tmp_path / "langcell-tiny", reference=True)
    loaded = langcell.load(folder, device="cpu")
    related = evaluate_zero_shot(cells, label_column="type", model=loaded, progress=False)
    assert list(related["methods"]) == [
        "LangCell", "without reference cells", "similarity only", "match only", "majority class",
    ]  # fmt: skip
    # The weights are those of the report, whose model has no reference cells.
    assert related["methods"]["without reference cells"]["confusion"] == report["methods"]["LangCell"]["confusion"]
    assert "without reference cells: what the encoder makes of them alone" in naming_sections(related)[0].text
    adata = anndata.read_h5ad(cells)
    labels = resolve_labels(["B cell", "T cell", "monocyte"])
    langcell.annotate(adata, labels, model=loaded, reference=False, progress=False)
    named = adata.obs["langcell_label"].astype(str).to_numpy()
    kept = [i for i, name in enumerate(TYPES) if name not in (None, "unknown")]
    assert related["methods"]["without reference cells"]["accuracy"] == np.mean([named[i] == TYPES[i] for i in kept])
    assert "without reference cells" not in report["methods"]


def test_one_draw_has_no_spread(cells, tiny_model_dir):
    context = EvaluationContext(cells, label_column="type", model=tiny_model_dir, device="cpu", progress=False)
    report = name_and_measure(context, context.labelled, task="zero-shot", alpha=None, rivals={}, repeats=1)
    assert {row["accuracy_sd"] for row in (*report["methods"].values(), *report["alpha_sweep"])} == {None}
    first, *others = naming_sections(report)
    assert "has no standard deviation" in first.text
    assert not any("±" in cell for section in (first, *others) for row in section.table.rows for cell in row)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A hundred and twenty cells of three types, each with genes of its own; two have no label."""
    rng, names = np.random.default_rng(4), np.repeat(["B cell", "T cell", "monocyte"], 40)
    rates = np.full((120, tiny.N_GENES + 2), 0.5)
    for row, name in enumerate(names):
        first = 12 * ["B cell", "T cell", "monocyte"].index(name)
        rates[row, first : first + 10] = 8.0
    names = np.where(np.isin(np.arange(120), (3, 70)), "unknown", names)
    obs = pd.DataFrame({"type": names}, index=[f"c{i}" for i in range(120)])
    counts = rng.poisson(rates).astype(np.float32)
    adata = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=tiny.tiny_gene_names()))
    adata.write_h5ad(path := tmp_path_factory.mktemp("many") / "cells.h5ad")
    return path


@pytest.fixture(scope="module")
def many_report(many, profiles, tmp_path_factory):
    folder = tiny.save_tiny_folder(tmp_path_factory.mktemp("model") / "langcell-tiny", reference=True)
    loaded = langcell.load(folder, device="cpu")
    report = evaluate_zero_shot(many, label_column="type", model=loaded, profiles=profiles, progress=False)
    return report, loaded


def test_the_refined_row_is_what_annotate_names(many, many_report):
    report, loaded = many_report
    adata = anndata.read_h5ad(many)
    langcell.annotate(adata, resolve_labels(["B cell", "T cell", "monocyte"]), model=loaded, progress=False)
    truth, named = adata.obs["type"].to_numpy(), adata.obs["langcell_label"].astype(str).to_numpy()
    kept = truth != "unknown"
    assert adata.uns["langcell"]["refined"]
    assert report["methods"]["LangCell, refined"]["accuracy"] == np.mean((named == truth)[kept])
    alone = adata.obs["langcell_label_alone"].astype(str).to_numpy()
    assert report["methods"]["LangCell"]["accuracy"] == np.mean((alone == truth)[kept])


def test_every_rival_stands_alone_and_refined_in_one_table(many_report):
    report, _ = many_report
    rivals = ("nearest profile", "marker genes of the profiles", "logistic regression on simulated cells")
    names = list(report["methods"])
    assert names[:2] == ["LangCell", "LangCell, refined"]
    for rival in rivals:
        assert names[names.index(rival) + 1] == f"{rival}, refined"
        assert report["methods"][f"{rival}, refined"]["accuracy_sd"] is not None
    table = naming_sections(report)[0].table
    assert [row[0] for row in table.rows] == names
    assert "as langcell annotate does by default" in naming_sections(report)[0].text
    json.dumps(report, allow_nan=False)


def test_the_auroc_of_types_left_out_stands_beside_the_other_measures(many_report):
    report, _ = many_report
    assert set(report["left_out"]) == {"B cell", "T cell", "monocyte"}
    assert report["methods"]["LangCell"]["novelty_auroc"] == pytest.approx(np.mean(list(report["left_out"].values())))
    sections = {section.title: section for section in naming_sections(report)}
    assert sections["zero-shot: langcell-tiny on cells.h5ad"].table.head[-1] == "novelty AUROC"
    assert len(sections["Types that are not among the candidates"].table.rows) == 3
