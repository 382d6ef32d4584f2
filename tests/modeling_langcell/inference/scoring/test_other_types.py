"""A cell that is nearer to another type of the training than to every candidate fits none of them."""

import numpy as np
import pytest
import torch

import langcell
from langcell.inference.scoring.other_types import LEAST_TYPES, margin, other_types
from langcell.processing.labels.resolve import Label, resolve_labels
from langcell.sample_data import sample_cells

FAR = ["CL:0000182"] * LEAST_TYPES  # hepatocytes
T_CELLS = [Label("T cell", "T cell", "CL:0000084")]


def test_types_above_and_below_a_candidate_are_no_others():
    types = ["CL:0000084", "CL:0000815", "CL:0000542", "CL:0000236", *FAR]  # T cell, Treg, lymphocyte, B cell
    assert other_types(T_CELLS, types).tolist() == list(range(3, len(types)))


@pytest.mark.parametrize(
    ("labels", "types"),
    [
        pytest.param(T_CELLS, FAR[1:], id="too_few_types"),
        pytest.param([*T_CELLS, Label("my cells", "my cells")], FAR, id="a_label_that_is_no_term"),
        pytest.param([*T_CELLS, Label("old", "old", "CL:9999999")], FAR, id="a_term_that_is_not_known"),
        pytest.param(T_CELLS, (), id="reference_cells_without_types"),
    ],
)
def test_where_others_cannot_be_told_there_are_none(labels, types):
    assert len(other_types(labels, types)) == 0


def test_the_margin_falls_as_another_type_gains():
    similarity = torch.tensor([[5.0, 1.0, 0.0, 0.0], [5.0, 1.0, 9.0, 0.0]])
    found = margin(similarity, 2)
    assert found[0] > 4
    assert found[1] < -3


def test_cells_far_from_all_labels_are_said_to_fit_none():
    cells = sample_cells()[::3].copy()
    few = ["pancreatic A cell", "type B pancreatic cell", "hepatocyte"]
    langcell.annotate(cells, few, progress=False, rerank="none", device="cpu")
    own = sample_cells()[::3].copy()
    right = ["monocyte", "dendritic cell", "T cell", "B cell", "natural killer cell", "hematopoietic stem cell"]
    langcell.annotate(own, resolve_labels(right), progress=False, rerank="none", device="cpu")
    assert cells.uns["langcell"]["cells_that_fit_no_label"] > 0.95 * cells.n_obs
    assert own.uns["langcell"]["cells_that_fit_no_label"] < 0.1 * own.n_obs
    assert np.median(own.obs["langcell_novelty"]) < 0.3
