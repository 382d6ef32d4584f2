from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tiny import tiny_counts, tiny_gene_names

from langcell.inference.batching import for_each_batch, token_batches
from langcell.loading import load


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100))
def test_every_row_once_within_the_budget(lengths, max_batch_tokens):
    lengths = np.array(lengths, dtype=np.int64)
    batches = list(token_batches(lengths, max_batch_tokens))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= max_batch_tokens


@given(st.lists(st.integers(1, 40), min_size=2, max_size=30), st.integers(1, 100))
def test_no_batch_ends_early(lengths, max_batch_tokens):
    lengths = np.array(lengths)
    batches = list(token_batches(lengths, max_batch_tokens))
    for batch, following in pairwise(batches):
        assert lengths[batch].max() <= lengths[following].min()
        assert (len(batch) + 1) * lengths[following[0]] > max_batch_tokens


def test_rows_of_equal_length_stay_in_order():
    assert [batch.tolist() for batch in token_batches(np.array([2, 1, 2, 1]), 100)] == [[1, 3, 0, 2]]


@pytest.mark.parametrize("max_batch_tokens", [0, -5])
def test_a_budget_is_positive(max_batch_tokens):
    with pytest.raises(ValueError, match=f"max_batch_tokens is {max_batch_tokens}; give a positive number"):
        list(token_batches(np.array([1]), max_batch_tokens))


@pytest.fixture(scope="module")
def loaded(tiny_model_dir):
    return load(tiny_model_dir, device="cpu")


@pytest.mark.parametrize("max_batch_tokens", [1, 60, 10**6])
def test_results_come_back_in_the_order_of_the_cells(loaded, max_batch_tokens):
    ranked = loaded.processor.feature_extractor.encode(tiny_counts(9), tiny_gene_names())

    def first_and_length(ids, mask):
        return ids[:, 1], mask.sum(1, keepdim=True)

    second_ids, lengths = for_each_batch(loaded, ranked, max_batch_tokens, first_and_length)
    assert second_ids.tolist() == [ids[1] for ids in ranked]
    assert lengths.tolist() == [[length] for length in ranked.lengths]
    assert second_ids.dtype == lengths.dtype == np.float32


@torch.inference_mode()
def test_the_budget_changes_no_embedding(loaded):
    ranked = loaded.processor.feature_extractor.encode(tiny_counts(9), tiny_gene_names())

    def embed(ids, mask):
        return (loaded.model.get_cell_features(ids, mask),)

    (together,) = for_each_batch(loaded, ranked, 10**6, embed)
    (alone,) = for_each_batch(loaded, ranked, 1, embed)
    assert_allclose(alone, together, atol=1e-5)
