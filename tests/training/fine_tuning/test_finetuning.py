import logging

import anndata
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from tiny_labelled import TYPES, labelled_cells

import langcell
from langcell.loading.load import LoadedLangCell
from langcell.modeling_langcell import LangCellForCellClassification
from langcell.training.fine_tuning.finetuning import finetune

FAST = {"label_column": "type", "device": "cpu", "progress": False, "steps": 60, "learning_rate": 0.01, "held_out": 0}


@pytest.fixture(scope="module")
def cells():
    return labelled_cells()


@pytest.fixture(scope="module")
def base(tiny_model_dir):
    return langcell.load(tiny_model_dir, device="cpu")


def accuracy(tuned, cells, rows):
    scores = tuned.score(cells[rows].copy(), progress=False)
    named = np.array([label.name for label in tuned.labels])[scores.argmax(1)]
    return (named == cells.obs["type"].to_numpy()[rows]).mean()


# The drawn text encoder gives all labels nearly the same embedding (cos 0.97). Training all of it goes to labels that
# are all alike first, where the loss stays flat for 60 steps, and tells them apart after that: it takes 150 steps.
LONGER = {"learning_rate": 0.005, "steps": 150}


@pytest.mark.parametrize(
    ("method", "task", "changes"),
    [
        pytest.param("lora", "text", {"strength": 1.0}, id="lora-text"),  # the drawn base has nothing to keep
        pytest.param("full", "text", LONGER, id="full-text"),
        pytest.param("lora", "classification", {}, id="lora-classification"),
        pytest.param("full", "classification", {"learning_rate": 0.002}, id="full-classification"),
    ],
)
def test_a_few_cells_teach_the_model_to_name_the_others(cells, base, method, task, changes):
    before = {name: weight.clone() for name, weight in base.model.state_dict().items()}
    options = FAST | {"gene_dropout": 0.3} | changes
    tuned = finetune(cells, model=base, shots=8, method=method, task=task, **options)
    assert [label.name for label in tuned.labels] == sorted(TYPES)
    assert tuned.config.id2label == dict(enumerate(sorted(TYPES)))
    assert (len(tuned.train_rows), len(tuned.validation_rows)) == (24, 0)
    rest = np.setdiff1d(np.arange(cells.n_obs), tuned.train_rows)
    assert accuracy(tuned, cells, rest) > 0.8
    assert (tuned.adapter is None) == (method == "full")
    model = tuned.model
    assert isinstance(model, LoadedLangCell if task == "text" else LangCellForCellClassification)
    plain = model.model if isinstance(model, LoadedLangCell) else model
    assert not plain.training
    assert not any("lora" in name for name, _ in plain.named_parameters())
    # The loaded model that was given serves the next call.
    assert all(torch.equal(weight, before[name]) for name, weight in base.model.state_dict().items())
    assert not hasattr(base.config, "fine_tuning")


def test_all_weights_are_trained_on_request(cells, base):
    tuned = finetune(cells, model=base, method="full", **FAST | {"steps": 2})
    state = tuned.model.model.state_dict()
    same = [name for name, weight in base.model.state_dict().items() if torch.equal(weight, state[name])]
    assert not same, same


def test_similarity_and_match_are_both_trained(cells, base):
    tuned = finetune(cells, model=base, method="head", **FAST | {"steps": 3})
    changed = {
        name.partition(".")[0]
        for name, weight in tuned.model.model.state_dict().items()
        if not torch.equal(weight, base.model.state_dict()[name])
    }
    assert changed == {"cell_projection", "text_projection", "match_head"}


def test_the_score_is_that_of_annotate(cells, base):
    tuned = finetune(cells, model=base, shots=2, **FAST | {"steps": 3})
    named = cells.copy()
    langcell.annotate(named, tuned.labels, model=tuned.model, rerank="full", progress=False)
    scores = tuned.score(cells, progress=False)
    np.testing.assert_allclose(scores, langcell.score_table(named).to_numpy(), rtol=1e-5)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)


