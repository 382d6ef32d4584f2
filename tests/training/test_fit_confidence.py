"""The calibrations of a confidence are fitted to sets that count alike, and stand in the model's configuration."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import langcell
from langcell.inference.refinement.confidence import Calibration, NameConfidence
from langcell.sample_data import sample_cells
from langcell.training.fit_confidence import NamedForm, calibration_error, fit, named_forms, write_confidence


def _form(name: str, right: float, *, n_cells: int = 2000, seed: int = 0) -> NamedForm:
    """A set of which this share of the names with an agreement of 0.9 is right."""
    rng = np.random.default_rng(seed)
    agreement = rng.uniform(0.5, 1.0, n_cells)
    truth = (rng.random(n_cells) > right + (agreement - 0.9) / 2).astype(int)
    both = np.stack([agreement, 1 - agreement], axis=1)
    return NamedForm(name, 3 * both, both, both, truth)


@pytest.mark.parametrize("kind", ["refined", "alone"])
def test_a_calibration_holds_on_a_set_of_the_same_kind(kind):
    calibration = fit([_form("one", 0.8), _form("two", 0.8, seed=1)], kind)
    assert calibration_error(_form("three", 0.8, seed=2), calibration, kind) < 0.05
    assert calibration_error(_form("three", 0.5, seed=2), calibration, kind) > 0.2


def test_a_set_of_many_forms_and_cells_counts_as_one():
    small, large = _form("small", 0.6, n_cells=500), _form("large", 0.9, n_cells=4000)
    once, often = fit([small, large], "refined"), fit([small, large, large, large], "refined")
    assert often.slope == pytest.approx(once.slope, rel=0.02)
    assert calibration_error(small, once, "refined") == pytest.approx(0.15, abs=0.05)


def test_what_is_written_is_what_names_are_told_by(tmp_path):
    (tmp_path / "config.json").write_text('{"alpha": 1.0, "confidence": {"alone": [1, 1], "refined": [1, 1]}}')
    write_confidence(tmp_path, {"refined": Calibration(0.711, 0.19), "alone": Calibration(0.9, 0.6)}, 6)
    config = json.loads((tmp_path / "config.json").read_text())
    found = NameConfidence.of(SimpleNamespace(**config))
    assert found is not None
    assert (found.of_refined, found.of_alone) == (Calibration(0.71, 0.19), Calibration(0.9, 0.6))
    assert config["alpha"] == 1.0
    assert "6 real sets" in config["confidence"]["source"]


def test_each_set_is_named_with_its_own_types_and_with_twenty_more():
    cells = sample_cells()[:120].copy()
    cells = cells[cells.obs["bulk_labels"].isin(["CD14+ Monocyte", "Dendritic", "CD19+ B"])].copy()
    terms = {"CD14+ Monocyte": "CL:0001054", "Dendritic": "CL:0000451", "CD19+ B": "CL:0000236"}
    cells.obs["cl_id"] = [terms[name] for name in cells.obs["bulk_labels"]]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("langcell.inference.scored_cells.LEAST_CELLS", 30)
        patched.setattr("langcell.inference.refinement.placing.LEAST_CELLS", 30)
        own, more = named_forms(langcell.load(device="cpu"), [("sample", cells)])
    assert (own.similarity.shape[1], more.similarity.shape[1]) == (3, 23)
    assert len(own.truth) == cells.n_obs
    assert own.right("refined").mean() > 0.8
    assert own.right("alone").mean() > 0.7
    np.testing.assert_allclose(more.agreement.sum(axis=1), 1, rtol=1e-5)
