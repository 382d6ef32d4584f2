import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from rank_cases import as_lists, matrices, plain_rank_encode
from scipy.sparse import csr_matrix
from tiny import tiny_counts, tiny_gene_names, tiny_vocabulary

from langcell.processing import rank_values
from langcell.processing.genes import GeneVocabulary
from langcell.processing.rank_values import keep_first_of_duplicates, rank_encode


@settings(max_examples=150, deadline=None)
@given(matrices(), st.sampled_from([None, 1, 2, 5, 2048]), st.booleans(), st.sampled_from([1, 7, 10**6]))
def test_equals_the_definition(case, max_length, add_cls, keys_per_block):
    counts, gene_index, vocabulary = case
    with pytest.MonkeyPatch.context() as patch:  # blocks of a few keys, so that small cases cross their borders
        patch.setattr(rank_values, "_KEYS_PER_BLOCK", keys_per_block)
        ranked = rank_encode(counts, gene_index, vocabulary, max_length=max_length, add_cls=add_cls)
    assert as_lists(ranked) == plain_rank_encode(counts, gene_index, vocabulary, max_length, add_cls)
    dense = np.asarray(counts.todense(), dtype=np.float64)
    np.testing.assert_allclose(ranked.n_counts, dense.sum(1))
    np.testing.assert_allclose(ranked.n_known_counts, dense[:, gene_index >= 0].sum(1))
    assert ranked.n_known_genes.tolist() == [
        len(set(gene_index[(row > 0) & (gene_index >= 0)].tolist())) for row in dense
    ]


def test_block_borders_at_the_real_block_size(monkeypatch):
    counts = tiny_counts(200, seed=1)
    vocabulary = tiny_vocabulary()
    gene_index = vocabulary.match(tiny_gene_names())
    whole = as_lists(rank_encode(counts, gene_index, vocabulary))
    assert whole == plain_rank_encode(counts, gene_index, vocabulary)
    monkeypatch.setattr(rank_values, "_KEYS_PER_BLOCK", int(counts.indptr[7]))
    assert as_lists(rank_encode(counts, gene_index, vocabulary)) == whole


def test_more_rows_than_16_bits_can_number():
    n_cells = 65_536 + 3
    counts = csr_matrix(np.tile(np.array([[2, 1]], dtype=np.float32), (n_cells, 1)))
    vocabulary = GeneVocabulary(["ENSG1", "ENSG2"], np.ones(2), ["", ""])
    ranked = rank_encode(counts, np.array([0, 1]), vocabulary)
    assert (ranked.token_ids.reshape(n_cells, 3) == [4, 2, 3]).all()


def test_all_65532_genes_of_the_largest_vocabulary_keep_their_ids():
    vocabulary = tiny_vocabulary(65_532)
    counts = csr_matrix(([1.0, 1.0], ([0, 0], [0, 65_531])), shape=(1, 65_532))
    assert sorted(rank_encode(counts, np.arange(65_532), vocabulary)[0].tolist()) == [2, 65_533, 65_534]


def test_a_vocabulary_beyond_16_bits_is_refused():
    vocabulary = tiny_vocabulary(65_533)
    with pytest.raises(ValueError, match="has 65533 genes; at most 65,532 fit"):
        rank_encode(csr_matrix((1, 65_533)), np.arange(65_533), vocabulary)


@pytest.fixture
def three_genes():
    return GeneVocabulary(["ENSG1", "ENSG2", "ENSG3"], np.array([1.0, 2.0, 1.0]), ["", "", ""])