def test_the_same_seed_gives_the_same_model_whatever_ran_before(cells, base):
    scores = []
    for seed in (0, 0, 1):
        torch.rand(7)
        state = torch.get_rng_state()
        tuned = finetune(cells, model=base, shots=2, seed=seed, **FAST | {"steps": 4})
        assert torch.equal(torch.get_rng_state(), state)
        scores.append(tuned.score(cells, progress=False))
    assert np.array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


def test_validation_stops_early_and_its_cells_are_not_trained_on(cells, base):
    tuned = finetune(cells, model=base, validation_share=0.25, patience=1, **FAST | {"learning_rate": 0.3})
    assert len(tuned.validation_rows) == 9
    assert not len(np.intersect1d(tuned.train_rows, tuned.validation_rows))
    assert tuned.history[-1]["step"] < 60
    assert {"step", "loss", "validation_loss", "validation_accuracy"} == set(tuned.history[0])


def test_rows_limit_the_types_to_those_that_have_a_cell(cells, base):
    rows = np.flatnonzero(cells.obs["type"] != "T cell")
    tuned = finetune(cells, model=base, rows=rows, **FAST | {"steps": 2})
    assert [label.name for label in tuned.labels] == ["B cell", "monocyte"]
    assert np.isin(tuned.train_rows, rows).all()


def test_cells_without_a_label_are_left_out_and_rare_types_give_all(cells, base, caplog):
    types = cells.obs["type"].astype(object).to_numpy()
    types[:3] = [None, np.nan, "unknown"]
    types[3] = "rare type"
    adata = anndata.AnnData(cells.X, obs=pd.DataFrame({"type": types}, index=cells.obs_names), var=cells.var)
    with caplog.at_level(logging.INFO, logger="langcell"):
        tuned = finetune(adata, model=base, shots=3, **FAST | {"steps": 2})
    assert "3 of 36 cells have no label and are left out." in caplog.text
    assert "Types with fewer than 3 cells, which give all that they have: rare type (1)." in caplog.text
    assert "Not in the Cell Ontology, used as they are: rare type." in caplog.text
    assert [label.name for label in tuned.labels] == ["B cell", "T cell", "monocyte", "rare type"]
    assert 3 in tuned.train_rows
    assert not {0, 1, 2} & set(tuned.train_rows)


def without_genes(cells, rows):
    counts = cells.X.tolil()
    for row in rows:
        counts[row, : tiny.N_GENES] = 0
    return anndata.AnnData(counts.tocsr(), obs=cells.obs, var=cells.var)


def test_cells_without_a_known_gene_are_left_out(cells, base, caplog):
    adata = without_genes(cells, [0])
    with caplog.at_level(logging.WARNING, logger="langcell"):
        tuned = finetune(adata, model=base, rows=range(9), **FAST | {"steps": 2})
    assert "1 chosen cells have no known gene and are left out." in caplog.text
    assert tuned.train_rows.tolist() == list(range(1, 9))
    assert np.isnan(tuned.score(adata, progress=False)[0]).all()


