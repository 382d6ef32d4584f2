import json

import anndata
import numpy as np
import pytest
import tiny_evaluation

import langcell
from langcell.training.evaluation.inputs.context import EvaluationContext
from langcell.training.evaluation.tasks import few_shot
from langcell.training.evaluation.tasks import fine_tuned_models as tuned
from langcell.training.evaluation.tasks.splits import draw_shots, stratified_splits


@pytest.fixture(scope="module")
def context(tmp_path_factory, tiny_model_dir):
    path = tiny_evaluation.save_cells(tmp_path_factory.mktemp("cells") / "cells.h5ad")
    return EvaluationContext(path, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)


@pytest.fixture(scope="module")
def result(context):
    return few_shot.run(context, shots=(5, 1), repeats=2, steps=2)


def test_every_method_is_measured_at_every_k(result):
    report = result.report
    json.dumps(report, allow_nan=False)
    assert list(report["methods"]) == [
        "LangCell", "logistic regression on genes", "logistic regression on frozen embeddings",
        "logistic regression on PCA",
        "LangCell, smoothed over PCA", "logistic regression on PCA, smoothed over PCA",
        "nearest centroid of embeddings",
    ]  # fmt: skip
    for scores in report["methods"].values():
        assert list(scores["curve"]) == ["1", "5"]
        assert scores["curve"]["5"]["runs"] == 2
        assert {"accuracy", "accuracy_sd", "macro_f1", "macro_f1_sd", "ontology_accuracy"} <= scores["curve"][
            "1"
        ].keys()
        assert scores["accuracy"] == scores["curve"]["5"]["accuracy"]


def test_baselines_learn_types_that_differ_in_their_genes(result):
    curve = result.report["methods"]["logistic regression on PCA"]["curve"]
    assert curve["5"]["accuracy"] > 0.9
    assert curve["1"]["accuracy"] > 0.6


def test_the_page_and_the_curve_name_every_method(result):
    (axis,) = result.figures["curve"].axes
    assert {text.get_text() for text in axis.get_legend().get_texts()} == set(result.report["methods"])
    assert [section.title for section in result.sections[1:]] == [
        "Macro-F1 by number of cells", "Accuracy by number of cells",
    ]  # fmt: skip
    assert len(result.sections[1].table.rows) == 7


def test_without_fine_tuning_nothing_is_trained(context):
    report = few_shot.run(context, shots=[2], repeats=1, method="none").report
    assert not [name for name in report["methods"] if name.startswith("LangCell")]
    assert report["tuning"] is None
    assert report["headline_shots"] == 2


@pytest.mark.parametrize("shots", [pytest.param([], id="none"), pytest.param([0, 1], id="zero")])
def test_illegal_shots_are_refused(shots):
    with pytest.raises(ValueError, match="give numbers of cells of 1 or more"):
        few_shot.check_shots(shots)


def test_an_unknown_method_is_refused(context):
    with pytest.raises(ValueError, match="method is 'odd'; legal are lora, full, head"):
        few_shot.run(context, shots=[1], repeats=1, method="odd")


def test_learning_sees_only_the_rows_that_it_is_given(context):
    labelled = context.labelled
    split = next(stratified_splits(labelled.truth, train_share=0.5, repeats=1, seed=0))
    found = tuned.FineTuningSettings("head", steps=1).learn(context, split.train, task="text", seed=0)
    assert set(found.train_rows) | set(found.validation_rows) <= set(split.train)
    scores = tuned.score_rows(context, found, split.test)
    assert scores.shape == (len(split.test), 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-4)


def test_random_weights_keep_the_architecture_and_depend_on_the_seed_alone(context):
    loaded = context.loaded
    first, again, other = (tuned.random_weights(loaded, seed=seed) for seed in (1, 1, 2))
    weights = [model.model.state_dict() for model in (loaded, first, again, other)]
    name = "cell_encoder.embeddings.word_embeddings.weight"
    assert (weights[1][name] == weights[2][name]).all()
    assert not (weights[1][name] == weights[3][name]).all()
    assert not (weights[1][name] == weights[0][name]).all()
    assert first.processor is loaded.processor


def test_a_cell_without_scores_gets_no_label():
    class Learned:
        labels = (type("L", (), {"name": "b"}), type("L", (), {"name": "a"}))

    scores = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    assert tuned.named_codes(scores, Learned(), ["a", "b", "c"]).tolist() == [1, 3, 0]
    nan = np.nan
    np.testing.assert_array_equal(
        tuned.by_name(scores, Learned(), ["a", "b", "c"]), [[0.1, 0.9, 0], [nan, nan, nan], [0.8, 0.2, 0]]
    )


def test_a_cell_without_scores_is_smoothed_by_none_and_smooths_none():
    scores = np.array([[0.9, 0.1], [np.nan, np.nan], [0.4, 0.6]])
    components = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    smoothed = few_shot._smoothed(scores, components)
    assert np.isnan(smoothed[1]).all()
    np.testing.assert_allclose(smoothed[[0, 2]].mean(axis=0), [0.65, 0.35], atol=1e-6)
    assert smoothed[0, 0] < 0.9
    assert tuned.best_codes(smoothed).tolist() == [0, 2, 0]


@pytest.fixture(scope="module")
def larger(tmp_path_factory, tiny_model_dir):
    """A hundred and eight cells, enough to name each other."""
    path = tmp_path_factory.mktemp("larger") / "cells.h5ad"
    blocks = [anndata.read_h5ad(tiny_evaluation.save_cells(path, seed=seed)) for seed in range(3)]
    anndata.concat(blocks, index_unique="-").write_h5ad(path)
    context = EvaluationContext(path, model=tiny_model_dir, label_column="cell_type", device="cpu", progress=False)
    return context, few_shot.run(context, shots=[5], repeats=1, steps=1)


def test_known_cells_stand_beside_the_fine_tuned_model_which_is_refined_likewise(larger):
    _, result = larger
    names = list(result.report["methods"])
    assert names[:3] == ["LangCell", "LangCell, refined", "LangCell, known cells in the file, no training"]
    # The tiny model was never trained: what is right comes of the known cells.
    assert result.report["methods"][names[2]]["accuracy"] > 0.9
    assert result.report["methods"][names[1]]["accuracy"] > 0.9
    assert "as langcell annotate --known-column does" in result.sections[0].text


def test_known_cells_are_those_of_annotate(larger, tmp_path):
    context, _ = larger
    labelled = context.labelled
    split = next(stratified_splits(labelled.truth, train_share=0.5, repeats=1, seed=0))
    rows = draw_shots(labelled.truth, split.train, [5], seed=split.seed)[5]
    named = few_shot._name_test_cells(context, labelled, rows, split, None)
    adata = anndata.read_h5ad(context.data)
    adata.obs["known"] = [name if row in rows else None for row, name in enumerate(adata.obs["cell_type"].astype(str))]
    langcell.annotate(adata, labelled.labels, model=context.loaded, known_column="known", progress=False)
    codes = adata.obs["langcell_label"].cat.codes.to_numpy()[split.test]
    assert (named["LangCell, known cells in the file, no training"] == codes).all()


def test_a_small_file_says_why_nothing_is_refined(result):
    assert "No method refines: the file has 36 cells" in result.sections[0].text
