"""Naming relative to reference cells: by annotate, the pipeline and the parts of the score."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import AnnData
from tiny import (
    TEXTS,
    save_tiny_folder,
    tiny_counts,
    tiny_gene_names,
    tiny_reference,
    tiny_vocabulary,
)
from transformers import pipeline
from typer.testing import CliRunner

import langcell
from langcell.cli.commands import app
from langcell.inference.scored_cells import score_data
from langcell.inference.scoring.reference import known_reference
from langcell.processing.labels.resolve import resolve_labels
from langcell.processing.reference_cells import LabelScale

NAMES = ["B cell", "natural killer cell", "monocyte"]
LABELS = resolve_labels(NAMES)
PANEL = [3, 8, 9, 15, 21, 22, 30, 31, 38]


def cells(genes=None, *, n_cells=9, seed=0):
    adata = AnnData(tiny_counts(n_cells, seed=seed))
    adata.var_names = tiny_gene_names()
    return adata if genes is None else adata[:, genes].copy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_folder(tmp_path_factory.mktemp("reference") / "langcell-tiny", reference=True)


@pytest.fixture(scope="module")
def loaded(folder):
    return langcell.load(folder, device="cpu")


def similarities(data, loaded, **options):
    scored = score_data(data, LABELS, loaded=loaded, progress=False, **options)
    return scored.similarity[scored.known], scored


@pytest.mark.parametrize("genes", [pytest.param(None, id="all_genes"), pytest.param(PANEL, id="panel")])
def test_similarities_are_as_the_nearest_reference_cells_in_the_genes_of_the_data_say(loaded, genes):
    # The reference cells as a data set of their own: what the model makes of them in all genes.
    whole = cells(n_cells=60, seed=99)
    extractor, model = loaded.processor.feature_extractor, loaded.model
    of_texts, of_labels = (
        model.get_text_features(**loaded.processor(text=texts, return_tensors="pt"), return_dict=True)
        .pooler_output.detach()
        .numpy()
        for texts in (list(TEXTS), [label.text for label in LABELS])
    )
    known = extractor.reference_cells.known(embeddings(whole, loaded), of_texts)
    reference = extractor.reference_cells.as_measured(
        np.arange(40) if genes is None else np.array(genes), extractor.vocabulary
    )
    data = cells(genes)
    weights = reference.weights(extractor.encode(data, max_length=1000))
    temperature = loaded.config.logit_temperature
    scale = LabelScale.fitted(known[reference.rows] @ of_labels.T / temperature, reference.shares)
    expected = scale((embeddings(data, loaded) + weights @ known[reference.rows]) / 2 @ of_labels.T / temperature)
    got, scored = similarities(data, loaded)
    np.testing.assert_allclose(got, expected[scored.known], rtol=1e-3, atol=1e-3)
    plain, without = similarities(data, loaded, reference=False)
    assert np.abs(got - plain).max() > 0.1
    np.testing.assert_allclose(scored.without_reference().similarity, without.similarity, rtol=1e-5, atol=1e-5)


def embeddings(data, loaded):
    """What the encoder makes of cells."""
    embedded = langcell.embed(data.copy(), model=loaded, progress=False)
    assert embedded is not None
    return embedded.obsm["X_langcell"]


def test_the_score_of_a_cell_does_not_depend_on_the_other_cells(loaded):
    together, _ = similarities(cells(), loaded)
    alone, _ = similarities(cells()[2:3].copy(), loaded)
    np.testing.assert_allclose(alone[0], together[2], atol=1e-4)


@pytest.mark.parametrize("rerank", ["full", "exact", "none"])
def test_annotate_the_pipeline_and_the_parts_agree(loaded, folder, rerank):
    named = langcell.annotate(cells(PANEL), NAMES, model=loaded, rerank=rerank, progress=False)
    assert named is not None
    assert named.uns["langcell"]["reference_cells"] == 60
    _, scored = similarities(cells(PANEL), loaded)
    similarity, match = (torch.from_numpy(part).softmax(-1).numpy() for part in (scored.similarity, scored.match))
    alpha = loaded.config.alpha
    expected = similarity if rerank == "none" else alpha * similarity + (1 - alpha) * match
    best = [NAMES[code] for code in expected[scored.known].argmax(axis=1)]
    assert named.obs["langcell_label"].astype(str)[scored.known].tolist() == best
    if rerank == "full":
        np.testing.assert_allclose(named.obsm["langcell_scores"][scored.known], expected[scored.known], atol=1e-4)
        pipe = pipeline("zero-shot-cell-annotation", model=str(folder), device="cpu")
        texts = {label.name: label.text for label in LABELS}
        found = [r for r in pipe(cells(PANEL), candidate_labels=texts, batch_size=4) if r["labels"] != ["unassigned"]]
        scores = np.array([[dict(zip(r["labels"], r["scores"], strict=True))[name] for name in NAMES] for r in found])
        np.testing.assert_allclose(scores, expected[scored.known], atol=1e-4)
        plain = pipe(cells(PANEL), candidate_labels=texts, reference=False)
        assert [r["scores"] for r in plain] != [r["scores"] for r in found]


def test_without_it_names_are_those_of_a_folder_without_reference_cells(loaded, tiny_model_dir):
    kept = langcell.annotate(cells(), NAMES, model=loaded, rerank="full", reference=False, progress=False)
    other = langcell.load(tiny_model_dir, device="cpu")
    plain = langcell.annotate(cells(), NAMES, model=other, rerank="full", progress=False)
    assert kept is not None
    assert plain is not None
    assert not kept.uns["langcell"]["reference_cells"]
    assert not plain.uns["langcell"]["reference_cells"]
    np.testing.assert_allclose(kept.obsm["langcell_scores"], plain.obsm["langcell_scores"], atol=1e-6)


@pytest.mark.parametrize("types", [True, False], ids=["types", "other_labels"])
def test_a_model_that_was_fine_tuned_on_other_labels_than_types_is_not_compared(folder, loaded, types):
    tuned = langcell.load(folder, device="cpu")
    tuned.config.fine_tuning = {"task": "text", "reference": types}
    expected, _ = similarities(cells(), loaded, reference=types)
    np.testing.assert_array_equal(similarities(cells(), tuned)[0], expected)


def test_genes_that_few_reference_cells_have_are_said_and_change_nothing(loaded, caplog):
    sums = np.asarray(tiny_counts(60, seed=99).astype(bool).sum(axis=0)).ravel()[:40]
    data = cells([int(sums.argmin())], n_cells=30)
    assert sums.min() < 50
    got, _ = similarities(data, loaded)
    assert "reference cells: cells are named without these" in caplog.text
    np.testing.assert_array_equal(got, similarities(data, loaded, reference=False)[0])
    langcell.annotate(data, NAMES, model=loaded, progress=False)
    assert data.uns["langcell"]["reference_cells"] == 0


def test_the_pipeline_too_goes_without_cells_that_lack_the_genes(folder):
    pipe = pipeline("zero-shot-cell-annotation", model=str(folder), device="cpu")
    # One gene, which some reference cells have not: less than all are left, here none at all.
    pipe.processor.feature_extractor.reference_cells = reference_without("GENE1")
    data = cells([0], n_cells=30)
    labels = {label.name: label.text for label in LABELS}
    with_them, without = pipe(data, candidate_labels=labels), pipe(data, candidate_labels=labels, reference=False)
    assert with_them == without


def reference_without(symbol):
    """The tiny reference cells without a gene."""
    cells, gene = tiny_reference(), tiny_vocabulary().symbols.index(symbol) + 2
    lists = [cell[cell != gene] for cell in np.split(cells.token_ids, cells.offsets[1:-1])]
    return replace(cells, token_ids=np.concatenate(lists), offsets=np.cumsum([0, *map(len, lists)]))


def test_stored_embeddings_stand_for_those_that_would_be_found(loaded, folder):
    found, _ = similarities(cells(PANEL), loaded)
    cells_of_all = loaded.processor.feature_extractor.reference_cells
    with_them = langcell.load(folder, device="cpu")
    stored = cells_of_all.with_embeds(known_reference(loaded), loaded.model)
    with_them.processor.feature_extractor.reference_cells = stored
    read, _ = similarities(cells(PANEL), with_them)
    np.testing.assert_allclose(read, found, atol=1e-4)
    # They are read: others give other similarities, and other weights find their own again.
    wrong = stored.with_embeds(stored.embeds[::-1].copy(), loaded.model)
    with_them.processor.feature_extractor.reference_cells = wrong
    assert np.abs(similarities(cells(PANEL), with_them)[0] - found).max() > 0.1
    with torch.no_grad():
        with_them.model.text_projection.weight += 0.01
    ours = langcell.load(folder, device="cpu")
    with torch.no_grad():
        ours.model.text_projection.weight += 0.01
    expected, _ = similarities(cells(PANEL), ours)
    np.testing.assert_allclose(similarities(cells(PANEL), with_them)[0], expected, atol=1e-4)


def test_a_saved_folder_keeps_them_and_a_missing_file_is_said(folder, loaded, tmp_path):
    loaded.processor.save_pretrained(tmp_path)
    assert (tmp_path / "reference_cells.npz").read_bytes() == (folder / "reference_cells.npz").read_bytes()
    loaded.model.save_pretrained(tmp_path)
    (tmp_path / "reference_cells.npz").unlink()
    with pytest.raises(ValueError, match="reference_cells") as caught:
        langcell.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_calibration_of_similarities_as_they_are_is_refused(loaded, folder, tmp_path):
    cells().write_h5ad(tmp_path / "cells.h5ad")
    facts = {"labels": NAMES, "alpha": loaded.config.alpha}
    fitted = {"calibration_format": 2, "temperature": 1.0, "threshold": 0.5, "fitted_with": facts}
    (tmp_path / "calibration.json").write_text(json.dumps(fitted))
    arguments = ["annotate", str(tmp_path / "cells.h5ad"), "-o", str(tmp_path / "out.h5ad"), "--model", str(folder)]
    labels = ["--labels", ",".join(NAMES), "--unknown", str(tmp_path / "calibration.json")]
    refused = CliRunner().invoke(app, [*arguments, *labels])
    assert refused.exit_code == 2
    assert "reference_cells 0, but here it is 60" in refused.output
    assert CliRunner().invoke(app, [*arguments, *labels, "--no-reference"]).exit_code == 0
