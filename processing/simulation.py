"""Cells drawn from mean expression profiles, with the technical differences that real experiments have."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy import sparse

from .cell_profiles import CellProfiles
from .count_sampling import sample_counts

# Genes that references often lack as a family: filtered on purpose, not annotated, or not captured.
GENE_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("RPL", "RPS"),
    ("HLA-",),
    ("MALAT1", "NEAT1", "XIST"),
    ("IGH", "IGK", "IGL"),
    ("TRAC", "TRBC", "TRAV", "TRBV", "TRDC", "TRGC"),
    ("HBA", "HBB", "HBG"),
    ("HSPA", "DNAJ", "FOS", "JUN"),
)
_MAX_FRUITLESS_EXPERIMENTS = 100


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """How simulated cells differ from the mean profile of their type.

    Cells come in experiments: blocks that share their technical effects, so that these effects tell nothing about the
    type. Pairs are (low, high) of a uniform draw per experiment; sd are of natural logarithms. An augmentation is off
    at share 0, or at (0, 0).

    Attributes:
        type_power: A type with n profiles is drawn with weight n ** type_power; 0 draws all types equally often.
        estimated_profile_weight: Weight of a profile whose `profile_scale` is not "linear" among those of its type.
        blend_share: Share of cells that mix in a second profile of the same type.
        blend_max: Largest weight of that second profile, drawn uniformly from 0.
        experiment_cells: Smallest and largest number of cells in an experiment.
        gene_effect_sd: Spread of the factor that each gene is over- or under-detected by (technology).
        noise_cv: Cell-to-cell coefficient of variation around the mean (gamma), Poisson noise excluded.
        ambient: Share of counts that come from the mean of the cell's tissue.
        depth_median: Median counts a cell over all experiments.
        depth_experiment_sd: Spread of the depth between experiments.
        depth_cell_sd: Spread of the depth between the cells of an experiment.
        depth_limits: Least and greatest counts a cell.
        panel_share: Share of experiments that measure a panel of genes only.
        panel_genes: Smallest and largest panel, log-uniform; genes that vary between profiles are preferred.
        panel_min_counts: Depth is raised until a cell has this many counts expected in the panel.
        missing_genes: Share of single genes that the experiment lacks.
        missing_family_share: Probability that the experiment lacks a family of `GENE_FAMILIES`.
        full_length_share: Share of experiments with TPM-like values: deep, gene effects wider, values not whole.
        full_length_effect_sd: Spread of the additional gene factor in them.
        full_length_depth: Depth of their cells.
        log_share: Share of experiments whose values went through log1p of counts per 10k and rounding.
        log_decimals: Fewest and most decimals kept there.
        min_genes: Cells with fewer expressed genes are drawn again.
    """

    type_power: float = 0.0
    estimated_profile_weight: float = 0.5
    blend_share: float = 0.3
    blend_max: float = 0.5
    experiment_cells: tuple[int, int] = (64, 256)
    gene_effect_sd: tuple[float, float] = (0.3, 0.8)
    noise_cv: tuple[float, float] = (0.2, 1.0)
    ambient: tuple[float, float] = (0.0, 0.1)
    depth_median: float = 3_000.0
    depth_experiment_sd: float = 0.8
    depth_cell_sd: float = 0.4
    depth_limits: tuple[float, float] = (300.0, 50_000.0)
    panel_share: float = 0.25
    panel_genes: tuple[int, int] = (200, 5_000)
    panel_min_counts: float = 150.0
    missing_genes: tuple[float, float] = (0.0, 0.2)
    missing_family_share: float = 0.15
    full_length_share: float = 0.1
    full_length_effect_sd: tuple[float, float] = (0.5, 1.0)
    full_length_depth: tuple[float, float] = (20_000.0, 100_000.0)
    log_share: float = 0.15
    log_decimals: tuple[int, int] = (1, 3)
    min_genes: int = 10

    def __post_init__(self) -> None:
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            low, high = value if isinstance(value, tuple | list) else (value, value)
            if not 0 <= low <= high < np.inf:
                raise ValueError(f"{name} is {value}; it must be non-negative and finite, and a pair (low, high).")
            if (name.endswith("_share") or name in ("ambient", "blend_max", "missing_genes")) and high > 1:
                raise ValueError(f"{name} is {value}; a share lies between 0 and 1.")
            if (
                name in ("experiment_cells", "depth_median", "depth_limits", "panel_genes", "full_length_depth")
                and low <= 0
            ):
                raise ValueError(f"{name} is {value}; it must be above 0.")

    @classmethod
    def plain(cls, **changes: object) -> "SimulationConfig":
        """Every augmentation off: sampling noise, moderate overdispersion and depth alone.

        >>> SimulationConfig.plain(depth_cell_sd=0.0).panel_share
        0.0
        """
        off: dict[str, object] = {
            "blend_share": 0.0,
            "gene_effect_sd": (0.0, 0.0),
            "noise_cv": (0.5, 0.5),
            "ambient": (0.0, 0.0),
            "panel_share": 0.0,
            "missing_genes": (0.0, 0.0),
            "missing_family_share": 0.0,
            "full_length_share": 0.0,
            "log_share": 0.0,
        }
        return cls(**{**off, **changes})  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, eq=False)
class SimulatedCells:
    """Cells as an experiment would report them.

    Attributes:
        counts: csr float32, shape (cells, genes); genes in the order of the profiles. Linear scale; whole numbers except
            in full-length and log experiments.
        profile: int64, shape (cells,); the row of the profiles that each cell was drawn from.
        experiment: int64, shape (cells,); number of the experiment, cells of one lie together.
    """

    counts: sparse.csr_matrix
    profile: np.ndarray
    experiment: np.ndarray

    def __len__(self) -> int:
        return len(self.profile)


@dataclass(frozen=True, eq=False)
class _Experiment:
    """The technical effects that the cells of an experiment share."""

    gene_effect: np.ndarray  # float32, (genes,); factor on the mean
    measured: np.ndarray  # int64; genes that are reported at all
    is_panel: bool
    noise_cv: float
    ambient: float
    depth_median: float
    depth_limits: tuple[float, float]
    value_factor: np.ndarray | None  # float32, (measured,); gene factor on the reported value, for full-length values
    log_decimals: int | None


class CellSimulator:
    """Draws cells from mean expression profiles.

    Args:
        profiles: The profiles.
        config: What the cells go through.

    >>> import pandas as pd
    >>> obs = pd.DataFrame({"cl_id": ["CL:0000084", "CL:0000236"], "tissue_clean": "blood", "study": "s",
    ...                     "profile_scale": "linear"})
    >>> profiles = CellProfiles.from_matrix(np.array([[9.0, 1], [1, 9]]), obs, gene_ids=["ENSG1", "ENSG2"], symbols=["A", "B"])
    >>> simulator = CellSimulator(profiles, SimulationConfig.plain(min_genes=1))
    >>> simulator.draw(5, np.random.default_rng(0)).counts.shape
    (5, 2)
    """

    def __init__(self, profiles: CellProfiles, config: SimulationConfig | None = None) -> None:
        self.profiles = profiles
        self.config = config if config is not None else SimulationConfig()
        tissues, self._tissue = np.unique(profiles.obs["tissue_clean"].to_numpy(dtype=str), return_inverse=True)
        tissue_means = np.stack([profiles.fractions[self._tissue == t].mean(axis=0) for t in range(len(tissues))])
        # A cell is a convex combination of these rows: profiles first, then the ambient mean of each tissue.
        self._sources = np.concatenate([profiles.fractions, tissue_means])
        self._profile_weights = self._weigh_profiles()
        self._same_type = profiles.obs.groupby("cl_id", sort=True).indices
        self._type_of_profile = profiles.obs["cl_id"].to_numpy(dtype=str)
        self._log_variance = np.log1p(profiles.fractions * 1e4).var(axis=0) + 1e-6
        self._families = [
            np.flatnonzero([symbol.startswith(prefixes) for symbol in profiles.symbols]) for prefixes in GENE_FAMILIES
        ]

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
        counts, profile, experiment, drawn = [], [], [], 0
        for number, (block, block_profile) in enumerate(self._experiments(rng)):
            block, block_profile = block[: n_cells - drawn], block_profile[: n_cells - drawn]
            counts.append(block)
            profile.append(block_profile)
            experiment.append(np.full(len(block_profile), number))
            drawn += len(block_profile)
            if drawn == n_cells:
                break
        return SimulatedCells(
            sparse.csr_matrix(sparse.vstack(counts, format="csr")), np.concatenate(profile), np.concatenate(experiment)
        )

    def _experiments(self, rng: np.random.Generator) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Counts and profiles of one experiment after another, without cells of too few genes."""
        fruitless = 0
        while fruitless < _MAX_FRUITLESS_EXPERIMENTS:
            profile = rng.choice(
                len(self.profiles),
                size=rng.integers(*self.config.experiment_cells, endpoint=True),
                p=self._profile_weights,
            )
            counts = self._run_experiment(profile, self._draw_experiment(rng), rng)
            kept = np.flatnonzero(np.diff(counts.indptr) >= self.config.min_genes)
            fruitless = 0 if kept.size else fruitless + 1
            if kept.size:
                yield (counts[kept] if len(kept) < len(profile) else counts), profile[kept]
        raise ValueError(
            f"{fruitless} experiments in a row gave no cell with min_genes = {self.config.min_genes} expressed genes; "
            "lower min_genes, or use deeper cells and larger panels."
        )

    def _weigh_profiles(self) -> np.ndarray:
        obs, config = self.profiles.obs, self.config
        weight = np.where(obs["profile_scale"].to_numpy(dtype=str) == "linear", 1.0, config.estimated_profile_weight)
        if not weight.any():  # only estimated profiles, and these are switched off
            raise ValueError("No profile has a positive weight; raise estimated_profile_weight above 0.")
        _, type_number, n_profiles = np.unique(
            obs["cl_id"].to_numpy(dtype=str), return_inverse=True, return_counts=True
        )
        type_weight = np.bincount(type_number, weights=weight)
        weight *= (n_profiles**config.type_power / np.where(type_weight > 0, type_weight, 1))[type_number]
        return weight / weight.sum()

    def _draw_experiment(self, rng: np.random.Generator) -> _Experiment:
        config, n_genes = self.config, len(self.profiles.gene_ids)
        is_full_length = rng.random() < config.full_length_share
        is_panel = not is_full_length and rng.random() < config.panel_share
        measured = rng.random(n_genes) >= rng.uniform(*config.missing_genes)
        for family in self._families:
            if rng.random() < config.missing_family_share:
                measured[family] = False
        if is_panel:
            measured &= self._draw_panel(rng)
        effect = np.exp(rng.uniform(*config.gene_effect_sd) * rng.standard_normal(n_genes, dtype=np.float32))
        length_effect = np.exp(
            rng.uniform(*config.full_length_effect_sd) * rng.standard_normal(n_genes, dtype=np.float32)
        )
        depth = config.depth_median * np.exp(config.depth_experiment_sd * rng.standard_normal())
        deep_low, deep_high = np.log(config.full_length_depth)
        measured_genes = np.flatnonzero(measured)
        return _Experiment(
            gene_effect=effect.astype(np.float32),
            measured=measured_genes,
            is_panel=is_panel,
            noise_cv=rng.uniform(*config.noise_cv),
            ambient=rng.uniform(*config.ambient),
            depth_median=np.exp(rng.uniform(deep_low, deep_high)) if is_full_length else depth,
            depth_limits=config.full_length_depth if is_full_length else config.depth_limits,
            value_factor=length_effect.astype(np.float32)[measured_genes] if is_full_length else None,
            log_decimals=int(rng.integers(*config.log_decimals, endpoint=True))
            if rng.random() < config.log_share
            else None,
        )

    def _draw_panel(self, rng: np.random.Generator) -> np.ndarray:
        """bool, (genes,): a sample without replacement, weighted by the variance between profiles (Gumbel top-k)."""
        low, high = np.log(self.config.panel_genes)
        size = min(round(np.exp(rng.uniform(low, high))), len(self._log_variance))
        keys = np.log(self._log_variance) + rng.gumbel(size=len(self._log_variance))
        panel = np.zeros(len(keys), dtype=bool)
        panel[np.argpartition(-keys, size - 1)[:size]] = True
        return panel

    def _run_experiment(
        self, profile: np.ndarray, experiment: _Experiment, rng: np.random.Generator
    ) -> sparse.csr_matrix:
        rates = self._expected_counts(profile, experiment, rng)
        counts = sample_counts(rates, cv=experiment.noise_cv, rng=rng)
        if experiment.value_factor is not None:
            counts.data *= experiment.value_factor[counts.indices]
        if experiment.log_decimals is not None:
            counts = _round_log(counts, experiment.log_decimals)
        indices = experiment.measured[counts.indices]
        return sparse.csr_matrix(
            (counts.data, indices.astype(np.int32), counts.indptr), shape=(len(profile), len(self.profiles.gene_ids))
        )

    def _expected_counts(self, profile: np.ndarray, experiment: _Experiment, rng: np.random.Generator) -> np.ndarray:
        """float32, shape (cells, measured genes)."""
        config, n_cells = self.config, len(profile)
        blend = np.where(rng.random(n_cells) < config.blend_share, rng.uniform(0, config.blend_max, n_cells), 0.0)
        partner = np.array([rng.choice(self._same_type[self._type_of_profile[p]]) for p in profile])
        ambient = np.full(n_cells, experiment.ambient)
        own = 1 - ambient
        weights = np.stack([own * (1 - blend), own * blend, ambient], axis=1).astype(np.float32)
        columns = np.stack([profile, partner, len(self.profiles) + self._tissue[profile]], axis=1)
        mixing = sparse.csr_matrix(
            (weights.ravel(), columns.ravel(), np.arange(0, 3 * n_cells + 1, 3)), shape=(n_cells, len(self._sources))
        )
        mixture = mixing @ self._sources
        depth = experiment.depth_median * np.exp(config.depth_cell_sd * rng.standard_normal(n_cells))
        depth = np.clip(depth, *experiment.depth_limits)
        scale = depth / (mixture @ experiment.gene_effect)
        rates = np.take(mixture, experiment.measured, axis=1)
        rates *= experiment.gene_effect[experiment.measured]
        if experiment.is_panel:
            expected = scale * rates.sum(axis=1)
            scale *= np.maximum(1.0, config.panel_min_counts / np.maximum(expected, 1e-3))
        rates *= scale[:, None].astype(np.float32)
        return rates


def _round_log(counts: sparse.csr_matrix, decimals: int) -> sparse.csr_matrix:
    """What is left of counts that were stored as log1p of counts per 10k with few decimals, back on the linear scale."""
    totals = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()
    per_10k = counts.data * np.repeat(1e4 / np.maximum(totals, 1e-9), np.diff(counts.indptr)).astype(np.float32)
    rounded = sparse.csr_matrix(
        (np.expm1(np.round(np.log1p(per_10k), decimals)), counts.indices, counts.indptr), shape=counts.shape
    )
    rounded.eliminate_zeros()
    return rounded
