"""Further mean profiles join the reference cells of a folder; weights, states and older cells stay."""

import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from some_reference import reference_of

import langcell
from langcell.loading.load import bundled_model_folder
from langcell.processing.reference_cells import REFERENCE_FILE
from langcell.training.langcell_mini import REFERENCE_LENGTH
from langcell.training.more_reference import main


@pytest.fixture
def folder(tmp_path):
    """The bundled model with the reference cells of its first five types."""
    folder = shutil.copytree(bundled_model_folder(), tmp_path / "model", symlinks=False)
    cells = langcell.load(folder, device="cpu").processor.feature_extractor.reference_cells
    reference_of(cells, cells.types[:5]).save(folder / REFERENCE_FILE)
    return folder


@pytest.fixture
def profiles(tmp_path):
    vocabulary = langcell.load(device="cpu").processor.feature_extractor.vocabulary
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"cl_id": ["CL:0000700", "CL:0000236"], "tissue": ["brain", "blood"]}, index=["a", "b"])
    obs = obs.assign(study="one", label_original=["DA", "B"])
    adata = ad.AnnData(rng.gamma(0.3, size=(2, 400)).astype(np.float32), obs=obs)
    adata.var["ensembl_id"], adata.var["in_langcell_vocab"] = vocabulary.gene_ids[:400], "True"
    adata.write_h5ad(path := tmp_path / "profiles.h5ad")
    return path


def test_profiles_of_a_tissue_are_added(folder, profiles):
    before = langcell.load(folder, device="cpu").processor.feature_extractor.reference_cells
    assert main([str(folder), str(profiles), "--tissues", "brain"]) == 0
    loaded = langcell.load(folder, device="cpu")
    after = loaded.processor.feature_extractor.reference_cells
    assert len(after) == len(before) + 1
    assert after.names[-1] == "one|brain|DA"
    assert after.types[after.text_of[-1]] == "CL:0000700"
    assert after.states == before.states
    assert after.known_by(loaded.model) is not None, "stored for the same weights"
    np.testing.assert_allclose(after.embeds[: len(before)], before.embeds, atol=2e-3)
    assert max(np.diff(after.offsets)) <= REFERENCE_LENGTH
    for name in ("processor_config.json", "preprocessor_config.json"):
        assert f'"reference_cells": {len(after)}' in (folder / name).read_text()


def test_a_tissue_without_profiles_is_refused(folder, profiles, capsys):
    assert main([str(folder), str(profiles), "--tissues", "lung"]) == 2
    assert "No profile is of 'lung'; the tissues are: blood, brain." in capsys.readouterr().err
