import anndata
import numpy as np
import pandas as pd
import pytest
import tiny
import tiny_evaluation

import langcell
from langcell.inference.scored_cells import score_data
from langcell.processing.labels.resolve import resolve_labels

LABELS = resolve_labels(list(tiny_evaluation.TYPES))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tiny.save_tiny_folder(tmp_path_factory.mktemp("model") / "langcell-tiny", reference=True)
    return langcell.load(folder, device="cpu")


def cells(n_copies):
    """Thirty-six cells of three types, drawn so many times; the first has no known gene."""
    counts = np.concatenate([tiny_evaluation.type_counts(seed=seed)[0].toarray() for seed in range(n_copies)])
    counts[0, : tiny.N_GENES] = 0
    counts[0, tiny.N_GENES] = 3
    return anndata.AnnData(counts, var=pd.DataFrame(index=tiny.tiny_gene_names()))


def test_scores_are_refined_as_annotate_refines(loaded):
    scored = score_data(cells(4), LABELS, loaded=loaded, progress=False)
    named = cells(4)
    langcell.annotate(named, LABELS, model=loaded, progress=False)
    codes = named.obs["langcell_label"].cat.codes.to_numpy()
    assert (scored.refined.argmax(axis=1) == codes)[1:].all()
    assert not scored.refined[0].any()  # no known gene
    np.testing.assert_allclose(scored.refined[1:].sum(axis=1), 1, rtol=1e-5)
    assert len(scored.places) == 144
    assert scored.why_alone == ""


def test_scores_say_why_each_cell_stands_alone(loaded):
    small = score_data(cells(1), LABELS, loaded=loaded, progress=False)
    assert small.refined is None
    assert small.why_alone == "the file has 36 cells, and cells name each other from 100 on"
    assert score_data(cells(4), LABELS, loaded=loaded, refine=False, progress=False).why_alone == "it was not asked for"
    assert score_data(cells(4), LABELS[:1], loaded=loaded, progress=False).why_alone == "there is one label alone"


def test_without_reference_cells_the_refinement_is_not_that_of_others(loaded):
    plain = score_data(cells(4), LABELS, loaded=loaded, progress=False).without_reference()
    assert plain.refined is None
    assert "reference cells" in plain.why_alone


def test_without_the_match_similarities_and_refinement_are_the_same(loaded):
    whole = score_data(cells(4), LABELS, loaded=loaded, progress=False)
    similar = score_data(cells(4), LABELS, loaded=loaded, match=False, progress=False)
    assert np.isnan(similar.match).all()
    np.testing.assert_array_equal(similar.similarity, whole.similarity)
    np.testing.assert_array_equal(similar.refined, whole.refined)
