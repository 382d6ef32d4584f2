from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tiny import tiny_counts, tiny_gene_names

from langcell.inference.running.batching import TokenBudget, for_each_batch, is_out_of_memory, token_batches
from langcell.loading.load import load


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
        return (loaded.model.get_cell_features(ids, mask, return_dict=True).pooler_output,)

    (together,) = for_each_batch(loaded, ranked, 10**6, embed)
    (alone,) = for_each_batch(loaded, ranked, 1, embed)
    assert_allclose(alone, together, atol=1e-5)


def hungry(limit: int):
    """A function that wants more memory than there is for batches of over `limit` tokens, and what it was given."""
    given = []

    def run(ids, mask):
        given.append(ids.numel())
        if ids.numel() > limit:
            torch.empty(1 << 58)  # the real error of torch's CPU allocator
        return (mask.sum(1),)

    return run, given


def test_without_memory_the_budget_is_halved_and_the_batch_done_again(loaded, caplog):
    ranked = loaded.processor.feature_extractor.encode(tiny_counts(40), tiny_gene_names())
    function, given = hungry(200)
    budget = TokenBudget(10**6)
    (lengths,) = for_each_batch(loaded, ranked, budget, function)
    assert lengths.tolist() == ranked.lengths.tolist()
    assert 50 <= budget.tokens <= 200
    assert "has no memory for a batch of 40 cells; going on with max_batch_tokens" in caplog.text
    # What was learnt holds for the next chunk.
    given.clear()
    for_each_batch(loaded, ranked, budget, function)
    assert max(given) <= 200


def test_a_cell_that_is_too_large_alone_is_an_error_that_says_so(loaded):
    ranked = loaded.processor.feature_extractor.encode(tiny_counts(3), tiny_gene_names())
    with pytest.raises(MemoryError, match="cpu has no memory left for a single cell of"):
        for_each_batch(loaded, ranked, 10**6, hungry(0)[0])


def test_other_errors_pass(loaded):
    ranked = loaded.processor.feature_extractor.encode(tiny_counts(3), tiny_gene_names())

    def fail(ids, mask):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        for_each_batch(loaded, ranked, 100, fail)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(torch.OutOfMemoryError("CUDA out of memory."), True, id="cuda"),
        pytest.param(MemoryError(), True, id="numpy"),
        pytest.param(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True, id="cpu"),
        pytest.param(RuntimeError("something else"), False, id="other"),
    ],
)
def test_what_a_lack_of_memory_is(error, expected):
    assert is_out_of_memory(error) == expected
