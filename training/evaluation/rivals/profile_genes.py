"""Mean expression profiles of known types, and the cells of a file in the genes that both have.

Values are log1p of counts per 10,000, n_counts over all genes of the cell, and likewise of the profiles. Genes are
joined by Ensembl id or symbol; of several columns of one gene, those of the cells are summed, of those of the profiles
the first is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from langcell.processing.cells.anndata_io import CellSource, open_cells
from langcell.processing.genes import GeneVocabulary, strip_version

COUNTS = 10_000


@dataclass(frozen=True, eq=False)
class ReferenceProfiles:
    """Mean expression of known types.

    Attributes:
        expression: counts per 10,000, shape (profiles, genes).
        genes: what the columns are called; the medians are not used.
        type_ids: ontology id of each profile.
    """

    expression: sparse.csr_matrix
    genes: GeneVocabulary
    type_ids: list[str]


def types_of_profiles(profiles: ReferenceProfiles, type_ids: list[str | None]) -> np.ndarray:
    """Return the place of each profile's type among the candidates, int64, shape (profiles,); -1 for other types.

    >>> types_of_profiles(ReferenceProfiles(None, None, ["CL:2", "CL:1", "CL:3"]), ["CL:1", None, "CL:2"]).tolist()
    [2, 0, -1]
    """
    codes = {type_id: code for code, type_id in enumerate(type_ids) if type_id is not None}
    return np.array([codes.get(type_id, -1) for type_id in profiles.type_ids])


def best_codes(scores: np.ndarray) -> np.ndarray:
    """Return the best column of each row, int64; the number of columns for a row that is NaN throughout.

    >>> best_codes(np.array([[0.1, np.nan, 0.4], [np.nan, np.nan, np.nan]])).tolist()
    [2, 3]
    """
    scored = ~np.isnan(scores).all(axis=1)
    return np.where(scored, np.nan_to_num(scores, nan=-np.inf).argmax(axis=1), scores.shape[1])


def read_profiles(path: str | Path, *, id_column: str = "ensembl_id", type_column: str = "cl_id") -> ReferenceProfiles:
    """Read linear mean expression from an h5ad file with symbols as var_names.

    Args:
        path: the file.
        id_column: column of var with Ensembl ids; genes without one are left out.
        type_column: column of obs with the ontology id of each profile.

    Raises:
        ValueError: a column is missing, or a value is negative or not finite.
    """
    with open_cells(path, x_is="linear", gene_column=id_column) as source:
        gene_ids = np.array([strip_version(name) for name in source.gene_names])
        if type_column not in source.obs.columns:
            raise ValueError(f"{path}: unknown column {type_column!r}; obs has {list(map(str, source.obs.columns))}")
        type_ids = source.obs[type_column].astype(str).tolist()
        expression = sparse.csr_matrix(sparse.vstack([chunk.counts for chunk in source.chunks()]), dtype=np.float64)
    with open_cells(path, x_is="linear") as source:
        symbols = np.array(source.gene_names)
    n_counts = np.asarray(expression.sum(axis=1)).ravel()
    expression = sparse.csr_matrix(sparse.diags_array(COUNTS / np.where(n_counts > 0, n_counts, 1.0)) @ expression)
    _, first = np.unique(gene_ids, return_index=True)
    kept = np.sort(first[gene_ids[first] != ""])
    genes = GeneVocabulary(gene_ids[kept].tolist(), np.ones(len(kept)), symbols[kept].tolist())
    return ReferenceProfiles(sparse.csr_matrix(expression[:, kept]), genes, type_ids)


class LogCells:
    """The chosen cells as log1p of counts per 10,000 on the genes of the profiles, chunk by chunk, again and again.

    Args:
        source: the opened data.
        profiles: mean profiles whose genes are read.
        cells: bool, shape (cells of the file,); those to read, all when None.
        rows_per_chunk: cells held in memory at once.

    Raises:
        ValueError: no gene in common.
    """

    def __init__(
        self, source: CellSource, profiles: ReferenceProfiles, cells: np.ndarray | None, *, rows_per_chunk: int = 2000
    ) -> None:
        merge = _merge_matrix(source, profiles)
        self._kept = np.ones(source.n_cells, dtype=bool) if cells is None else cells
        self._source, self._merge, self._rows = source, merge, rows_per_chunk
        self._is_shared = merge.getnnz(axis=0) > 0
        self.n_shared_genes = int(self._is_shared.sum())

    def __iter__(self) -> Iterator[sparse.csr_matrix]:
        for chunk in self._source.chunks(self._rows):
            n_rows = len(chunk.counts.indptr) - 1
            kept = self._kept[chunk.start : chunk.start + n_rows]
            if kept.any():
                counts = chunk.counts[kept].astype(np.float64)
                n_counts = np.asarray(counts.sum(axis=1)).ravel()
                scale = sparse.diags_array(COUNTS / np.where(n_counts > 0, n_counts, 1.0))
                values = sparse.csr_matrix(scale @ counts @ self._merge)
                values.data = np.log1p(values.data)
                yield values

    def most_variable(self, n_genes: int) -> np.ndarray:
        """Return the genes of the profiles by falling variance over the cells, at most `n_genes`; ties by lower
        number."""
        n_cells = int(self._kept.sum())
        total, squares = np.zeros(len(self._is_shared)), np.zeros(len(self._is_shared))
        for values in self:
            total += np.asarray(values.sum(axis=0)).ravel()
            squares += np.asarray(values.multiply(values).sum(axis=0)).ravel()
        variance = squares / n_cells - (total / n_cells) ** 2
        order = np.argsort(-np.where(self._is_shared, variance, -np.inf), kind="stable")
        return order[: min(n_genes, self.n_shared_genes)]


def _merge_matrix(source: CellSource, profiles: ReferenceProfiles) -> sparse.csr_matrix:
    """Shape (genes of the cells, genes of the profiles), one where they are the same gene."""
    try:
        gene = source.find_genes(profiles.genes).index
    except ValueError as error:
        raise ValueError(
            "The cells and the profiles have no gene in common, or next to none; name the gene column (--gene-column)."
        ) from error
    columns = np.flatnonzero(gene >= 0)
    shape = (len(gene), len(profiles.genes))
    return sparse.csr_matrix((np.ones(len(columns)), (columns, gene[columns])), shape=shape)
