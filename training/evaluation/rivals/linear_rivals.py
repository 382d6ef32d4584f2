"""The plain rivals of naming by text: what marker genes say, and a linear model of simulated cells.

Both know of the types what the nearest profile knows: mean expression profiles, and no cell of the file with a label.

- **Marker genes**: of each type the `N_MARKERS` genes by which its mean profile (log1p of counts per 10,000) exceeds
  that of every other candidate most. A cell's score is the mean of the markers' values, each relative to mean and
  standard deviation of the gene over the cells of the file.
- **Logistic regression**: cells are simulated from the profiles of the candidates (`processing.simulation`), at the
  depth of the file and in its genes: `CELLS_PER_TYPE` of each type. A multinomial regression is fitted to their log1p
  values, every gene relative to mean and standard deviation over the simulated cells. Genes of the file's cells are
  taken relative to the file's own, which removes much of what its technique does to single genes.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.simulation.cell_profiles import CellProfiles
from langcell.processing.simulation.simulator import CellSimulator, SimulationConfig
from langcell.training.evaluation.rivals.profile_genes import COUNTS, LogCells, ReferenceProfiles, types_of_profiles

N_MARKERS = 25
CELLS_PER_TYPE = 200
_LEAST_SD = 1e-6
_MOST_DEVIATIONS = 10.0
_INVERSE_PENALTY = 0.01
_MAX_ITERATIONS = 300


class LinearRivals:
    """The cells of a file in the genes of the profiles, for both methods.

    Args:
        data: h5ad file, zarr folder, or AnnData.
        profiles: profiles of known types.
        type_ids: ontology id of each candidate type; None for a type that has none.
        genes: columns of the profiles to read.
        cells: bool, shape (cells of the file,); the cells to name.
        source_options: x_is, gene_column and layer of `open_cells`.

    Attributes:
        types: codes of the types that have a profile, rising.
    """

    def __init__(
        self,
        data: str | Path | AnnData,
        profiles: ReferenceProfiles,
        type_ids: list[str | None],
        *,
        genes: np.ndarray,
        cells: np.ndarray,
        **source_options: Any,
    ) -> None:
        type_of_profile = types_of_profiles(profiles, type_ids)
        candidates = np.flatnonzero(type_of_profile >= 0)
        self._n_types = len(type_ids)
        self._type_of_profile = type_of_profile[candidates]
        self.types = np.unique(self._type_of_profile)
        self._symbols = [str(profiles.genes.symbols[gene]) for gene in genes]
        self._profiles = np.asarray(profiles.expression[candidates][:, genes].todense())
        with open_cells(data, **source_options) as source:
            blocks = [block[:, genes] for block in LogCells(source, profiles, cells)]
        self._cells = sparse.csr_matrix(sparse.vstack(blocks), dtype=np.float64)

    def marker_scores(self) -> np.ndarray:
        """Return what the markers of each type say of each cell, float64, shape (cells, types); NaN as `likeness`."""
        means = self._mean_profiles()
        deviations = self._standardised(self._cells)
        found = self._nothing()
        for row, code in enumerate(self.types):
            above = means[row] - np.delete(means, row, axis=0).max(axis=0)
            markers = np.argsort(-above, kind="stable")[:N_MARKERS]
            found[:, code] = deviations[:, markers].mean(axis=1)
        return found

    def regression_scores(self, *, seed: int) -> np.ndarray:
        """Return the regression's linear predictor, float64, shape (cells, types); NaN as `likeness`.

        Args:
            seed: random seed of the simulated cells.
        """
        counts, codes = self._simulated(seed)
        regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MAX_ITERATIONS)
        regression.fit(self._standardised(_log_within(counts)), codes)
        cells = sparse.csr_matrix(self._cells, copy=True)
        cells.data = np.expm1(cells.data)
        said = regression.decision_function(self._standardised(_log_within(cells)))
        found = self._nothing()
        found[:, regression.classes_] = said if said.ndim == 2 else np.stack([-said / 2, said / 2], axis=1)
        return found

    def _nothing(self) -> np.ndarray:
        return np.full((len(self._cells.indptr) - 1, self._n_types), np.nan)

    def _mean_profiles(self) -> np.ndarray:
        """Of each type in `types`, shape (types, genes); log1p of counts per 10,000."""
        values = np.log1p(self._profiles)
        return np.stack([values[self._type_of_profile == code].mean(axis=0) for code in self.types])

    def _simulated(self, seed: int) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Counts of simulated cells, and the type of each."""
        usable = self._profiles.sum(axis=1) > 0
        codes = self._type_of_profile[usable]
        fractions = self._profiles[usable] / self._profiles[usable].sum(axis=1, keepdims=True)
        obs = pd.DataFrame({"cl_id": [str(code) for code in codes], "profile_scale": "linear"})
        obs = obs.assign(tissue_clean="any", study=[str(row) for row in range(len(codes))])
        n_genes = fractions.shape[1]
        profiles = CellProfiles(
            fractions=fractions.astype(np.float32),
            gene_ids=[str(gene) for gene in range(n_genes)],
            symbols=self._symbols,
            synonyms=[()] * n_genes,
            in_vocabulary=np.ones(n_genes, dtype=bool),
            obs=obs,
        )
        config = SimulationConfig(
            panel_share=0.0,
            full_length_share=0.0,
            log_share=0.0,
            missing_family_share=0.0,
            missing_genes=(0.0, 0.0),
            depth_median=self._median_depth(),
            depth_limits=(1.0, 1e6),
            min_genes=1,
        )
        cells = CellSimulator(profiles, config).draw(CELLS_PER_TYPE * len(self.types), np.random.default_rng(seed))
        return cells.counts, codes[cells.profile]

    def _median_depth(self) -> float:
        """Counts of a cell in these genes as far as its values tell: the least value of a cell is one count."""
        starts = self._cells.indptr
        blocks = [np.expm1(self._cells.data[a:b]) for a, b in pairwise(starts) if b > a]
        return float(np.median([values.sum() / values.min() for values in blocks])) if blocks else 1.0

    @staticmethod
    def _standardised(values: sparse.csr_matrix) -> np.ndarray:
        """Each gene less its mean over its standard deviation, shape (cells, genes); a gene that is constant is 0."""
        dense = values.toarray()
        sd = dense.std(axis=0)
        relative = (dense - dense.mean(axis=0)) / np.where(sd > _LEAST_SD, sd, np.inf)
        return np.clip(relative, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)


def _log_within(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log1p of counts per 10,000 of these genes."""
    sums = np.asarray(counts.sum(axis=1)).ravel()
    values = sparse.csr_matrix(sparse.diags_array(COUNTS / np.where(sums > 0, sums, 1.0)) @ counts, dtype=np.float64)
    values.data = np.log1p(values.data)
    return values
