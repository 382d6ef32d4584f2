"""Technical effects that the cells of one simulated experiment share."""

from dataclasses import dataclass

import numpy as np

from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.config import SimulationConfig

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
_OFFSET_PER_10K = np.float32(0.1)  # below this, differences between studies are mostly noise
_MAX_LOG_FOLD = 3.0


@dataclass(frozen=True, eq=False)
class Experiment:
    """How one experiment sees its cells.

    Attributes:
        gene_effect: float32, shape (genes,); factor on the mean of each gene.
        measured: int64; genes that are reported at all, ascending.
        is_panel: Whether these are a panel chosen beforehand.
        noise_cv: Coefficient of variation between cells, Poisson noise excluded.
        ambient: Share of the counts that come from the tissue.
        depth_median: Median counts a cell.
        depth_limits: Least and greatest counts a cell.
        value_factor: float32, shape (measured genes,); factor on the reported values, None for plain counts.
        log_decimals: Decimals of log1p values, None for values that were never logarithms.
    """

    gene_effect: np.ndarray
    measured: np.ndarray
    is_panel: bool
    noise_cv: float
    ambient: float
    depth_median: float
    depth_limits: tuple[float, float]
    value_factor: np.ndarray | None
    log_decimals: int | None


class ExperimentSampler:
    """Draws the technical effects of experiments.

    Args:
        config: Ranges and shares of the effects.
        profiles: Which genes vary, what they are called, and how studies of one type differ.
    """

    def __init__(self, config: SimulationConfig, profiles: CellProfiles) -> None:
        self._config = config
        self._profiles = profiles
        # A panel prefers genes in proportion to this.
        self._log_variability = np.log(np.log1p(profiles.fractions * 1e4).var(axis=0) + 1e-6)
        self._families = [
            np.flatnonzero([symbol.startswith(prefixes) for symbol in profiles.symbols]) for prefixes in GENE_FAMILIES
        ]
        cl_ids, studies = (profiles.obs[name].to_numpy(dtype=str) for name in ("cl_id", "study"))
        self._other_studies = np.argwhere((cl_ids[:, None] == cl_ids) & (studies[:, None] != studies))

    def draw(self, rng: np.random.Generator) -> Experiment:
        """Return one experiment; the same state of `rng` gives the same effects."""
        config = self._config
        is_full_length = rng.random() < config.full_length_share
        is_panel = not is_full_length and rng.random() < config.panel_share
        is_log = rng.random() < config.log_share
        measured = self._draw_measured(rng, is_panel=is_panel)
        limits = config.full_length_depth if is_full_length else config.depth_limits
        if is_full_length:
            depth = np.exp(rng.uniform(*np.log(limits)))
        else:
            depth = config.depth_median * np.exp(config.depth_experiment_sd * rng.standard_normal())
        effect = self._draw_factors(config.gene_effect_sd, rng)
        if rng.random() < config.borrowed_share and len(self._other_studies):
            effect *= self._borrow_difference(rng)
        return Experiment(
            gene_effect=effect,
            measured=measured,
            is_panel=is_panel,
            noise_cv=rng.uniform(*config.noise_cv),
            ambient=rng.uniform(*config.ambient),
            depth_median=depth,
            depth_limits=limits,
            value_factor=self._draw_factors(config.full_length_effect_sd, rng)[measured] if is_full_length else None,
            log_decimals=int(rng.integers(*config.log_decimals, endpoint=True)) if is_log else None,
        )

    def _draw_factors(self, sd: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
        """float32, (genes,); log-normal factors whose spread is drawn from `sd`."""
        return np.exp(np.float32(rng.uniform(*sd)) * rng.standard_normal(len(self._log_variability), dtype=np.float32))

    def _borrow_difference(self, rng: np.random.Generator) -> np.ndarray:
        """float32, (genes,); the fold change between two studies of one cell type, to a power."""
        pair = self._other_studies[rng.integers(len(self._other_studies))]
        here, there = np.log(self._profiles.fractions[pair] * 1e4 + _OFFSET_PER_10K)
        difference = np.clip(there - here, -_MAX_LOG_FOLD, _MAX_LOG_FOLD)
        return np.exp(np.float32(rng.uniform(*self._config.borrowed_strength)) * difference)

    def _draw_measured(self, rng: np.random.Generator, *, is_panel: bool) -> np.ndarray:
        measured = rng.random(len(self._log_variability)) >= rng.uniform(*self._config.missing_genes)
        for family in self._families:
            if rng.random() < self._config.missing_family_share:
                measured[family] = False
        if not is_panel:
            return np.flatnonzero(measured)
        # Weighted sampling without replacement: the largest log weights after Gumbel noise.
        keys = self._log_variability + rng.gumbel(size=len(measured))
        size = min(round(np.exp(rng.uniform(*np.log(self._config.panel_genes)))), len(keys))
        panel = np.sort(np.argpartition(-keys, size - 1)[:size])
        return panel[measured[panel]]
