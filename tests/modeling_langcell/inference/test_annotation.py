import shutil
from functools import partial
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from numpy.testing import assert_allclose, assert_array_equal
from tiny import tiny_counts, tiny_gene_names, tiny_model, tiny_processor, tiny_vocabulary

import langcell
from langcell.inference.annotation import UNASSIGNED, score_data
from langcell.inference.classification import classify
from langcell.loading.load import LoadedLangCell, as_dtype, load, weights_digest
from langcell.processing.cells.embedding_store import open_embeddings, save_embeddings
from langcell.processing.labels.resolve import resolve_labels
from langcell.reporting.contents import read_named

# Not in alphabetical order, so that a sorted result would show.
LABELS = ["natural killer cell", "B cell", "my odd cells", "monocyte"]
N_CELLS = 23
UNKNOWN_CELL = 7  # has counts, but of unknown genes alone
SMALL = {"progress": False, "rows_per_chunk": 5, "max_batch_tokens": 100}


@pytest.fixture(scope="module")
def model_dir(tiny_model_dir, tmp_path_factory):
    """The tiny model with cell embeddings that point everywhere: as it is, all cells get the same label."""
    folder = shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("varied") / "langcell-tiny")
    model = tiny_model()
    with torch.no_grad():
        states = model.get_cell_states(**tiny_processor()(cells=tiny_cells(), return_tensors="pt"))[:, 0]
        model.cell_projection.bias.sub_(model.cell_projection(states).mean(0))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(model_dir):
    return load(model_dir, device="cpu")


def tiny_cells() -> AnnData:
    counts = tiny_counts(N_CELLS).tolil()
    counts[UNKNOWN_CELL] = 0
    counts[UNKNOWN_CELL, -2] = 9
    obs = pd.DataFrame({"donor": ["a", "b"] * 11 + ["a"]}, index=[f"cell{i}" for i in range(N_CELLS)])
    return AnnData(counts.tocsr(), obs=obs, var=pd.DataFrame(index=tiny_gene_names()))


@pytest.fixture
def cells():
    return tiny_cells()


@pytest.fixture(scope="module")
def named(loaded):
    """The cells named in memory; read only."""
    return langcell.annotate(tiny_cells(), LABELS, model=loaded, **SMALL)


def assert_same_results(found: AnnData, expected: AnnData) -> None:
    assert found.obs["langcell_label"].tolist() == expected.obs["langcell_label"].tolist()
    assert_allclose(found.obs["langcell_confidence"], expected.obs["langcell_confidence"], atol=1e-5)
    assert_allclose(found.obsm["X_langcell"], expected.obsm["X_langcell"], atol=1e-5)
    scores, expected_scores = langcell.score_table(found), langcell.score_table(expected)
    assert list(scores.columns) == list(expected_scores.columns)
    assert_allclose(scores, expected_scores, atol=1e-5)


def test_every_field_is_there(named, loaded, model_dir):
    assert list(named.obs) == ["donor", "langcell_label", "langcell_ontology_term_id", "langcell_confidence"]
    assert named.obs["langcell_confidence"].dtype == np.float32
    assert named.obsm["X_langcell"].shape == (N_CELLS, loaded.config.projection_dim)
    assert langcell.score_table(named).shape == (N_CELLS, len(LABELS))
    assert langcell.score_table(named).index.equals(named.obs_names)
    settings = named.uns["langcell"]
    shares = [settings.pop(name) for name in ("gene_coverage", "count_coverage")]
    assert settings == {
        "model_id": "langcell-tiny",
        "model_revision": weights_digest(model_dir),
        "vocabulary_fingerprint": tiny_vocabulary().fingerprint,
        "langcell_version": version("langcell"),
        "values_from": "X",
        "x_is": "counts",
        "labels": LABELS,
        "label_texts": [label.text for label in resolve_labels(LABELS)],
        "label_ontology_term_ids": ["CL:0000623", "CL:0000236", "", "CL:0000576"],
        "alpha": loaded.config.alpha,
        "reference_cells": 0,
        "rerank": "exact",
        "dtype": "float32",
        "pairs_evaluated": N_CELLS * len(LABELS),
        "refined": False,  # too few cells
        "confidence_is_probability": False,  # the tiny model has no parameters for it
    }
    counts = tiny_cells().X
    assert_allclose(shares, [40 / 42, counts[:, :40].sum() / counts.sum()])


