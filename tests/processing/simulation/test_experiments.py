import numpy as np
import pandas as pd
import pytest

from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.config import SimulationConfig
from langcell.processing.simulation.experiments import Experiment, ExperimentSampler

N_GENES = 1_000


@pytest.fixture(scope="module")
def profiles() -> CellProfiles:
    """Two studies of one type; the second half of the genes hardly varies."""
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(0, np.where(np.arange(N_GENES) < 500, 1.5, 0.05), (4, N_GENES)))
    obs = pd.DataFrame({"cl_id": ["CL:1", "CL:1", "CL:2", "CL:3"], "study": list("abab")})
    obs = obs.assign(tissue_clean="blood", profile_scale="linear")
    ids = [f"ENSG{i:011d}" for i in range(N_GENES)]
    return CellProfiles.from_matrix(values, obs, gene_ids=ids, symbols=["HLA-A", "HLA-B", *ids[2:]])


def draw(profiles: CellProfiles, seed: int = 0, **changes) -> Experiment:
    return ExperimentSampler(SimulationConfig.plain(**changes), profiles).draw(np.random.default_rng(seed))


def test_plain_experiments_change_nothing(profiles):
    experiment = draw(profiles)
    np.testing.assert_array_equal(experiment.gene_effect, 1)
    np.testing.assert_array_equal(experiment.measured, np.arange(N_GENES))
    assert (experiment.ambient, experiment.value_factor, experiment.log_decimals) == (0, None, None)


def test_gene_effects_have_the_spread_asked_for(profiles):
    effect = draw(profiles, gene_effect_sd=(0.6, 0.6)).gene_effect
    assert effect.dtype == np.float32
    assert np.log(effect).std() == pytest.approx(0.6, rel=0.1)


def test_panels_prefer_genes_that_vary(profiles):
    panel = draw(profiles, panel_share=1.0, panel_genes=(200, 200)).measured
    assert len(panel) == 200
    assert np.all(np.diff(panel) > 0)
    assert np.mean(panel < 500) > 0.9


def test_families_are_left_out_of_panels_too(profiles):
    for seed in range(5):
        changes = {"panel_share": 1.0, "panel_genes": (1_000, 1_000), "missing_family_share": 1.0}
        assert draw(profiles, seed, **changes).measured.tolist() == list(range(2, N_GENES))


def test_borrowed_difference_is_that_of_two_studies_of_one_type(profiles):
    changes = {"borrowed_share": 1.0, "borrowed_strength": (1.0, 1.0)}
    log_effect = np.log(draw(profiles, **changes).gene_effect)
    between = np.log(profiles.fractions[1] / profiles.fractions[0])
    assert abs(np.corrcoef(log_effect, between)[0, 1]) > 0.95


def test_no_second_study_to_borrow_from(profiles):
    alone = CellProfiles(**{**vars(profiles), "obs": profiles.obs.assign(study="a")})
    np.testing.assert_array_equal(draw(alone, borrowed_share=1.0).gene_effect, 1)


def test_full_length_is_deep_and_never_a_panel(profiles):
    for seed in range(10):
        experiment = draw(profiles, seed, full_length_share=1.0, panel_share=1.0)
        assert not experiment.is_panel
        assert 20_000 <= experiment.depth_median <= 100_000
        assert experiment.value_factor is not None
        assert len(experiment.value_factor) == len(experiment.measured)


def test_same_seed_same_experiment(profiles):
    config = {"gene_effect_sd": (0.3, 0.8), "panel_share": 0.5, "missing_genes": (0.0, 0.2)}
    first, again = draw(profiles, 3, **config), draw(profiles, 3, **config)
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name))
