"""What ranking has to give, and matrices to rank, for the tests of both ways to do it."""

import hypothesis.strategies as st
import numpy as np
from scipy.sparse import csr_matrix

from langcell.processing.genes import GeneVocabulary


def plain_rank_encode(counts, gene_index, vocabulary, max_length=2048, add_cls=True):
    """The definition, cell by cell: token ids of each cell by a stable sort of float32 values."""
    cells = []
    for row in np.asarray(counts.todense(), dtype=np.float64):
        by_gene = np.zeros(len(vocabulary))
        np.add.at(by_gene, gene_index[gene_index >= 0], row[gene_index >= 0])
        values = (by_gene / vocabulary.medians).astype(np.float32)
        order = np.argsort(-values, kind="stable")
        ids = (order[by_gene[order] > 0] + vocabulary.first_gene_token_id).tolist()
        ids = ([vocabulary.cls_token_id] if add_cls else []) + ids
        cells.append(ids[:max_length])
    return cells


def as_lists(ranked):
    return [ids.tolist() for ids in ranked]


@st.composite
def matrices(draw):
    """Counts with a column -> gene table that has unknown columns and duplicate genes, and a vocabulary with ties."""
    n_genes = draw(st.integers(1, 12))
    n_columns = draw(st.integers(1, 15))
    n_cells = draw(st.integers(0, 6))
    medians = draw(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, 1 / 3]), min_size=n_genes, max_size=n_genes))
    gene_index = draw(st.lists(st.integers(-1, n_genes - 1), min_size=n_columns, max_size=n_columns))
    value = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 6, 1000])
    counts = [draw(st.lists(value, min_size=n_columns, max_size=n_columns)) for _ in range(n_cells)]
    vocabulary = GeneVocabulary([f"ENSG{i}" for i in range(n_genes)], np.array(medians), [""] * n_genes)
    return (
        csr_matrix(np.array(counts, dtype=np.float32).reshape(n_cells, n_columns)),
        np.array(gene_index),
        vocabulary,
    )