@pytest.mark.parametrize(
    ("row", "gene_index", "expected"),
    [
        pytest.param([3, 4, 9], [0, 1, 2], [5, 4, 2, 3], id="counts_over_medians_descending"),
        pytest.param([2, 4, 2], [0, 1, 2], [5, 2, 3, 4], id="ties_by_lower_id"),
        pytest.param([2, 4, 2], [2, 1, 0], [5, 2, 3, 4], id="ties_by_lower_id_not_by_column"),
        pytest.param([2, 3, 2], [0, 2, 0], [5, 2, 4], id="duplicate_genes_summed"),
        pytest.param([7, 0, 0], [-1, 1, 2], [5], id="no_known_gene"),
        pytest.param([0, 0, 0], [0, 1, 2], [5], id="empty_cell"),
    ],
)
def test_one_cell(three_genes, row, gene_index, expected):
    ranked = rank_encode(csr_matrix([row]), np.array(gene_index), three_genes)
    assert as_lists(ranked) == [expected]


def test_explicit_zeros_are_no_expression(three_genes):
    counts = csr_matrix((np.array([0.0, 5.0, 0.0]), np.array([0, 1, 2]), np.array([0, 3])), shape=(1, 3))
    ranked = rank_encode(counts, np.arange(3), three_genes)
    assert as_lists(ranked) == [[5, 3]]
    assert ranked.n_known_genes.tolist() == [1]


@pytest.mark.parametrize("indices", [pytest.param([2, 0, 1], id="unsorted"), pytest.param([2, 0, 2], id="repeated")])
def test_matrices_in_no_canonical_form(three_genes, indices):
    counts = csr_matrix((np.array([3.0, 4.0, 5.0]), np.array(indices), np.array([0, 3])), shape=(1, 3))
    before = counts.indices.copy()
    ranked = rank_encode(counts, np.arange(3), three_genes)
    assert as_lists(ranked) == plain_rank_encode(counts.copy(), np.arange(3), three_genes)
    np.testing.assert_array_equal(counts.indices, before)


def test_empty_first_middle_and_last_cells(three_genes):
    counts = csr_matrix([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 2], [0, 0, 0]])
    assert as_lists(rank_encode(counts, np.arange(3), three_genes)) == [[5], [5, 2], [5], [5, 4], [5]]
    assert as_lists(rank_encode(counts, np.arange(3), three_genes, add_cls=False)) == [[], [2], [], [4], []]


def test_no_cells_at_all(three_genes):
    ranked = rank_encode(csr_matrix((0, 3)), np.arange(3), three_genes)
    assert len(ranked) == 0
    assert ranked.token_ids.dtype == np.uint16


def test_truncation_counts_cls_and_leaves_the_numbers_alone(three_genes):
    ranked = rank_encode(csr_matrix([[3, 2, 1], [0, 0, 1]]), np.arange(3), three_genes, max_length=2)
    assert as_lists(ranked) == [[5, 2], [5, 4]]
    assert ranked.lengths.tolist() == [2, 2]
    assert ranked.n_known_genes.tolist() == [3, 1]


@pytest.mark.parametrize("max_length", [0, -1])
def test_a_length_without_room_is_refused(three_genes, max_length):
    with pytest.raises(ValueError, match=f"max_length is {max_length}; give at least 1"):
        rank_encode(csr_matrix([[1, 1, 1]]), np.arange(3), three_genes, max_length=max_length)


def test_a_scale_of_the_whole_cell_changes_nothing(vocabulary):
    counts = tiny_counts(20)
    gene_index = vocabulary.match(tiny_gene_names())
    scaled = csr_matrix(counts.multiply(64.0))  # a power of two: the division stays exact
    assert as_lists(rank_encode(counts, gene_index, vocabulary)) == as_lists(
        rank_encode(scaled, gene_index, vocabulary)
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.float32, np.float64])
def test_any_number_type_gives_the_same_ids(vocabulary, dtype):
    gene_index = vocabulary.match(tiny_gene_names())
    expected = as_lists(rank_encode(tiny_counts(), gene_index, vocabulary))
    assert as_lists(rank_encode(tiny_counts().astype(dtype), gene_index, vocabulary)) == expected


def test_keep_first_of_duplicates_drops_later_columns():
    assert keep_first_of_duplicates(np.array([3, -1, 3, 0, -1, 0])).tolist() == [3, -1, -1, 0, -1, -1]