def test_label_order_is_kept(named):
    assert list(langcell.score_table(named).columns) == LABELS
    assert list(named.obs["langcell_label"].cat.categories) == [*LABELS, UNASSIGNED]


def test_label_confidence_and_id_follow_from_the_scores(named):
    known = np.arange(N_CELLS) != UNKNOWN_CELL
    scores = langcell.score_table(named)[known]
    assert named.obs["langcell_label"][known].tolist() == scores.idxmax(axis=1).tolist()
    assert_allclose(named.obs["langcell_confidence"][known], scores.max(axis=1))
    assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    term_ids = dict(zip(LABELS, named.uns["langcell"]["label_ontology_term_ids"], strict=True)) | {UNASSIGNED: ""}
    assert named.obs["langcell_ontology_term_id"].tolist() == [term_ids[name] for name in named.obs["langcell_label"]]
    assert named.obs["langcell_label"].nunique() > 2  # or the tests would compare constants


def test_a_cell_without_known_genes_is_unassigned(named):
    row = named.obs.iloc[UNKNOWN_CELL]
    assert row["langcell_label"] == UNASSIGNED
    assert row["langcell_ontology_term_id"] == ""
    assert row["langcell_confidence"] == 0
    assert langcell.score_table(named).iloc[UNKNOWN_CELL].isna().all()
    assert (named.obs["langcell_label"] == UNASSIGNED).sum() == 1
    assert langcell.score_table(named).drop(index=f"cell{UNKNOWN_CELL}").notna().all(axis=None)


def test_embeddings_have_unit_length(named):
    assert_allclose(np.linalg.norm(named.obsm["X_langcell"], axis=1), 1, atol=1e-5)


def test_scores_are_those_of_score_labels(named, loaded):
    texts = named.uns["langcell"]["label_texts"]
    batch = loaded.processor(cells=tiny_cells()[:6].copy(), text=texts, return_tensors="pt")
    expected = langcell.score_labels(loaded.model, **batch)
    assert_allclose(langcell.score_table(named)[:6], expected.score, atol=1e-5)
    assert_allclose(named.obsm["X_langcell"][:6], expected.cell_embeds, atol=1e-5)


def test_alpha_one_is_the_similarity_alone(cells, loaded):
    langcell.annotate(cells, LABELS, model=loaded, alpha=1, progress=False)
    scored = score_data(cells, resolve_labels(LABELS), loaded=loaded, **SMALL)
    assert cells.uns["langcell"]["alpha"] == 1.0
    expected = torch.tensor(scored.similarity).softmax(-1)[scored.known]
    assert_allclose(langcell.score_table(cells)[scored.known], expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="one_chunk"),
        pytest.param({"rows_per_chunk": 1}, id="cell_by_cell"),
        pytest.param({"rows_per_chunk": 4, "max_batch_tokens": 40}, id="small_chunks_and_batches"),
        pytest.param({"max_batch_tokens": 1}, id="a_batch_for_each_cell"),
    ],
)
def test_chunks_and_batches_change_nothing(cells, loaded, named, options):
    assert_same_results(langcell.annotate(cells, LABELS, model=loaded, progress=False, **options), named)