def relabelled(cells, types):
    return anndata.AnnData(cells.X, obs=pd.DataFrame({"type": types}, index=cells.obs_names), var=cells.var)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        pytest.param(lambda c: relabelled(c, ["B cell"] * 36), {}, "only the type 'B cell'", id="single type"),
        pytest.param(lambda c: relabelled(c, [None] * 36), {}, "no cell has a label in obs", id="unlabelled"),
        pytest.param(lambda c: relabelled(c, [np.nan] * 36), {}, "no cell has a label in obs", id="all NaN"),
        pytest.param(lambda c: c, {"label_column": "kind"}, "unknown column 'kind'", id="no such column"),
        pytest.param(lambda c: c, {"rows": [0, 3]}, "only the type 'B cell'", id="single type among the rows"),
        pytest.param(
            lambda c: without_genes(c, range(0, 36, 3)), {}, "No chosen cell of 'B cell' has a gene", id="no known gene"
        ),
        pytest.param(lambda c: relabelled(c, np.linspace(0, 1, 36)), {}, "numbers with decimals", id="measurements"),
        pytest.param(lambda c: relabelled(c, list(c.obs_names)), {}, "36 different values", id="barcodes"),
        pytest.param(lambda c: c, {"shots": 0}, "shots is 0", id="no shots"),
        pytest.param(lambda c: c, {"output": "absent/folder/a"}, "does not exist", id="no folder for the output"),
    ],
)
@pytest.mark.parametrize("task", ["text", "classification"])
def test_what_nothing_can_be_learned_from_is_refused_in_one_line(cells, base, change, options, message, task):
    with pytest.raises(ValueError, match=message) as refused:
        finetune(change(cells), model=base, task=task, **FAST | options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("task", ["text", "classification"])
def test_a_type_with_a_single_cell_is_learned_from_it_and_told(cells, base, caplog, task):
    types = cells.obs["type"].astype(str).to_numpy()
    types[3] = "rare type"
    with caplog.at_level(logging.WARNING, logger="langcell"):
        tuned = finetune(
            relabelled(cells, types), model=base, task=task, **FAST | {"steps": 1, "validation_share": 0.5}
        )
    assert "Types with a single cell, which is learned by heart and never held out: rare type." in caplog.text
    assert 3 in tuned.train_rows
    assert [label["cells"] for label in tuned.config.fine_tuning["labels"] if label["name"] == "rare type"] == [1]


def test_types_may_share_a_text_where_no_text_is_read(cells, base):
    # Both names are one term of the Cell Ontology.
    adata = relabelled(cells, ["NK cell", "natural killer cell"] * 18)
    with pytest.raises(ValueError, match="no model can tell apart"):
        finetune(adata, model=base, **FAST)
    tuned = finetune(adata, model=base, task="classification", **FAST | {"steps": 2})
    assert tuned.config.label2id == {"NK cell": 0, "natural killer cell": 1}


def test_a_file_is_read_by_the_rows_that_are_needed(cells, base, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    options = FAST | {"steps": 2, "shots": 2}
    from_file = finetune(tmp_path / "cells.h5ad", model=base, **options)
    assert np.array_equal(from_file.train_rows, finetune(cells, model=base, **options).train_rows)
    assert from_file.config.fine_tuning["data"] == "cells.h5ad"


@pytest.mark.parametrize(
    ("names", "task", "expected"),
    [
        pytest.param(["B cell", "monocyte", "my third type"], "text", True, id="most_are_types"),
        pytest.param(["resting", "stimulated", "B cell"], "text", False, id="most_are_not"),
        pytest.param(["MONDO:0007915", "MONDO:0005105", "MONDO:0004992"], "text", False, id="diseases"),
        pytest.param(["B cell", "monocyte", "NK cell"], "classification", False, id="no_text_is_read"),
    ],
)
def test_reference_cells_stay_with_models_of_cell_types(cells, base, names, task, expected):
    tuned = finetune(relabelled(cells, names * 12), model=base, task=task, **FAST | {"steps": 1})
    assert tuned.config.fine_tuning["reference"] is expected


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_strength_draws_what_was_learned_back_to_the_base(cells, base, method):
    options = FAST | {"steps": 3, "method": method, "validation_share": 0}
    whole, half = (finetune(cells, model=base, strength=s, **options).model.model.state_dict() for s in (1.0, 0.5))
    changed = 0
    for name, start in base.model.state_dict().items():
        torch.testing.assert_close(half[name], (start + whole[name]) / 2, rtol=1e-4, atol=1e-5)
        changed += not torch.equal(whole[name], start)
    assert changed


def test_few_cells_of_types_go_halfway_and_other_labels_all_the_way(cells, base):
    options = FAST | {"steps": 1, "shots": 4}
    types, others = (
        relabelled(cells, ["B cell", "monocyte", "NK cell"] * 12),
        relabelled(cells, ["resting", "stimulated", "tired"] * 12),
    )
    for data, strength in ((types, 0.5), (others, 1.0)):
        assert finetune(data, model=base, **options).config.fine_tuning["strength"] == strength
