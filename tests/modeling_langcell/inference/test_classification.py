import shutil

import anndata
import numpy as np
import pytest
import tiny
from tiny_labelled import labelled_cells

import langcell
from langcell.inference.classification import classify, load_classifier
from langcell.modeling_langcell import LangCellForCellClassification
from langcell.training.fine_tuning.finetuning import finetune


@pytest.fixture(scope="module")
def cells():
    """Cells of three types; the first has no known gene."""
    adata = labelled_cells()
    counts = adata.X.tolil()
    counts[0, : tiny.N_GENES] = 0
    return anndata.AnnData(counts.tocsr(), obs=adata.obs, var=adata.var)


@pytest.fixture(scope="module")
def adapter(cells, tiny_model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter") / "blood"
    finetune(
        cells, label_column="type", model=tiny_model_dir, task="classification", steps=60, learning_rate=0.01,
        shots=8, gene_dropout=0.3, device="cpu", progress=False, output=folder,
    )  # fmt: skip
    return folder


def test_cells_get_class_confidence_and_scores(cells, adapter, tiny_model_dir):
    named = classify(cells.copy(), model=tiny_model_dir, adapter=adapter, device="cpu", progress=False)
    labels = named.obs["langcell_label"]
    assert list(labels.cat.categories) == ["B cell", "T cell", "monocyte", "unassigned"]
    assert (labels.iloc[0], named.obs["langcell_confidence"].iloc[0]) == ("unassigned", 0)
    assert (labels.astype(str)[1:] == named.obs["type"].astype(str)[1:]).mean() > 0.8
    scores = langcell.score_table(named)
    assert list(scores.columns) == ["B cell", "T cell", "monocyte"]
    assert scores.iloc[0].isna().all()
    np.testing.assert_allclose(scores[1:].max(axis=1), named.obs["langcell_confidence"][1:], rtol=1e-6)
    assert named.uns["langcell"]["labels"] == ["B cell", "T cell", "monocyte"]
    assert named.uns["langcell"]["model_id"] == "langcell-tiny+blood"


def test_a_loaded_classifier_computes_in_the_dtype_asked_for_and_keeps_its_own(cells, adapter, tiny_model_dir):
    loaded = load_classifier(tiny_model_dir, adapter=adapter, device="cpu", dtype="bfloat16")
    for dtype, expected in ((None, "bfloat16"), ("auto", "bfloat16"), ("float32", "float32")):
        named = classify(cells.copy(), model=loaded, dtype=dtype, progress=False)
        assert named.uns["langcell"]["dtype"] == expected
        assert str(loaded.model.dtype) == "torch.bfloat16"


def test_a_file_gives_the_same_whatever_the_chunks(cells, adapter, tiny_model_dir, tmp_path):
    in_memory = classify(cells.copy(), model=tiny_model_dir, adapter=adapter, device="cpu", progress=False)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    result = classify(
        tmp_path / "cells.h5ad", model=load_classifier(tiny_model_dir, adapter=adapter, device="cpu"),
        output=tmp_path / "named.h5ad", rows_per_chunk=7, device="cpu", progress=False,
    )  # fmt: skip
    assert result is None
    named = anndata.read_h5ad(tmp_path / "named.h5ad")
    assert named.obs["langcell_label"].astype(str).tolist() == in_memory.obs["langcell_label"].astype(str).tolist()
    np.testing.assert_allclose(langcell.score_table(named), langcell.score_table(in_memory), rtol=1e-4)


def test_ontology_ids_are_those_of_the_training(tiny_model_dir, cells):
    adata = cells[3:].copy()
    adata.obs["id"] = adata.obs["type"].map({"B cell": "CL:0000236", "T cell": "CL:0000084", "monocyte": "CL:0000576"})
    tuned = finetune(
        adata, label_column="type", label_ids_column="id", model=tiny_model_dir, task="classification", method="head",
        steps=1, device="cpu", progress=False,
    )  # fmt: skip
    assert [label.ontology_term_id for label in tuned.labels] == ["CL:0000236", "CL:0000084", "CL:0000576"]


def test_a_model_without_a_head_is_refused(tiny_model_dir):
    with pytest.raises(ValueError, match=r"has no classification head.* langcell finetune --task classification"):
        load_classifier(tiny_model_dir, device="cpu")


def test_a_model_that_is_no_classifier_is_refused_in_one_line(tiny_model_dir):
    classifier = LangCellForCellClassification(tiny.tiny_config(num_labels=3))
    with pytest.raises(ValueError, match=r"Hub id, or langcell.inference.classification.LoadedClassifier\(model, proc"):
        load_classifier(classifier)
    with pytest.raises(ValueError, match=r"^model is a LoadedLangCell; give a folder or a Hub id \(org/name\).$"):
        load_classifier(langcell.load(tiny_model_dir, device="cpu"))


@pytest.mark.parametrize("as_adapter", [False, True])
def test_an_encoder_weight_that_is_missing_is_no_missing_head(tiny_model_dir, adapter, tmp_path, as_adapter):
    folder = shutil.copytree(tiny_model_dir, tmp_path / "whole")
    if not as_adapter:
        LangCellForCellClassification(tiny.tiny_config(num_labels=3)).save_pretrained(folder)
    weight = "cell_encoder.embeddings.LayerNorm.weight"
    half = tiny.without_weight(folder, tmp_path / "half", weight)
    with pytest.raises(ValueError, match=rf"half lacks 1 weights, such as {weight}; download or convert it again.$"):
        load_classifier(half, adapter=adapter if as_adapter else None, device="cpu")


def test_a_text_adapter_is_sent_to_its_command(tiny_model_dir, cells, tmp_path):
    finetune(
        cells, label_column="type", model=tiny_model_dir, steps=1, device="cpu", progress=False, output=tmp_path / "a"
    )
    with pytest.raises(ValueError, match="`langcell annotate --adapter` takes it"):
        load_classifier(tiny_model_dir, adapter=tmp_path / "a", device="cpu")


@pytest.mark.parametrize(
    "options", [{"num_labels": 1}, {"num_labels": 3, "problem_type": "multi_label_classification"}]
)
def test_a_head_that_gives_no_class_is_refused(tiny_model_dir, tmp_path, options):
    folder = shutil.copytree(tiny_model_dir, tmp_path / "numbers")
    LangCellForCellClassification(tiny.tiny_config(**options)).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"numbers gives no class for each cell .* its logits are the answer") as error:
        load_classifier(folder, device="cpu")
    assert "\n" not in str(error.value)