def test_the_order_of_the_cells_changes_nothing(loaded, named):
    order = np.random.default_rng(0).permutation(N_CELLS)
    shuffled = langcell.annotate(tiny_cells()[order].copy(), LABELS, model=loaded, **SMALL)
    assert_same_results(shuffled[named.obs_names].copy(), named)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.parametrize("source_suffix", [".h5ad", ".zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
def test_files_give_what_memory_gives(cells, loaded, named, tmp_path, source_suffix, suffix):
    source, output = tmp_path / f"in{source_suffix}", tmp_path / f"out{suffix}"
    cells.write_h5ad(source) if source_suffix == ".h5ad" else cells.write_zarr(source)
    assert langcell.annotate(source, LABELS, output=output, model=loaded, **SMALL) is None
    written = anndata.read_h5ad(output) if suffix == ".h5ad" else anndata.read_zarr(output)
    assert_same_results(written, named)
    assert list(written.obs["langcell_label"].cat.categories) == [*LABELS, UNASSIGNED]
    assert written.obs["donor"].tolist() == cells.obs["donor"].tolist()
    assert_array_equal(written.X.toarray(), cells.X.toarray())
    settings = {name: getattr(value, "tolist", lambda v=value: v)() for name, value in written.uns["langcell"].items()}
    assert settings["labels"] == LABELS
    assert set(settings) == set(named.uns["langcell"]) | {"gene_coverage", "count_coverage"}


def test_an_anndata_with_an_output_gets_both(cells, loaded, named, tmp_path):
    assert langcell.annotate(cells, LABELS, output=tmp_path / "out.h5ad", model=loaded, **SMALL) is cells
    assert_same_results(cells, named)
    assert_same_results(anndata.read_h5ad(tmp_path / "out.h5ad"), named)


def test_an_annotated_file_can_be_annotated_again(cells, loaded, tmp_path):
    first, second = tmp_path / "first.h5ad", tmp_path / "second.h5ad"
    cells.write_h5ad(tmp_path / "cells.h5ad")
    langcell.annotate(tmp_path / "cells.h5ad", LABELS, output=first, model=loaded, **SMALL)
    langcell.annotate(first, LABELS[:2], output=second, model=loaded, **SMALL)
    assert list(langcell.score_table(anndata.read_h5ad(second)).columns) == LABELS[:2]


@pytest.mark.parametrize(
    "read", [pytest.param(Path, id="path"), pytest.param(partial(anndata.read_h5ad, backed="r"), id="backed")]
)
@pytest.mark.parametrize("command", [partial(langcell.annotate, labels=LABELS), langcell.embed, classify])
def test_the_input_is_not_replaced(cells, tmp_path, read, command):
    path, link = tmp_path / "cells.h5ad", tmp_path / "link.h5ad"
    cells.write_h5ad(path)
    link.symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"link\.h5ad is the input, which would be replaced; name another output"):
        command(read(path), output=link, model="not looked at")
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_model_by_folder(cells, model_dir, named):
    options = {"device": "cpu", "dtype": "float32", "progress": False}
    assert_same_results(langcell.annotate(cells, LABELS, model=model_dir, **options), named)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(cells, model_dir, named, dtype):
    langcell.annotate(cells, LABELS, model=model_dir, device="cpu", dtype=dtype, progress=False)
    # The differences between cells are the small part of the tiny model's numbers.
    assert_allclose(cells.obsm["X_langcell"], named.obsm["X_langcell"], atol=0.2)
    assert cells.obsm["X_langcell"].dtype == np.float32


@pytest.mark.parametrize("kept", [pytest.param("float32", id="faster"), pytest.param("bfloat16", id="finer")])
def test_a_loaded_model_computes_in_the_dtype_asked_for_and_keeps_its_own(cells, model_dir, kept):
    loaded, other = load(model_dir, device="cpu", dtype=kept), {"float32": "bfloat16", "bfloat16": "float32"}[kept]
    for dtype, expected in (("auto", kept), (kept, kept), (other, other)):
        named = langcell.annotate(cells.copy(), LABELS, model=loaded, dtype=dtype, device="cpu", progress=False)
        assert named.uns["langcell"]["dtype"] == expected
        embedded = langcell.embed(cells.copy(), model=loaded, dtype=dtype, device="cpu", progress=False)
        assert embedded.uns["langcell"]["dtype"] == expected
        assert loaded.model.dtype == as_dtype(kept)
    if kept == "float32":
        expected = langcell.annotate(cells.copy(), LABELS, model=model_dir, dtype=other, device="cpu", progress=False)
        assert_same_results(named, expected)


def test_a_dtype_or_device_that_is_none_is_refused_beside_a_loaded_model_too(cells, loaded):
    for options, message in (({"dtype": "float31"}, "dtype is 'float31'"), ({"device": "gnu"}, "Device 'gnu' cannot")):
        with pytest.raises(ValueError, match=message):
            langcell.annotate(cells, LABELS, model=loaded, **options)
        with pytest.raises(ValueError, match=message):
            langcell.embed_texts(["B cell"], model=loaded, **options)


@pytest.mark.parametrize("x_is", ["linear", "log1p"])
def test_ranks_need_no_counts(cells, loaded, named, x_is):
    depth = np.asarray(cells.X.sum(1))
    cells.X = cells.X.multiply(10_000 / depth).tocsr()
    if x_is == "log1p":
        cells.X = np.log1p(cells.X)
    langcell.annotate(cells, LABELS, model=loaded, x_is=x_is, **SMALL)
    assert cells.obs["langcell_label"].tolist() == named.obs["langcell_label"].tolist()
    assert cells.uns["langcell"]["x_is"] == x_is


def test_gene_column(cells, loaded, named):
    cells.var["feature_name"] = cells.var_names
    cells.var_names = [f"gene{i}" for i in range(cells.n_vars)]
    with pytest.raises(ValueError, match=r"--gene-column; this file has feature_name"):
        langcell.annotate(cells, LABELS, model=loaded, **SMALL)
    assert_same_results(langcell.annotate(cells, LABELS, model=loaded, gene_column="feature_name", **SMALL), named)


def test_layer(cells, loaded, named):
    cells.layers["umi"] = cells.X
    cells.X = np.log1p(cells.X)
    assert_same_results(langcell.annotate(cells, LABELS, model=loaded, layer="umi", **SMALL), named)
    assert cells.uns["langcell"]["values_from"] == "layers/umi"


def test_texts_of_the_users_own(cells, loaded):
    texts = {"killers": "cell type: nk cell", "makers": "the lymphocyte that makes antibodies"}
    langcell.annotate(cells, texts, model=loaded, **SMALL)
    assert cells.uns["langcell"]["label_texts"] == list(texts.values())
    assert list(langcell.score_table(cells).columns) == list(texts)


def test_embed(cells, loaded, named):
    assert langcell.embed(cells, model=loaded, **SMALL) is cells
    assert_allclose(cells.obsm["X_langcell"], named.obsm["X_langcell"], atol=1e-5)
    assert list(cells.obsm) == ["X_langcell"]
    assert list(cells.obs) == ["donor"]
    assert cells.uns["langcell"]["model_id"] == "langcell-tiny"
    assert "labels" not in cells.uns["langcell"]


@pytest.mark.parametrize("kind", ["memory", "h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data", "ignore:zarr v3 autosharding")
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_cells_that_are_embedded_keep_what_is_known_of_their_names(named, tmp_path, kind):
    other = LoadedLangCell(tiny_model(seed=1), tiny_processor(), "other", "0123456789ab")
    source = named.copy()
    if kind == "memory":
        langcell.embed(source, model=other, **SMALL)
    else:
        source.write_h5ad(tmp_path / "named.h5ad")
        source = tmp_path / f"embedded.{kind}"
        langcell.embed(tmp_path / "named.h5ad", output=source, model=other, **SMALL)
    expected, found = read_named(named), read_named(source)
    assert found.settings["model_id"] == "langcell-tiny"
    assert found.labels.astype(str).tolist() == expected.labels.astype(str).tolist()
    assert found.drawn.top_labels.tolist() == expected.drawn.top_labels.tolist()
    with open_embeddings(source) as store:
        assert (store.settings["model_id"], store.settings["model_revision"]) == ("other", "0123456789ab")
        save_embeddings(tmp_path / "cells.npy", store)
    langcell.write_report(source, tmp_path / "report.html")
    assert "langcell-tiny" in (tmp_path / "report.html").read_text()
    again = langcell.annotate(named.copy(), LABELS, model=other, **SMALL)
    assert again.uns["langcell"]["model_id"] == "other"
    assert "embedding" not in again.uns["langcell"]


def test_embed_hidden_is_the_state_of_cls(cells, loaded, tmp_path):
    cells.write_h5ad(tmp_path / "in.h5ad")
    langcell.embed(tmp_path / "in.h5ad", output=tmp_path / "out.h5ad", model=loaded, hidden=True, **SMALL)
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    batch = loaded.processor(cells=cells[:6].copy(), return_tensors="pt")
    with torch.inference_mode():
        expected = loaded.model.get_cell_states(**batch)[:, 0]
    assert_allclose(written.obsm["X_langcell_hidden"][:6], expected, atol=1e-5)
    assert written.obsm["X_langcell"].shape == (N_CELLS, loaded.config.projection_dim)


def test_score_data_leaves_the_cells_alone(cells, loaded, named):
    scored = score_data(cells, resolve_labels(LABELS), loaded=loaded, **SMALL)
    assert scored.similarity.shape == scored.match.shape == (N_CELLS, len(LABELS))
    assert np.flatnonzero(~scored.known).tolist() == [UNKNOWN_CELL]
    assert "langcell" not in cells.uns
    similarity, match = torch.tensor(scored.similarity).softmax(-1), torch.tensor(scored.match).softmax(-1)
    alpha = loaded.config.alpha
    score = (alpha * similarity + (1 - alpha) * match)[scored.known]
    assert_allclose(score, langcell.score_table(named)[scored.known], atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        pytest.param(["B cell"], {}, "at least two labels", id="one_label"),
        pytest.param("B cell,NK cell", {}, r"Give a list: \['B cell', 'NK cell'\]", id="one_string"),
        pytest.param(["B cell", "unassigned"], {}, "'unassigned' cannot be a label", id="reserved_word"),
        pytest.param(LABELS, {"alpha": 1.5}, r"alpha is 1\.5; legal are 0", id="alpha"),
        pytest.param(LABELS, {"rows_per_chunk": 0}, "at least one row per chunk", id="rows_per_chunk"),
        pytest.param(LABELS, {"max_batch_tokens": 0}, "max_batch_tokens is 0", id="max_batch_tokens"),
        pytest.param(LABELS, {"output": "cells.csv"}, r"has to end in \.h5ad or \.zarr", id="suffix"),
    ],
)
def test_mistakes_are_refused_and_leave_the_cells_alone(cells, loaded, labels, options, message):
    with pytest.raises(ValueError, match=message):
        langcell.annotate(cells, labels, model=loaded, **{"progress": False, **options})
    assert list(cells.obs) == ["donor"]
    assert not cells.obsm
    assert not cells.uns


def test_an_output_that_cannot_be_written_is_refused_before_the_model_is_loaded(cells, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; create it first"):
        langcell.annotate(cells, LABELS, output=tmp_path / "nowhere" / "out.h5ad", model="/no/such/model")


def test_what_no_file_can_hold_is_named_before_the_model_is_loaded(cells, tmp_path):
    cells.obs["odd"] = ["low", 1] * (cells.n_obs // 2) + ["low"] * (cells.n_obs % 2)
    with pytest.raises(ValueError, match=r"cannot write .*out\.h5ad: obs\['odd'\] mixes int and str"):
        langcell.annotate(cells, LABELS, output=tmp_path / "out.h5ad", model="/no/such/model")
    assert not list(tmp_path.iterdir())


def test_what_no_file_can_hold_is_left_out_on_request(cells, loaded, tmp_path):
    cells.obs["odd"] = ["low", 1] * (cells.n_obs // 2) + ["low"] * (cells.n_obs % 2)
    langcell.annotate(cells, LABELS, output=tmp_path / "out.h5ad", model=loaded, drop_unwritable=True, progress=False)
    assert {"odd", "langcell_label"} <= set(cells.obs)
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert "odd" not in read.obs
    assert read.obs["langcell_label"].tolist() == cells.obs["langcell_label"].tolist()


def test_results_are_in_the_object_though_the_file_cannot_be_written(cells, loaded, tmp_path, monkeypatch):
    def no_room(*args, **how):
        raise OSError("no room on the disk")

    monkeypatch.setattr("langcell.inference.running.job.write_annotated", no_room)
    with pytest.raises(OSError, match="no room"):
        langcell.annotate(cells, LABELS, output=tmp_path / "out.h5ad", model=loaded, progress=False)
    assert "langcell_label" in cells.obs
    assert "X_langcell" in cells.obsm
    assert cells.uns["langcell"]["labels"]


@pytest.mark.parametrize("function", [langcell.embed, lambda path: langcell.annotate(path, LABELS)])
def test_a_file_needs_an_output(function):
    with pytest.raises(ValueError, match=r"cells\.h5ad is a file: say where the result goes"):
        function("cells.h5ad")
