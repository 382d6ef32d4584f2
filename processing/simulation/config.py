"""What simulated cells go through: parameters of the simulator, with units and defaults."""

from dataclasses import dataclass, fields

import numpy as np

_POSITIVE = ("experiment_cells", "depth_median", "depth_limits", "panel_genes", "full_length_depth")


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
        borrowed_share: Share of experiments that also show the difference between two studies of one type: gene effects
            as they really come together.
        borrowed_strength: Power of that difference, 1 for all of it.
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
    borrowed_share: float = 0.5
    borrowed_strength: tuple[float, float] = (0.2, 0.8)
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
            if name in _POSITIVE and low <= 0:
                raise ValueError(f"{name} is {value}; it must be above 0.")

    @classmethod
    def plain(cls, **changes: object) -> "SimulationConfig":
        """Return a configuration with every augmentation off: sampling noise, moderate overdispersion and depth alone.

        >>> SimulationConfig.plain(depth_cell_sd=0.0).panel_share
        0.0
        """
        off: dict[str, object] = {
            "blend_share": 0.0,
            "gene_effect_sd": (0.0, 0.0),
            "borrowed_share": 0.0,
            "noise_cv": (0.5, 0.5),
            "ambient": (0.0, 0.0),
            "panel_share": 0.0,
            "missing_genes": (0.0, 0.0),
            "missing_family_share": 0.0,
            "full_length_share": 0.0,
            "log_share": 0.0,
        }
        return cls(**{**off, **changes})  # pyright: ignore[reportArgumentType]
