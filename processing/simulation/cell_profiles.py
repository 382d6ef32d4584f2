"""Mean expression profiles: what a typical cell of each study, tissue and cell type expresses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from langcell.processing.cells.anndata_io import open_cells
from langcell.processing.genes import strip_version

_NEEDED_COLUMNS = ("cl_id", "tissue_clean", "study", "profile_scale")


@dataclass(frozen=True, eq=False)
class CellProfiles:
    """Mean expression of cell types, one row a profile, one column a gene.

    Attributes:
        fractions: float32, shape (profiles, genes); share of the cell's counts that falls on each gene, rows sum to 1.
        gene_ids: Ensembl ids, unique.
        symbols: Symbol of each gene, "" where unknown.
        synonyms: Other names of each gene, may be empty.
        in_vocabulary: bool, shape (genes,); whether a gene vocabulary should know the gene (protein-coding, miRNA).
        obs: One row a profile, with at least `cl_id`, `tissue_clean`, `study` and `profile_scale`.
    """

    fractions: np.ndarray
    gene_ids: list[str]
    symbols: list[str]
    synonyms: list[tuple[str, ...]]
    in_vocabulary: np.ndarray
    obs: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [name for name in _NEEDED_COLUMNS if name not in self.obs.columns]
        if missing:
            raise ValueError(f"The profiles have no obs column {missing[0]!r}; needed are {list(_NEEDED_COLUMNS)}.")
        if self.fractions.shape != (len(self.obs), len(self.gene_ids)):
            raise ValueError(
                f"fractions has shape {self.fractions.shape}, but there are {len(self.obs)} profiles and "
                f"{len(self.gene_ids)} genes."
            )
        empty = np.flatnonzero(~(self.fractions.sum(axis=1) > 0))
        if empty.size:
            raise ValueError(f"Profile {self.obs.index[empty[0]]!r} has no gene with an Ensembl id; leave it out.")

    def __len__(self) -> int:
        return len(self.obs)

    def types_by_tissue(self) -> dict[str, list[str]]:
        """Return the Cell Ontology ids that each tissue has profiles of, sorted; tissues by name."""
        by_tissue = self.obs.groupby(self.obs["tissue_clean"].astype(str))["cl_id"]
        return {str(tissue): sorted(set(types.astype(str))) for tissue, types in sorted(by_tissue)}

    @classmethod
    def from_matrix(
        cls,
        expression: sparse.csr_matrix | np.ndarray,
        obs: pd.DataFrame,
        *,
        gene_ids: list[str],
        symbols: list[str],
        in_vocabulary: np.ndarray | None = None,
    ) -> "CellProfiles":
        """Build profiles from linear expression (any scale), shape (profiles, columns).

        Columns without an Ensembl id are dropped. Columns that share one (a gene under an old and a new symbol) are
        summed; the name with most profiles becomes the symbol, the others its synonyms.

        >>> obs = pd.DataFrame(dict.fromkeys(["cl_id", "tissue_clean", "study", "profile_scale"], ["x"]), index=["p"])
        >>> profiles = CellProfiles.from_matrix(
        ...     np.array([[1.0, 4.0, 1.0, 2.0]]), obs, gene_ids=["ENSG2", "", "ENSG1", "ENSG2"], symbols=list("ABCD")
        ... )
        >>> profiles.gene_ids, profiles.fractions.tolist()
        (['ENSG1', 'ENSG2'], [[0.25, 0.75]])
        """
        columns = sparse.csc_matrix(expression, dtype=np.float64)
        known = np.ones(len(gene_ids), dtype=bool) if in_vocabulary is None else np.asarray(in_vocabulary, dtype=bool)
        plain_ids = np.array([strip_version(gene_id) for gene_id in gene_ids])
        unique_ids, gene_of_column = np.unique(plain_ids, return_inverse=True)
        shape = (len(plain_ids), len(unique_ids))
        merge = sparse.csc_matrix((np.ones(shape[0]), (np.arange(shape[0]), gene_of_column)), shape=shape)
        kept = np.flatnonzero(unique_ids != "")
        merged = sparse.csc_matrix(columns @ merge).toarray()[:, kept]
        names: list[list[str]] = [[] for _ in unique_ids]
        for column in np.argsort(-columns.getnnz(axis=0), kind="stable"):
            if symbols[column] and symbols[column] not in names[gene_of_column[column]]:
                names[gene_of_column[column]].append(symbols[column])
        with np.errstate(invalid="ignore"):  # an empty row becomes NaN and is named by __post_init__
            fractions = (merged / merged.sum(axis=1, keepdims=True)).astype(np.float32)
        return cls(
            fractions=fractions,
            gene_ids=unique_ids[kept].tolist(),
            symbols=[names[i][0] if names[i] else "" for i in kept],
            synonyms=[tuple(names[i][1:]) for i in kept],
            in_vocabulary=np.asarray(merge.T @ known > 0)[kept],
            obs=obs,
        )

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        id_column: str = "ensembl_id",
        vocabulary_column: str | None = "in_langcell_vocab",
    ) -> "CellProfiles":
        """Read profiles from an h5ad file: linear values in X, symbols as var_names, Ensembl ids in a column.

        Args:
            path: The file.
            id_column: Column of the gene table with the Ensembl ids.
            vocabulary_column: Column that is True for the genes of `in_vocabulary`; None takes all.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: A column is missing, or a value is negative or not finite.
        """

        def gene_column(name: str | None) -> list[str]:
            with open_cells(path, x_is="linear", gene_column=name) as source:
                return source.gene_names

        with open_cells(path, x_is="linear") as source:
            expression = sparse.csr_matrix(sparse.vstack([chunk.counts for chunk in source.chunks()]))
            obs = source.obs.astype(str)
            symbols = source.gene_names
        obs = _with_usual_columns(obs)
        known = None if vocabulary_column is None else np.array(gene_column(vocabulary_column)) == "True"
        return cls.from_matrix(expression, obs, gene_ids=gene_column(id_column), symbols=symbols, in_vocabulary=known)


def _with_usual_columns(obs: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the profiles with the tissue under its usual name, and "linear" where no scale is said."""
    if "tissue_clean" not in obs and "tissue" in obs:
        obs = obs.assign(tissue_clean=obs["tissue"])
    return obs if "profile_scale" in obs else obs.assign(profile_scale="linear")
