"""The transformers pipeline in this process; tests/test_hub_round_trip.py runs it where langcell is not installed."""

import json
import sys

import numpy as np
import pytest
import torch
from anndata import AnnData
from tiny import tiny_counts, tiny_gene_names, tiny_model, tiny_processor
from transformers import AutoModelForSequenceClassification, pipeline

import langcell
from langcell.configuration_langcell import CUSTOM_PIPELINES
from langcell.encoders_langcell import TorchEncoders
from langcell.pipeline_langcell import LangCellPipeline
from langcell.processing.labels.resolve import resolve_labels

LABELS = ["B cell", "natural killer cell", "my odd cells"]
TEXTS = {label.name: label.text for label in resolve_labels(LABELS)}
N_CELLS = 7
UNKNOWN_CELL = 2


@pytest.fixture(scope="module")
def name_cells(tiny_model_dir):
    # No trust_remote_code: langcell is imported.
    return pipeline("zero-shot-cell-annotation", model=str(tiny_model_dir), device="cpu")


@pytest.fixture(scope="module")
def cells():
    counts = tiny_counts(N_CELLS)
    counts = counts.tolil()
    counts[UNKNOWN_CELL, :-2] = 0  # the last two genes are in no vocabulary
    adata = AnnData(counts.tocsr())
    adata.var_names = tiny_gene_names()
    adata.obs_names = [f"cell{i}" for i in range(N_CELLS)]
    return adata


@pytest.fixture(scope="module")
def annotated(cells, tiny_model_dir):
    model = langcell.load(tiny_model_dir, device="cpu")
    return langcell.annotate(cells.copy(), LABELS, model=model, rerank="full", progress=False)


def scores_of(results, labels=LABELS):
    """Scores in the order of the labels, (cells, labels)."""
    return np.array([[dict(zip(r["labels"], r["scores"], strict=True))[label] for label in labels] for r in results])


def known(values):
    return [value for i, value in enumerate(values) if i != UNKNOWN_CELL]


def test_it_is_the_class_of_the_package_and_needs_no_trust(name_cells):
    assert type(name_cells) is LangCellPipeline


def test_scores_are_those_of_annotate(name_cells, cells, annotated):
    results = name_cells(cells, candidate_labels=TEXTS)
    assert [result["cell"] for result in results] == list(cells.obs_names)
    expected = langcell.score_table(annotated)
    np.testing.assert_allclose(scores_of(known(results)), known(expected.to_numpy()), atol=1e-5)
    assert [result["labels"][0] for result in results] == annotated.obs["langcell_label"].astype(str).tolist()
    assert results[UNKNOWN_CELL] == {"cell": f"cell{UNKNOWN_CELL}", "labels": ["unassigned"], "scores": [0.0]}
    for result in known(results):
        assert result["scores"] == sorted(result["scores"], reverse=True)
        assert sum(result["scores"]) == pytest.approx(1, abs=1e-5)


def test_names_alone_are_put_into_the_template(name_cells, cells):
    given = name_cells(cells, candidate_labels=LABELS)
    written = name_cells(cells, candidate_labels={name: f"cell type: {name.lower()}; " for name in LABELS})
    assert given == written
    assert given == name_cells(cells, LABELS)  # by place, as transformers' zero-shot pipelines take them
    assert given != name_cells(cells, candidate_labels=LABELS, hypothesis_template="{}")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_change_nothing(name_cells, cells, batch_size):
    one, other = (name_cells(cells, candidate_labels=TEXTS, batch_size=size) for size in (5, batch_size))
    np.testing.assert_allclose(scores_of(known(one)), scores_of(known(other)), atol=1e-5)


def test_the_early_stop_leaves_pairs_out_and_names_as_all_pairs_do(name_cells, cells, monkeypatch):
    labels = {f"label {i}": f"cell type: {('b cell', 'monocyte')[i % 2]} {i}" for i in range(40)}
    pairs = []
    match = TorchEncoders.match

    def counted(self, cells, texts, columns, longest):
        pairs.append(columns.numel())
        return match(self, cells, texts, columns, longest)

    monkeypatch.setattr(TorchEncoders, "match", counted)
    options = {"candidate_labels": labels, "alpha": 0.99}
    full = name_cells(cells, **options)
    n_pairs = sum(pairs)
    assert n_pairs == N_CELLS * 40
    pairs.clear()
    for top_k in (1, 3):
        early = name_cells(cells, **options, top_k=top_k)
        assert [result["labels"] for result in early] == [result["labels"][:top_k] for result in full]
        for least, all_of_them in zip(known(early), known(full), strict=True):
            assert (np.array(least["scores"]) <= np.array(all_of_them["scores"][:top_k]) + 1e-6).all()
    assert sum(pairs) < n_pairs
    whole = name_cells(cells, **options, top_k=1, rerank="full")
    np.testing.assert_allclose([r["scores"][0] for r in whole], [r["scores"][0] for r in full], atol=1e-6)


