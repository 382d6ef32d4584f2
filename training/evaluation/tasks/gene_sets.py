"""Gene sets: a GMT file, its genes among those of a data set, and how active each set is in each cell."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from langcell.processing.genes import GeneVocabulary

_CONTROLS = 50


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Read gene sets: a line each, name, description and genes separated by tabs (the form of MSigDB).

    Raises:
        OSError: the file cannot be read.
        ValueError: a line has no gene, a name comes twice, or there is no set.
    """
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        genes = list(dict.fromkeys(gene for gene in rest[1:] if gene))
        if not name or not genes:
            raise ValueError(f"{path}, line {number}: expected name, description and genes, separated by tabs.")
        if name in sets:
            raise ValueError(f"{path}, line {number}: the set {name!r} comes twice; give each its own name.")
        sets[name] = genes
    if not sets:
        raise ValueError(f"{path} has no gene set; give a GMT file: name, description and genes, separated by tabs.")
    return sets


def place_genes(
    gene_sets: Mapping[str, Sequence[str]], gene_names: Sequence[str], vocabulary: GeneVocabulary
) -> dict[str, np.ndarray]:
    """Return the columns of the genes of each set.

    A gene is found by its name as written or, through the vocabulary, by symbol or Ensembl id whichever the data has.

    Args:
        gene_sets: name -> genes.
        gene_names: what the columns of the data are called.
        vocabulary: knows symbols and Ensembl ids.

    Returns:
        Name -> columns, int64, ascending, each once.
    """
    by_name = {name: column for column, name in reversed(list(enumerate(gene_names))) if name}
    by_index: dict[int, int] = {}
    for column, index in enumerate(vocabulary.match(list(gene_names)).tolist()):
        if index >= 0:
            by_index.setdefault(index, column)
    placed = {}
    for name, genes in gene_sets.items():
        indexes = vocabulary.match(list(genes)).tolist()
        columns = {by_name.get(gene, by_index.get(index)) for gene, index in zip(genes, indexes, strict=True)}
        placed[name] = np.array(sorted(column for column in columns if column is not None), dtype=np.int64)
    return placed


def score_gene_sets(log_counts: sparse.csr_matrix, columns: Mapping[str, np.ndarray], *, seed: int) -> np.ndarray:
    """Score of each set in each cell by `scanpy.tl.score_genes`: its mean expression above that of control genes.

    Args:
        log_counts: log-normalized counts, shape (cells, genes).
        columns: set -> columns of its genes, at least one each.
        seed: random seed of the draw of control genes.

    Returns:
        float64, shape (cells, sets).

    Raises:
        ValueError: there are no control genes of like expression.
    """
    import scanpy

    _, n_genes = log_counts.shape  # pyright: ignore[reportGeneralTypeIssues]  # its stub allows None
    names = [str(i) for i in range(n_genes)]
    adata = AnnData(log_counts, var=pd.DataFrame(index=pd.Index(names)))
    scores = []
    for name, chosen in columns.items():
        genes = [names[i] for i in chosen]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            try:
                scanpy.tl.score_genes(adata, genes, ctrl_size=_CONTROLS, random_state=seed, use_raw=False)
            except (RuntimeError, ValueError) as error:
                raise ValueError(f"The gene set {name!r} cannot be scored: {' '.join(str(error).split())}") from error
        scores.append(adata.obs["score"].to_numpy(dtype=np.float64))
    return np.stack(scores, axis=1)


def call_active(scores: np.ndarray, *, share: float) -> np.ndarray:
    """Return the cells with the highest scores of each set.

    Args:
        scores: shape (cells, sets).
        share: share of the cells that are called active; ties at the line are all active.

    Returns:
        0 or 1, int64, shape (cells, sets).

    >>> call_active(np.array([[0.1], [0.5], [0.3], [0.2]]), share=0.25).ravel().tolist()
    [0, 1, 0, 0]
    """
    n_active = max(1, round(share * len(scores)))
    threshold = np.sort(scores, axis=0)[-n_active]
    return (scores >= threshold).astype(np.int64)
