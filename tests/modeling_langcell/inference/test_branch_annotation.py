"""Labels that lie above one another in `langcell.annotate`: branches, lists, levels, and proposals."""

import logging

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tiny import save_tiny_folder, tiny_config
from tiny_groups import SMALL, grouped_cells

import langcell
from langcell.loading.load import load

LISTED = ["lymphocyte", "B cell", "naive B cell", "monocyte"]
TYPES = ["CL:0000236", "CL:0000542", "CL:0000576", "CL:0000788"]
LEVELS = ["langcell_label_broad", "langcell_label_medium", "langcell_label_fine"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    config = tiny_config(training_cell_types=TYPES, tissue_cell_types={"blood": TYPES, "lung": TYPES[1:3]})
    folder = save_tiny_folder(tmp_path_factory.mktemp("model") / "tiny", reference=True, config=config)
    return load(folder, device="cpu")


@pytest.mark.parametrize("refine", ["auto", "none"])
@pytest.mark.parametrize("hierarchy", ["branch", "list"])
def test_levels_are_written(loaded, refine, hierarchy):
    named = langcell.annotate(grouped_cells(), LISTED, model=loaded, refine=refine, hierarchy=hierarchy, **SMALL)
    assert set(LEVELS) <= set(named.obs)
    assert named.uns["langcell"]["hierarchy"] == hierarchy
    assert set(named.obs["langcell_label_fine"]) <= {"naive B cell", "monocyte", *named.obs["langcell_label"]}
    assert set(named.obs["langcell_label_broad"]) <= {"leukocyte"}


def test_labels_as_equals_are_as_before(loaded):
    plain = langcell.annotate(grouped_cells(), LISTED, model=loaded, hierarchy="none", **SMALL)
    assert not set(LEVELS) & set(plain.obs)
    assert "hierarchy" not in plain.uns["langcell"]


def test_flat_lists_have_no_levels(loaded):
    named = langcell.annotate(grouped_cells(), ["B cell", "monocyte", "mine"], model=loaded, **SMALL)
    assert not set(LEVELS) & set(named.obs)


def test_chunks_change_nothing_in_a_branch(loaded):
    one = langcell.annotate(grouped_cells(), model=loaded, tissue="blood", **SMALL)
    other = langcell.annotate(grouped_cells(), model=loaded, tissue="blood", **SMALL | {"rows_per_chunk": 150})
    for column in ("langcell_label", *LEVELS):
        assert_array_equal(one.obs[column], other.obs[column])


def test_without_labels_candidates_are_proposed_and_logged(loaded, caplog):
    with caplog.at_level(logging.INFO, logger="langcell"):
        named = langcell.annotate(grouped_cells(), model=loaded, **SMALL)
    assert named.uns["langcell"]["hierarchy"] == "branch"
    assert len(named.uns["langcell"]["labels"]) == len(TYPES)
    assert "all 4 types of the training" in caplog.text


def test_a_tissue_with_labels_is_context(loaded):
    named = langcell.annotate(grouped_cells(), ["HSC", "B cell"], model=loaded, tissue="liver", **SMALL)
    assert named.uns["langcell"]["label_ontology_term_ids"][0] == "CL:0000632"


def test_suggestions_are_accepted_from_python(loaded):
    how = {"model": loaded, "tissue": "pancreas", **SMALL}
    named = langcell.annotate(grouped_cells(), ["ductal", "B cell"], accept_suggestions=True, **how)
    assert named.uns["langcell"]["label_ontology_term_ids"][0] == "CL:0002079"


def test_an_unknown_tissue_is_refused(loaded):
    with pytest.raises(ValueError, match="No tissue 'moon' is known"):
        langcell.annotate(grouped_cells(), model=loaded, tissue="moon", **SMALL)


def test_cells_that_are_unknown_are_so_on_every_level(loaded):
    named = langcell.annotate(grouped_cells(), LISTED, model=loaded, unknown=1.0, refine="none", **SMALL)
    unknown = named.obs["langcell_label"] == "unknown"
    assert unknown.any()
    assert (named.obs.loc[unknown, LEVELS] == "unknown").to_numpy().all()


def test_known_cells_keep_an_inner_label(loaded):
    cells = grouped_cells()
    cells.obs["expert"] = np.where(np.arange(cells.n_obs) < 4, "lymphocyte", "")
    named = langcell.annotate(cells, model=loaded, tissue="blood", known_column="expert", **SMALL)
    assert (named.obs["langcell_label"][:4] == "lymphocyte").all()


def test_where_nobody_gave_labels_candidates_are_the_known_types_and_those_of_the_tissue(loaded):
    cells = grouped_cells()
    cells.obs["expert"] = np.where(np.arange(cells.n_obs) < 4, "B cell", "")
    cells.obs.loc[cells.obs_names[-4:], "expert"] = "Hepatocyte"
    known = langcell.annotate(cells.copy(), model=loaded, known_column="expert", **SMALL).uns["langcell"]
    assert known["label_ontology_term_ids"] == ["CL:0000236", "CL:0000182"]
    blood = langcell.annotate(cells.copy(), model=loaded, tissue="blood", known_column="expert", **SMALL)
    ids = list(blood.uns["langcell"]["label_ontology_term_ids"])
    assert ids.count("CL:0000236") == 1
    assert ids[-1] == "CL:0000182"
    assert (blood.obs["langcell_label"][-4:].astype(str).str.lower() == "hepatocyte").all()
