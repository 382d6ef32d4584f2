"""Cells drawn from mean expression profiles, with the technical differences that real experiments have.

A cell is its profile, at times blended with another of the same type, plus a little of its tissue; its experiment
multiplies genes by factors, leaves genes out, and counts what is left with gamma-Poisson noise at a log-normal depth.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.config import SimulationConfig
from langcell.processing.simulation.count_sampling import sample_counts
from langcell.processing.simulation.experiments import GENE_FAMILIES, Experiment, ExperimentSampler

__all__ = ["GENE_FAMILIES", "CellSimulator", "SimulatedCells", "SimulationConfig"]

_MAX_FRUITLESS_EXPERIMENTS = 100


@dataclass(frozen=True, eq=False)
class SimulatedCells:
    """Cells as an experiment would report them.

    Attributes:
        counts: csr float32, shape (cells, genes); genes in the order of the profiles. Linear scale; whole numbers
            except in full-length and log experiments.
        profile: int64, shape (cells,); the row of the profiles that each cell was drawn from.
        experiment: int64, shape (cells,); number of the experiment, cells of one lie together.
    """

    counts: sparse.csr_matrix
    profile: np.ndarray
    experiment: np.ndarray

    def __len__(self) -> int:
        return len(self.profile)


class CellSimulator:
    """Draws cells from mean expression profiles.

    Args:
        profiles: The profiles.
        config: What the cells go through.

    Raises:
        ValueError: No profile has a positive weight.

    >>> import pandas as pd
    >>> obs = pd.DataFrame({"cl_id": ["CL:0000084", "CL:0000236"], "tissue_clean": "blood"})
    >>> obs = obs.assign(study="s", profile_scale="linear")
    >>> profiles = CellProfiles.from_matrix(
    ...     np.array([[9.0, 1.0], [1.0, 9.0]]), obs, gene_ids=["ENSG1", "ENSG2"], symbols=["A", "B"]
    ... )
    >>> simulator = CellSimulator(profiles, SimulationConfig.plain(min_genes=1))
    >>> simulator.draw(5, np.random.default_rng(0)).counts.shape
    (5, 2)
    """

    def __init__(self, profiles: CellProfiles, config: SimulationConfig | None = None) -> None:
        self.profiles = profiles
        self.config = config if config is not None else SimulationConfig()
        self._experiment_sampler = ExperimentSampler(self.config, profiles)
        self._weights = self._weigh_profiles()
        cl_ids = profiles.obs["cl_id"].to_numpy(dtype=str)
        # Whom a profile may be blended with; a weight of 0 excludes here too.
        usable = self._weights > 0
        self._partners = [np.flatnonzero((cl_ids == cl_id) & usable) for cl_id in cl_ids]
        tissues, self._tissue = np.unique(profiles.obs["tissue_clean"].to_numpy(dtype=str), return_inverse=True)
        means = [profiles.fractions[self._tissue == tissue].mean(axis=0) for tissue in range(len(tissues))]
        # A cell is a convex combination of these rows: profiles first, then the ambient mean of each tissue.
        self._sources = np.concatenate([profiles.fractions, np.stack(means)])

    def draw(self, n_cells: int, rng: np.random.Generator) -> SimulatedCells:
        """Draw cells, experiment after experiment; the last experiment may be cut short.

        Args:
            n_cells: Number of cells, at least 1.
            rng: Source of randomness; the same state gives the same cells.

        Raises:
            ValueError: `n_cells` is below 1, or experiments keep giving cells with fewer than `min_genes` genes.
        """
        if n_cells < 1:
            raise ValueError(f"n_cells is {n_cells}; draw at least 1 cell.")
        counts, profile, missing = [], [], n_cells
        experiments = self._run_experiments(rng)
        while missing > 0:
            block, block_profile = next(experiments)
            counts.append(block[:missing])
            profile.append(block_profile[:missing])
            missing -= len(profile[-1])
        number = np.repeat(np.arange(len(profile)), [len(block) for block in profile])
        return SimulatedCells(sparse.csr_matrix(sparse.vstack(counts)), np.concatenate(profile), number)

    def _weigh_profiles(self) -> np.ndarray:
        """Probability of each profile: first of its type, then of the profile within the type."""
        obs, config = self.profiles.obs, self.config
        is_linear = obs["profile_scale"].to_numpy(dtype=str) == "linear"
        weight = np.where(is_linear, 1.0, config.estimated_profile_weight)
        if not weight.any():
            raise ValueError("No profile has a positive weight; raise estimated_profile_weight above 0.")
        cl_ids = obs["cl_id"].to_numpy(dtype=str)
        _, type_number, n_profiles = np.unique(cl_ids, return_inverse=True, return_counts=True)
        sum_of_type = np.bincount(type_number, weights=weight)
        weight *= (n_profiles**config.type_power / np.where(sum_of_type > 0, sum_of_type, 1))[type_number]
        return weight / weight.sum()

    def _run_experiments(self, rng: np.random.Generator) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Counts and profiles of one experiment after another, without cells of too few genes."""
        fruitless = 0
        while fruitless < _MAX_FRUITLESS_EXPERIMENTS:
            size = rng.integers(*self.config.experiment_cells, endpoint=True)
            profile = rng.choice(len(self.profiles), size=size, p=self._weights)
            counts = self._measure(profile, self._experiment_sampler.draw(rng), rng)
            kept = np.flatnonzero(np.diff(counts.indptr) >= self.config.min_genes)
            fruitless = 0 if kept.size else fruitless + 1
            if kept.size:
                yield (counts if len(kept) == size else counts[kept]), profile[kept]
        raise ValueError(
            f"{fruitless} experiments in a row gave no cell with min_genes = {self.config.min_genes} expressed genes; "
            "lower min_genes, or use deeper cells and larger panels."
        )

    def _measure(self, profile: np.ndarray, experiment: Experiment, rng: np.random.Generator) -> sparse.csr_matrix:
        rates = self._expected_counts(self._mix(profile, experiment.ambient, rng), experiment, rng)
        counts = sample_counts(rates, cv=experiment.noise_cv, rng=rng)
        if experiment.value_factor is not None:
            counts.data *= experiment.value_factor[counts.indices]
        if experiment.log_decimals is not None:
            counts = _round_log(counts, experiment.log_decimals)
        genes = experiment.measured[counts.indices].astype(np.int32)
        shape = (len(profile), len(self.profiles.gene_ids))
        return sparse.csr_matrix((counts.data, genes, counts.indptr), shape=shape)

    def _mix(self, profile: np.ndarray, ambient: float, rng: np.random.Generator) -> np.ndarray:
        """float32, shape (cells, genes); profile, partner of the same type and tissue in each cell's proportions."""
        config, n_cells = self.config, len(profile)
        blend = np.where(rng.random(n_cells) < config.blend_share, rng.uniform(0, config.blend_max, n_cells), 0.0)
        pick = rng.random(n_cells)
        partner = [self._partners[p][int(x * len(self._partners[p]))] for p, x in zip(profile, pick, strict=True)]
        weights = np.stack([(1 - ambient) * (1 - blend), (1 - ambient) * blend, np.full(n_cells, ambient)], axis=1)
        rows = np.stack([profile, partner, len(self.profiles) + self._tissue[profile]], axis=1)
        proportions = (weights.astype(np.float32).ravel(), rows.ravel(), np.arange(0, 3 * n_cells + 1, 3))
        return sparse.csr_matrix(proportions, shape=(n_cells, len(self._sources))) @ self._sources

    def _expected_counts(self, mixture: np.ndarray, experiment: Experiment, rng: np.random.Generator) -> np.ndarray:
        """float32, shape (cells, measured genes); the depth is that of all genes, before some are left out."""
        depth = experiment.depth_median * np.exp(self.config.depth_cell_sd * rng.standard_normal(len(mixture)))
        scale = np.clip(depth, *experiment.depth_limits) / (mixture @ experiment.gene_effect)
        rates = np.take(mixture, experiment.measured, axis=1)
        rates *= experiment.gene_effect[experiment.measured]
        if experiment.is_panel:
            expected = scale * rates.sum(axis=1)
            scale *= np.maximum(1.0, self.config.panel_min_counts / np.maximum(expected, 1e-3))
        rates *= scale[:, None].astype(np.float32)
        return rates


def _round_log(counts: sparse.csr_matrix, decimals: int) -> sparse.csr_matrix:
    """What is left of counts that went through log1p of counts per 10k and rounding, on the linear scale again."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    per_10k = counts.data * np.repeat(1e4 / np.maximum(totals, 1e-9), np.diff(counts.indptr))
    values = np.expm1(np.round(np.log1p(per_10k), decimals)).astype(np.float32)
    rounded = sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    rounded.eliminate_zeros()
    return rounded
