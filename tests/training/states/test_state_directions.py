import anndata as ad
import numpy as np
import pandas as pd
import pytest

import langcell
from langcell.loading.load import load
from langcell.processing.reference_cells import ReferenceCells
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.training.states.state_directions import (
    LENGTH,
    fit_state_directions,
    in_state,
    main,
    state_genes,
)


@pytest.fixture(scope="module")
def loaded():
    return load(device="cpu")


@pytest.fixture(scope="module")
def profiles(loaded):
    """Four types with 40 genes of their own each, among 400 known genes."""
    vocabulary = loaded.processor.feature_extractor.vocabulary
    rng = np.random.default_rng(0)
    expression = rng.gamma(0.3, size=(4, 400))
    for row in range(4):
        expression[row, 40 * row : 40 * (row + 1)] += 5
    obs = pd.DataFrame({"cl_id": ["CL:0000236", "CL:0000084", "CL:0000057", "CL:0000097"]}, index=list("abcd"))
    obs = obs.assign(tissue_clean="blood", study="one", profile_scale="linear")
    return CellProfiles.from_matrix(
        expression, obs, gene_ids=list(vocabulary.gene_ids[:400]), symbols=[f"G{gene}" for gene in range(400)]
    )


def test_cells_move_along_the_direction_of_their_state(loaded, profiles):
    genes = {"odd": {f"G{gene}" for gene in range(300, 330)}, "other": {f"G{gene}" for gene in range(350, 380)}}
    directions = fit_state_directions(loaded, profiles, genes=genes, n_cells=300, seed=1)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), LENGTH, rtol=1e-5)
    again = fit_state_directions(loaded, profiles, genes=genes, n_cells=300, seed=1)
    np.testing.assert_array_equal(directions, again)
    raised = in_state(profiles, genes["odd"], state="odd", rng=np.random.default_rng(5))
    plain, moved = (_embed(loaded, some) for some in (profiles, raised))
    along = (moved - plain) @ directions.T
    assert along[:, 0].mean() > 0.01
    assert along[:, 0].mean() > along[:, 1].mean(), "the direction of another state says less"


def _embed(loaded, profiles):
    counts = np.round(profiles.fractions * 20_000).astype(np.float32)
    adata = ad.AnnData(counts, var=pd.DataFrame(index=profiles.gene_ids))
    langcell.embed(adata, model=loaded, progress=False)
    return adata.obsm["X_langcell"]


def test_profiles_without_the_genes_of_a_state_are_refused(loaded, profiles, tmp_path, capsys):
    with pytest.raises(ValueError, match="none of the 1 genes of the state 'odd'"):
        fit_state_directions(loaded, profiles, genes={"odd": {"NOGENE"}}, n_cells=50)
    assert main([str(tmp_path / "none"), "--profiles", str(tmp_path / "none.h5ad")]) == 2
    assert "error: " in capsys.readouterr().err


def test_the_bundled_folder_has_every_state_of_the_table(loaded):
    cells = loaded.processor.feature_extractor.reference_cells
    assert cells.states == tuple(state_genes())
    np.testing.assert_allclose(np.linalg.norm(cells.state_directions, axis=1), LENGTH, rtol=2e-3)


def test_a_text_in_a_state_moves_and_the_rest_stays(loaded):
    texts = ["cell type: b cell; ", "cell type: b cell; state: cycling; ", "cell type: t cell; "]
    embeds = langcell.embed_texts(texts, model=loaded)
    alone = langcell.embed_texts([texts[0], texts[2]], model=loaded)
    np.testing.assert_allclose(embeds[[0, 2]], alone, atol=1e-6)
    cells = loaded.processor.feature_extractor.reference_cells
    moved = embeds[0] + cells.state_directions[cells.states.index("cycling")]
    np.testing.assert_allclose(embeds[1], moved / np.linalg.norm(moved), atol=1e-6)


def test_states_of_other_weights_are_words_and_this_is_told(loaded, monkeypatch, caplog):
    monkeypatch.setattr(ReferenceCells, "known_by", lambda self, model: None)
    texts = ["cell type: b cell; state: cycling; ", "cell type: b cell; "]
    with caplog.at_level("WARNING"):
        embeds = langcell.embed_texts(texts, model=loaded)
    assert abs(1 - embeds[0] @ embeds[1]) > 1e-3
    assert "States in texts are read as words" in caplog.text


def test_interferon_is_told_from_control_by_text_and_types_stay(loaded, real_data):
    """Kang et al. 2018: 2,000 PBMC with and without interferon beta, in no training of types or of states."""
    adata = ad.read_h5ad(real_data("data/kang_pbmc_2000.h5ad"))[::4].copy()
    stimulated = (adata.obs["condition"].astype(str) == "IFNB").to_numpy()
    types = ["CD14+ monocyte", "CD16+ monocyte", "CD4 T", "CD8 T", "NK cell", "B cell", "dendritic cell"]
    both = types + [f"IFN-stimulated {name}" for name in types]
    names = {}
    for labels in (types, both):
        langcell.annotate(adata, labels=labels, model=loaded, refine="none", progress=False)
        names[len(labels)] = adata.obs["langcell_label"].astype(str)
    told = names[14].str.startswith("IFN-stimulated").to_numpy()
    assert (told == stimulated).mean() >= 0.75
    same = names[14].str.removeprefix("IFN-stimulated ") == names[7]
    assert same.mean() >= 0.9
