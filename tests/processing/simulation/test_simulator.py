import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.simulator import CellSimulator, SimulationConfig

N_GENES = 600
FIXED_DEPTH = {"depth_median": 5_000.0, "depth_experiment_sd": 0.0, "depth_cell_sd": 0.0}


@pytest.fixture(scope="module")
def profiles() -> CellProfiles:
    """Three types; the first has four profiles, one of them an estimate."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "cl_id": ["CL:1", "CL:1", "CL:1", "CL:1", "CL:2", "CL:3"],
            "tissue_clean": ["blood", "lung", "blood", "lung", "blood", "lung"],
            "study": list("abcdef"),
            "profile_scale": ["linear", "linear", "linear", "log2_cpm", "linear", "linear"],
        }
    )
    return CellProfiles.from_matrix(
        rng.lognormal(0, 1.5, (6, N_GENES)),
        obs,
        gene_ids=[f"ENSG{i:011d}" for i in range(N_GENES)],
        symbols=["RPL3", "RPS4", *(f"G{i}" for i in range(2, N_GENES))],
    )


def draw(profiles: CellProfiles, n_cells: int = 2_000, seed: int = 0, **changes):
    simulator = CellSimulator(profiles, SimulationConfig.plain(**changes))
    return simulator.draw(n_cells, np.random.default_rng(seed))


def test_same_seed_same_cells_and_another_seed_others(profiles):
    simulator = CellSimulator(profiles)
    first, again, other = (simulator.draw(300, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.counts != again.counts).nnz == 0
    np.testing.assert_array_equal(first.profile, again.profile)
    assert (first.counts != other.counts).nnz > 0


def test_plain_counts_are_whole_and_their_mean_is_the_profile(profiles):
    cells = draw(profiles, noise_cv=(0.3, 0.3), **FIXED_DEPTH)
    assert np.array_equal(cells.counts.data, np.round(cells.counts.data))
    mean = np.asarray(cells.counts[cells.profile == 4].mean(axis=0)).ravel()
    expected = profiles.fractions[4] * 5_000
    assert np.corrcoef(mean, expected)[0, 1] > 0.995
    assert mean.sum() == pytest.approx(5_000, rel=0.02)


def test_counts_are_sorted_csr_in_the_order_of_the_profiles(profiles):
    counts = CellSimulator(profiles).draw(500, np.random.default_rng(0)).counts
    assert counts.dtype == np.float32
    assert counts.shape == (500, N_GENES)
    assert counts.has_sorted_indices
    assert counts.data.min() > 0


@pytest.mark.parametrize(
    ("power", "share_of_first_type"),
    [pytest.param(0.0, 1 / 3, id="types_equally_often"), pytest.param(1.0, 4 / 6, id="by_number_of_profiles")],
)
def test_types_are_balanced(profiles, power, share_of_first_type):
    profile = draw(profiles, 6_000, type_power=power).profile
    assert np.mean(profile < 4) == pytest.approx(share_of_first_type, abs=0.03)


@pytest.mark.parametrize(("weight", "share"), [(0.0, 0.0), (0.5, 0.5 / 3.5), (1.0, 0.25)])
def test_estimated_profiles_are_drawn_less(profiles, weight, share):
    profile = draw(profiles, 9_000, estimated_profile_weight=weight).profile
    assert np.mean(profile[profile < 4] == 3) == pytest.approx(share, abs=0.03)


def test_depth_stays_within_its_limits(profiles):
    cells = draw(profiles, depth_median=1_000.0, depth_cell_sd=2.0, depth_limits=(300.0, 3_000.0), noise_cv=(0.0, 0.0))
    totals = np.asarray(cells.counts.sum(axis=1)).ravel()
    assert 300 - 5 * np.sqrt(300) < totals.min() < 400
    assert 2_700 < totals.max() < 3_000 + 5 * np.sqrt(3_000)


def test_cells_of_an_experiment_share_its_gene_effect(profiles):
    cells = draw(profiles, 4_000, gene_effect_sd=(0.8, 0.8), experiment_cells=(500, 500), **FIXED_DEPTH)
    ratios = []
    for experiment in (0, 1):
        for row in (4, 5):
            mean = cells.counts[(cells.experiment == experiment) & (cells.profile == row)].mean(axis=0)
            ratios.append(np.log((np.asarray(mean).ravel() + 0.1) / (profiles.fractions[row] * 5_000 + 0.1)))
    similarity = np.corrcoef(ratios)
    assert similarity[0, 1] > 0.7  # two types, one experiment
    assert abs(similarity[0, 2]) < 0.3  # one type, two experiments


def test_borrowed_differences_shift_the_whole_experiment(profiles):
    cells = draw(profiles, 1_000, borrowed_share=1.0, borrowed_strength=(1.0, 1.0), experiment_cells=(1_000, 1_000))
    mean = np.asarray(cells.counts[cells.profile == 5].mean(axis=0)).ravel()
    shift = np.log((mean / mean.sum() * 1e4 + 1) / (profiles.fractions[5] * 1e4 + 1))
    first_type = np.log(profiles.fractions[:4] * 1e4 + 1)
    similar = [np.corrcoef(shift, first_type[b] - first_type[a])[0, 1] for a in range(4) for b in range(4) if a != b]
    assert max(similar) > 0.75  # large differences are clipped


def test_blending_and_ambient_move_the_mean_towards_their_source(profiles):
    pure = draw(profiles, **FIXED_DEPTH)
    ambient = draw(profiles, ambient=(0.5, 0.5), **FIXED_DEPTH)
    blended = draw(profiles, blend_share=1.0, blend_max=1.0, **FIXED_DEPTH)

    def distance(cells, row, target):
        mean = np.asarray(cells.counts[cells.profile == row].mean(axis=0)).ravel() / 5_000
        return np.abs(mean - target).sum()

    blood = profiles.fractions[[0, 2, 4]].mean(axis=0)
    assert distance(ambient, 4, blood) < 0.7 * distance(pure, 4, blood)
    same_type = profiles.fractions[:4].mean(axis=0)
    assert distance(blended, 0, same_type) < 0.8 * distance(pure, 0, same_type)
    assert distance(blended, 4, profiles.fractions[4]) < 0.1  # no partner but itself


def test_a_panel_keeps_its_genes_only_and_raises_the_depth(profiles):
    cells = draw(profiles, panel_share=1.0, panel_genes=(20, 20), experiment_cells=(100, 100), panel_min_counts=400.0)
    for experiment in np.unique(cells.experiment):
        counts = cells.counts[cells.experiment == experiment]
        assert len(np.unique(counts.indices)) <= 20
    assert np.median(np.asarray(cells.counts.sum(axis=1))) > 200


def test_missing_genes_are_missing_in_the_whole_experiment(profiles):
    cells = draw(profiles, missing_genes=(0.5, 0.5), experiment_cells=(200, 200), **FIXED_DEPTH)
    found = [len(np.unique(cells.counts[cells.experiment == number].indices)) for number in range(3)]
    assert all(0.4 * N_GENES < n < 0.6 * N_GENES for n in found)


def test_missing_families_go_as_a_whole(profiles):
    counts = draw(profiles, missing_family_share=1.0).counts
    assert counts[:, :2].nnz == 0
    assert counts[:, 2:].nnz > 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"full_length_share": 1.0}, id="full_length"),
        pytest.param({"log_share": 1.0, "log_decimals": (2, 2)}, id="log_inverted"),
    ],
)
def test_values_that_are_no_counts(profiles, changes):
    data = draw(profiles, 300, **changes).counts.data
    assert np.mean(data == np.round(data)) < 0.5
    assert np.isfinite(data).all()


def test_log_values_keep_their_decimals(profiles):
    counts = draw(profiles, 300, log_share=1.0, log_decimals=(1, 1)).counts
    tenths = np.log1p(counts.data.astype(np.float64)) * 10
    np.testing.assert_allclose(tenths, np.round(tenths), atol=1e-4)


def test_every_cell_has_min_genes(profiles):
    cells = draw(profiles, 500, depth_median=30.0, depth_limits=(1.0, 1e4), min_genes=20)
    assert np.diff(cells.counts.indptr).min() >= 20


def test_impossible_min_genes_is_an_error_and_no_endless_loop(profiles):
    with pytest.raises(ValueError, match="min_genes = 601"):
        draw(profiles, 10, min_genes=N_GENES + 1, experiment_cells=(1, 2))


def test_no_cells_asked_for(profiles):
    with pytest.raises(ValueError, match="n_cells is 0"):
        draw(profiles, 0)


def test_only_estimated_profiles_switched_off(profiles):
    estimated = profiles.obs.assign(profile_scale="log2_cpm")
    only = CellProfiles(**{**vars(profiles), "obs": estimated})
    with pytest.raises(ValueError, match="estimated_profile_weight"):
        CellSimulator(only, SimulationConfig(estimated_profile_weight=0.0))


def test_real_profiles_are_recognised_better_when_deeper(real_data):
    profiles = CellProfiles.read(real_data("data/cell_profiles.h5ad"))
    reference = np.log1p(profiles.fractions * 1e4)
    genes = np.argsort(-reference.var(axis=0))[:2_000]
    accuracy = {}
    for depth in (300.0, 20_000.0):
        config = {**FIXED_DEPTH, "depth_median": depth}
        cells = draw(profiles, 300, noise_cv=(1.0, 1.0), **config)
        values = log_per_10k(cells.counts)[:, genes]
        nearest = (unit(values) @ unit(reference[:, genes]).T).argmax(axis=1)
        accuracy[depth] = np.mean(nearest == cells.profile)
    assert 0.5 < accuracy[300.0] < 0.95
    assert accuracy[20_000.0] > 0.97


def log_per_10k(counts: sparse.csr_matrix) -> np.ndarray:
    dense = counts.toarray()
    return np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1e4)


def unit(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)
