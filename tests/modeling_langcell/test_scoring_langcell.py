"""One core: torch, ONNX and the pipeline find the same scores."""

from functools import cache

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tiny import N_GENES, TEXTS, WORDS, tiny_counts, tiny_gene_names
from tiny_export import BEFORE_THE_LAST, IN_THE_LAST, exported_once

import langcell
from langcell.inference.annotation import score_data
from langcell.pipeline_langcell import LangCellPipeline
from langcell.processing.labels.resolve import resolve_labels

CLOSE = {"rtol": 0, "atol": 1e-5}
READING = {"progress": False, "max_batch_tokens": 100, "rows_per_chunk": 4}


@pytest.fixture(scope="session")
def three_ways(tmp_path_factory):
    """One model of a kind by torch, by onnxruntime and as a pipeline."""

    @cache
    def made(kind):
        folders = exported_once(kind, tmp_path_factory)
        loaded = langcell.load(folders.model, device="cpu")
        exported = langcell.OnnxLangCell(folders.onnx, threads=1)
        return loaded, exported, LangCellPipeline(loaded.model, loaded.processor, device="cpu")

    return made


@st.composite
def cases(draw):
    """Cells in a panel of genes, {name: text} and alpha."""
    panel = draw(st.lists(st.integers(0, N_GENES + 1), min_size=1, max_size=N_GENES, unique=True).filter(any_known))
    cells = AnnData(tiny_counts(draw(st.integers(1, 9)), seed=draw(st.integers(0, 99)))[:, panel])
    assume(cells.X.sum() > 0)  # zeros alone are refused
    cells.var_names = [tiny_gene_names()[gene] for gene in panel]
    words = st.lists(st.sampled_from([word for word in WORDS if "##" not in word]), min_size=1, max_size=20)
    texts = draw(st.lists(words.map(" ".join), min_size=2, max_size=30, unique=True))
    return cells, {f"label {i}": text for i, text in enumerate(texts)}, draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))


def any_known(panel):
    return min(panel) < N_GENES


@pytest.mark.slow  # torch's exporter takes its time, whatever the size
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from([BEFORE_THE_LAST, IN_THE_LAST]),
    case=cases(),
    reference=st.booleans(),
    batch_size=st.integers(1, 5),
)
def test_torch_onnx_and_the_pipeline_find_the_same_scores_and_labels(three_ways, kind, case, reference, batch_size):
    *models, pipe = three_ways(kind)
    cells, labels, alpha = case
    how = {"alpha": alpha, "reference": reference}
    by_torch, by_onnx = (
        langcell.annotate(cells.copy(), labels, model=model, rerank="full", **how, **READING) for model in models
    )
    expected = np.asarray(by_torch.obsm["langcell_scores"])
    known = ~np.isnan(expected).any(1)
    np.testing.assert_allclose(by_onnx.obsm["langcell_scores"], expected, **CLOSE)
    np.testing.assert_allclose(by_onnx.obsm["X_langcell"], by_torch.obsm["X_langcell"], **CLOSE)
    assert by_onnx.uns["langcell"]["reference_cells"] == by_torch.uns["langcell"]["reference_cells"]
    options = {"candidate_labels": labels, "batch_size": batch_size, **how}
    named = pipe(cells, **options)
    for i in np.flatnonzero(known):
        scores = dict(zip(named[i]["labels"], named[i]["scores"], strict=True))
        np.testing.assert_allclose([scores[name] for name in labels], expected[i], **CLOSE)
    names = list(labels)
    early = [langcell.annotate(cells.copy(), labels, model=model, **how, **READING) for model in models]
    best = [[*adata.obs["langcell_label"]] for adata in (by_torch, by_onnx, *early)]
    best += [[result["labels"][0] for result in found] for found in (named, pipe(cells, **options, top_k=1))]
    for found in best:
        assert [label == "unassigned" for label in found] == (~known).tolist()
        for i in np.flatnonzero(known):  # of labels that are equal to the last digits, any may be the best
            assert expected[i, names.index(found[i])] >= expected[i].max() - 2e-5


@pytest.mark.slow
def test_parts_of_the_score_texts_and_search_work_by_onnx_too(three_ways):
    loaded, exported, _ = three_ways(BEFORE_THE_LAST)
    cells = AnnData(tiny_counts(9))
    cells.var_names = tiny_gene_names()
    labels = resolve_labels(["B cell", "monocyte", "platelet"])
    parts = [score_data(cells, labels, loaded=model, **READING) for model in (loaded, exported)]
    for name in ("similarity", "match", "encoder_similarity"):
        np.testing.assert_allclose(getattr(parts[0], name), getattr(parts[1], name), rtol=0, atol=1e-4, err_msg=name)
    embeds = [langcell.embed_texts(TEXTS, model=model) for model in (loaded, exported)]
    np.testing.assert_allclose(*embeds, **CLOSE)
    langcell.embed(cells, model=loaded, progress=False)
    found = [
        langcell.retrieve(cells, ["B cell", "monocyte"], model=model, top_k=4, rerank=6) for model in (loaded, exported)
    ]
    np.testing.assert_allclose(found[0]["score"], found[1]["score"], **CLOSE)
