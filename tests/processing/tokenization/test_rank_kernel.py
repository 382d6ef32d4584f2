"""Ranking by machine code gives what ranking by numpy gives."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from rank_cases import as_lists, matrices, plain_rank_encode
from scipy.sparse import csr_matrix, random_array
from tiny import tiny_vocabulary

from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import rank_encode
from langcell.processing.tokenization.rank_kernel import rank_encode_compiled

BOTH = (rank_encode_compiled, rank_encode)


@settings(max_examples=150, deadline=None)
@given(matrices(), st.sampled_from([None, 1, 2, 5, 2048]), st.booleans())
def test_equals_the_definition(case, max_length, add_cls):
    counts, gene_index, vocabulary = case
    options = {"max_length": max_length, "add_cls": add_cls}
    compiled, plain = (rank(counts, gene_index, vocabulary, **options) for rank in BOTH)
    assert as_lists(compiled) == plain_rank_encode(counts, gene_index, vocabulary, max_length, add_cls)
    for name in ("token_ids", "offsets", "n_known_genes", "n_counts", "n_known_counts"):
        np.testing.assert_array_equal(getattr(compiled, name), getattr(plain, name))
        assert getattr(compiled, name).dtype == getattr(plain, name).dtype


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("order", [1, -1])
def test_many_genes_of_every_number_type(dtype, index_dtype, order):
    """Thousands of genes a cell, with ties, whose columns stand in the order of their ids or in the other one."""
    rng = np.random.default_rng(0)
    counts = csr_matrix(random_array((20, 6_000), density=0.5, random_state=rng))
    counts.data = rng.geometric(0.3, counts.nnz).astype(dtype)
    counts.indices, counts.indptr = counts.indices.astype(index_dtype), counts.indptr.astype(index_dtype)
    medians = rng.choice([0.5, 1.0, 1.5, 7.0], 5_000)
    vocabulary = GeneVocabulary([f"ENSG{i}" for i in range(5_000)], medians, [""] * 5_000)
    gene_index = np.full(6_000, -1)
    gene_index[np.sort(rng.choice(6_000, 5_000, replace=False))] = np.arange(5_000)[::order]
    compiled, plain = (rank(counts, gene_index, vocabulary) for rank in BOTH)
    np.testing.assert_array_equal(compiled.token_ids, plain.token_ids)
    np.testing.assert_array_equal(compiled.n_counts, plain.n_counts)


def test_all_values_of_a_float_keep_their_order():
    """Values from the smallest to the largest that a count over a median can be."""
    values = np.geomspace(1e-30, 1e30, 4_000).astype(np.float32)
    shuffled = np.random.default_rng(0).permutation(4_000)
    vocabulary = tiny_vocabulary(4_000)
    row = csr_matrix((values[shuffled] * vocabulary.medians).reshape(1, -1))
    compiled, plain = (rank(row, np.arange(4_000), vocabulary) for rank in BOTH)
    np.testing.assert_array_equal(compiled.token_ids, plain.token_ids)


@pytest.mark.parametrize("step", [pytest.param(1e-4, id="neighbours moved"), pytest.param(1e-7, id="a third pass")])
def test_values_that_differ_in_their_last_bits(step):
    """Thousands of values that the first two passes put into a few buckets, or into one."""
    values = (1 + step * np.random.default_rng(0).permutation(4_000) / 4).astype(np.float32)
    assert len(np.unique(values)) > 800
    vocabulary = GeneVocabulary([f"ENSG{i}" for i in range(4_000)], np.ones(4_000), [""] * 4_000)
    compiled, plain = (rank(csr_matrix(values.reshape(1, -1)), np.arange(4_000), vocabulary) for rank in BOTH)
    np.testing.assert_array_equal(compiled.token_ids, plain.token_ids)


@pytest.mark.parametrize("indices", [pytest.param([2, 0, 1], id="unsorted"), pytest.param([2, 0, 2], id="repeated")])
def test_columns_that_do_not_ascend_are_summed_where_they_repeat(indices):
    counts = csr_matrix((np.array([3.0, 4.0, 5.0]), np.array(indices), np.array([0, 3])), shape=(1, 3))
    ranked = rank_encode_compiled(counts, np.arange(3), tiny_vocabulary(3))
    assert as_lists(ranked) == plain_rank_encode(counts.copy(), np.arange(3), tiny_vocabulary(3))