def test_a_model_that_gives_nan_is_said(cells):
    model = tiny_model()
    with torch.no_grad():
        model.match_head.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="gives 6 cells NaN for all labels"):
        LangCellPipeline(model, tiny_processor(), device="cpu")(cells, candidate_labels=TEXTS)


def test_options_of_the_pipeline_are_defaults_of_its_calls(tiny_model_dir, cells):
    options = {"candidate_labels": TEXTS, "top_k": 2, "batch_size": 2, "alpha": 1.0}
    name_cells = pipeline("zero-shot-cell-annotation", model=str(tiny_model_dir), device="cpu", **options)
    assert {len(result["labels"]) for result in known(name_cells(cells))} == {2}
    (similarity,) = known(name_cells(cells, top_k=3))[:1]
    (mixed,) = known(name_cells(cells, top_k=3, alpha=0.0))[:1]
    assert similarity["scores"] != mixed["scores"]


@pytest.mark.parametrize("kind", ["file", "layer", "raw", "gene_column", "ids", "matrix"])
def test_cells_come_in_many_ways(name_cells, cells, tmp_path, kind):
    expected = scores_of(known(name_cells(cells, candidate_labels=TEXTS)))
    data, options, other = cells, {}, cells.copy()
    if kind == "file":
        data = tmp_path / "cells.h5ad"
        cells.write_h5ad(data)
    elif kind == "layer":
        data, options = other, {"layer": "counts"}
        data.layers["counts"], data.X = cells.X, cells.X * 0.5
    elif kind == "raw":
        other.raw = other
        data, options = other[:, :3].copy(), {"layer": "raw"}
    elif kind == "gene_column":
        data, options = other, {"gene_column": "ids"}
        data.var["ids"], data.var_names = cells.var_names, [f"row {i}" for i in range(cells.n_vars)]
    elif kind == "ids":
        data = [ids.tolist() for ids in tiny_processor().feature_extractor.encode(cells)]
    else:
        data, options = cells.X, {"gene_names": list(cells.var_names)}
    found = name_cells(data, candidate_labels=TEXTS, **options)
    np.testing.assert_allclose(scores_of(known(found)), expected, atol=1e-5)
    assert len(found) == N_CELLS


def test_a_file_is_read_in_chunks(name_cells, cells, tmp_path, monkeypatch):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    at_once = name_cells(tmp_path / "cells.h5ad", candidate_labels=TEXTS)
    monkeypatch.setattr("langcell.pipeline_langcell._ROWS_PER_CHUNK", 3)
    in_chunks = name_cells(tmp_path / "cells.h5ad", candidate_labels=TEXTS)
    assert [result["cell"] for result in in_chunks] == list(cells.obs_names)
    np.testing.assert_allclose(scores_of(known(in_chunks)), scores_of(known(at_once)), atol=1e-5)


def test_one_list_of_ids_is_one_cell(name_cells, cells):
    ids = tiny_processor().feature_extractor.encode(cells)[0].tolist()
    one, (same,) = name_cells(ids, candidate_labels=TEXTS), name_cells([ids], candidate_labels=TEXTS)
    assert one == same
    assert one["labels"][0] in LABELS


def test_embeddings_are_those_of_annotate(name_cells, cells, annotated):
    embeddings = name_cells(cells, return_embeddings=True, return_tensors=True)
    np.testing.assert_allclose(embeddings, annotated.obsm["X_langcell"], atol=1e-5)
    lists = name_cells(cells, return_embeddings=True)
    np.testing.assert_allclose(lists, embeddings, atol=1e-7)
    both = name_cells(cells, candidate_labels=TEXTS, return_embeddings=True)
    np.testing.assert_allclose([result["embedding"] for result in both], embeddings, atol=1e-5)


def test_feature_extraction_with_trust(tiny_model_dir, cells, annotated, monkeypatch, tmp_path):
    # Code of another cache, which an earlier test imported, must not be taken for that of this one.
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    embed = pipeline("feature-extraction", model=str(tiny_model_dir), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(embed(cells, return_tensors=True), annotated.obsm["X_langcell"], atol=1e-5)
    # transformers has a class of its own for this task, which must not be given LangCell's weights in silence.
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        pipeline("feature-extraction", model=str(tiny_model_dir))


def test_dtype_is_honoured(tiny_model_dir, cells, annotated):
    half = pipeline("zero-shot-cell-annotation", model=str(tiny_model_dir), device="cpu", dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16
    results = half(cells, candidate_labels=TEXTS)
    expected = langcell.score_table(annotated).to_numpy()
    np.testing.assert_allclose(scores_of(known(results)), known(expected), atol=0.05)


def test_a_saved_pipeline_is_a_hub_folder(name_cells, cells, tmp_path):
    name_cells.save_pretrained(tmp_path / "again")
    again = pipeline("zero-shot-cell-annotation", model=str(tmp_path / "again"), device="cpu")
    found, expected = (scores_of(known(pipe(cells, candidate_labels=TEXTS))) for pipe in (again, name_cells))
    np.testing.assert_allclose(found, expected, atol=1e-6)  # where weights lie in memory shows in the last digit
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config["custom_pipelines"] == CUSTOM_PIPELINES
    assert (tmp_path / "again" / "pipeline_langcell.py").is_file()


def test_a_model_and_its_processor_can_be_given(cells, annotated):
    # The class for pre-training has all that the pipeline needs.
    name_cells = LangCellPipeline(tiny_model(), tiny_processor(), device="cpu")
    found = scores_of(known(name_cells(cells, candidate_labels=TEXTS)))
    np.testing.assert_allclose(found, known(langcell.score_table(annotated).to_numpy()), atol=1e-5)


def test_parts_on_a_disk_change_nothing(name_cells, cells, tiny_model_dir, tmp_path):
    parts = ("cell_encoder", "text_encoder", "cell_projection", "text_projection", "match_head")
    places = {part: "disk" if "encoder" in part else "cpu" for part in parts}
    stored = pipeline(
        "zero-shot-cell-annotation", str(tiny_model_dir), device_map=places, model_kwargs={"offload_folder": tmp_path}
    )
    assert stored.model.cell_encoder.embeddings.word_embeddings.weight.is_meta
    assert stored.model.hf_device_map == places
    found, expected = (scores_of(known(pipe(cells, candidate_labels=TEXTS))) for pipe in (stored, name_cells))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        pytest.param(None, {}, r"Give candidate_labels=\[...\]", id="no_labels"),
        pytest.param(None, {"candidate_labels": "B cell, T cell"}, "is one string", id="one_string"),
        pytest.param(None, {"candidate_labels": ["B cell"]}, "at least two names", id="one_label"),
        pytest.param(None, {"candidate_labels": ["B cell", "B cell "]}, "a name twice", id="twice"),
        pytest.param(None, {"candidate_labels": {"a": "", "b": "x"}}, "none of them empty", id="empty_text"),
        pytest.param(None, {"candidate_labels": TEXTS, "alpha": 2}, "alpha is 2; legal are 0", id="alpha"),
        pytest.param(None, {"candidate_labels": TEXTS, "top_k": 0}, "top_k is 0", id="top_k"),
        pytest.param(None, {"candidate_labels": TEXTS, "rerank": "none"}, "rerank is 'none'; legal", id="rerank"),
        pytest.param(None, {"labels": LABELS}, "Unknown option 'labels'.*candidate_labels", id="unknown_option"),
        pytest.param(None, {"candidate_labels": TEXTS, "layer": "x"}, "no layer 'x'; there are", id="layer"),
        pytest.param(None, {"candidate_labels": TEXTS, "gene_column": "x"}, "no column 'x' in var", id="gene_column"),
        pytest.param("cells.loom", {"candidate_labels": TEXTS}, "is no .h5ad file", id="suffix"),
        pytest.param(3, {"candidate_labels": TEXTS}, "Cells came as int; give an AnnData", id="no_cells"),
    ],
)
def test_mistakes_are_one_line(name_cells, cells, data, options, message):
    with pytest.raises(ValueError, match=message):
        name_cells(cells if data is None else data, **options)


def test_a_classifier_is_refused(tiny_model_dir):
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model_dir)
    with pytest.raises(ValueError, match="reads no text"):
        LangCellPipeline(model, tiny_processor())


def test_without_anndata_a_file_is_refused_in_one_line(name_cells, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ValueError, match="pip install anndata"):
        name_cells(str(tmp_path / "cells.h5ad"), candidate_labels=TEXTS)


def test_no_cells_give_no_results(name_cells, cells):
    assert name_cells(cells[:0].copy(), return_embeddings=True, return_tensors=True).shape[0] == 0
